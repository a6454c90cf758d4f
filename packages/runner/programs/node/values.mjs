// What a block returned, as JSON. Anything JSON does not have becomes its nearest form, with a warning.

const MAX_DEPTH = 200;
const MAX_WARNINGS = 32;

/** A value that has no JSON form. */
export class InvalidOutput extends Error {}

/** `{ text, warnings }`: UTF-8 bytes of `value`. @throws InvalidOutput for a cycle or depth over 200 */
export function toJson(value) {
  const warnings = [];
  const converted = convert(value, 1, "result", [], warnings);
  return { text: Buffer.from(JSON.stringify(converted)), warnings };
}

function warn(warnings, path, text) {
  if (warnings.length < MAX_WARNINGS) warnings.push(`${path.slice(0, 120)}: ${text}`);
}

function convert(value, depth, path, above, warnings) {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "undefined":
      return null;
    case "number":
      if (Number.isFinite(value)) return value;
      warn(warnings, path, `${value} became null`);
      return null;
    case "bigint":
      warn(warnings, path, "a BigInt became text");
      return String(value);
    case "function":
    case "symbol":
      warn(warnings, path, `a ${typeof value} became text`);
      return String(value).slice(0, 1000);
    default:
      return value === null ? null : convertObject(value, depth, path, above, warnings);
  }
}

function convertObject(value, depth, path, above, warnings) {
  if (depth > MAX_DEPTH) throw new InvalidOutput(`the result is nested deeper than ${MAX_DEPTH}`);
  if (above.includes(value)) throw new InvalidOutput("the result contains itself");
  above.push(value);
  const converted = convertKind(value, depth, path, above, warnings);
  above.pop();
  return converted;
}

function convertKind(value, depth, path, above, warnings) {
  if (Array.isArray(value)) return value.map((item, index) => convert(item, depth + 1, `${path}[${index}]`, above, warnings));
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    const special = convertSpecial(value, depth, path, above, warnings);
    if (special !== undefined) return special.value;
  }
  const result = {};
  for (const key of Object.keys(value)) {
    const item = value[key];
    if (item !== undefined) define(result, key, convert(item, depth + 1, `${path}.${key}`, above, warnings));
  }
  return result;
}

function convertSpecial(value, depth, path, above, warnings) {
  if (value instanceof Date) {
    const valid = !Number.isNaN(value.getTime());
    warn(warnings, path, valid ? "a Date became ISO text" : "an invalid Date became null");
    return { value: valid ? value.toISOString() : null };
  }
  if (value instanceof Map) {
    warn(warnings, path, "a Map became an object");
    const result = {};
    for (const [key, item] of value) define(result, String(key), convert(item, depth + 1, `${path}.${String(key)}`, above, warnings));
    return { value: result };
  }
  if (value instanceof Set) {
    warn(warnings, path, "a Set became a list");
    return { value: [...value].map((item, index) => convert(item, depth + 1, `${path}[${index}]`, above, warnings)) };
  }
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    warn(warnings, path, "bytes became base64 text");
    const bytes = value instanceof ArrayBuffer ? Buffer.from(value) : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return { value: bytes.toString("base64") };
  }
  if (value instanceof Boolean || value instanceof Number || value instanceof String) {
    return { value: convert(value.valueOf(), depth, path, above, warnings) };
  }
  if (typeof value.toJSON === "function") {
    warn(warnings, path, `a ${nameOf(value)} became what its toJSON says`);
    return { value: convert(value.toJSON(), depth + 1, path, above, warnings) };
  }
  if (
    value instanceof Error ||
    value instanceof RegExp ||
    value instanceof Promise ||
    value instanceof WeakMap ||
    value instanceof WeakSet
  ) {
    warn(warnings, path, `a ${nameOf(value)} became text`);
    return { value: String(value) };
  }
  return undefined;
}

/** As an own member, whatever the key is called. */
function define(object, key, value) {
  if (key === "__proto__") Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  else object[key] = value;
}

function nameOf(value) {
  return String(value.constructor?.name ?? "object").slice(0, 60);
}
