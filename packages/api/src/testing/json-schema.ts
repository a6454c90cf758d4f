/** A JSON schema, as far as the OpenAPI document uses the language. */
type Schema = Readonly<Record<string, unknown>>;

/** Faults of `value` against `schema`, each with its place. @throws Error for a keyword this reader does not know, so none is passed over */
export function schemaFaults(schema: Schema, value: unknown, place = ""): string[] {
  const faults: string[] = [];
  for (const [keyword, rule] of Object.entries(schema)) faults.push(...judge(keyword, rule, schema, value, place));
  return faults;
}

function judge(keyword: string, rule: unknown, schema: Schema, value: unknown, place: string): string[] {
  const fault = (holds: boolean): string[] => (holds ? [] : [`${place === "" ? "/" : place} ${keyword} ${JSON.stringify(rule)}`]);
  const text = typeof value === "string" ? value : null;
  const list = Array.isArray(value) ? (value as readonly unknown[]) : null;
  const map = typeof value === "object" && value !== null && list === null ? (value as Readonly<Record<string, unknown>>) : null;
  switch (keyword) {
    case "type":
      return fault(rule === "integer" ? Number.isInteger(value) : rule === typeOf(value));
    case "const":
      return fault(rule === value);
    case "enum":
      return fault((rule as readonly unknown[]).includes(value));
    case "pattern":
      return fault(text === null || new RegExp(String(rule), "u").test(text));
    case "format":
      return fault(rule === "date-time" && (text === null || !Number.isNaN(Date.parse(text))));
    case "maxLength":
      return fault(text === null || text.length <= Number(rule));
    case "minLength":
      return fault(text === null || text.length >= Number(rule));
    case "minimum":
      return fault(typeof value !== "number" || value >= Number(rule));
    case "maximum":
      return fault(typeof value !== "number" || value <= Number(rule));
    case "minItems":
      return fault(list === null || list.length >= Number(rule));
    case "maxItems":
      return fault(list === null || list.length <= Number(rule));
    case "items":
      return (list ?? []).flatMap((item, index) => schemaFaults(rule as Schema, item, `${place}/${index}`));
    case "required":
      return fault(map === null || (rule as readonly string[]).every((name) => Object.hasOwn(map, name)));
    case "properties":
      return Object.entries(rule as Readonly<Record<string, Schema>>).flatMap(([name, member]) =>
        map !== null && Object.hasOwn(map, name) ? schemaFaults(member, map[name], `${place}/${name}`) : [],
      );
    case "additionalProperties": {
      const known = new Set(Object.keys((schema["properties"] as object | undefined) ?? {}));
      const others = Object.entries(map ?? {}).filter(([name]) => !known.has(name));
      if (rule === false) return fault(others.length === 0);
      return others.flatMap(([name, member]) => schemaFaults(rule as Schema, member, `${place}/${name}`));
    }
    case "propertyNames":
      return Object.keys(map ?? {}).flatMap((name) => schemaFaults(rule as Schema, name, `${place}/${name}`));
    case "anyOf":
      return fault((rule as readonly Schema[]).some((choice) => schemaFaults(choice, value, place).length === 0));
    default:
      if (keyword.startsWith("x-")) return [];
      throw new Error(`the schema at ${place} has the keyword ${keyword}, which is not judged`);
  }
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}
