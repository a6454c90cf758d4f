import { toJson } from "./document.ts";
import type { DocEntry, DocMap, DocNode } from "./document.ts";
import type { FlowLoadCode } from "./errors.ts";
import { shown } from "./problems.ts";
import type { Problems } from "./problems.ts";

/** One field of a map, with its path for messages. */
export interface Field {
  readonly node: DocNode;
  readonly path: string;
  readonly keyOffset: number;
}

/** What a node is, as messages say it: its kind, and its value when that is short to show. */
export function gotText(node: DocNode): string {
  if (node.kind === "string") return `text ${shown(JSON.stringify(node.value))}`;
  if (node.kind === "number" || node.kind === "boolean") return `${node.kind} ${shown(node.source)}`;
  return node.kind;
}

/**
 * Reads the fields of one map and remembers which were asked for; the rest are warned about by `finish`.
 * A null field is absent.
 */
export class Fields {
  readonly path: string;
  readonly offset: number;
  readonly problems: Problems;
  readonly #entries: ReadonlyMap<string, DocEntry>;
  readonly #asked = new Set<string>();

  constructor(map: DocMap, path: string, problems: Problems) {
    this.path = path;
    this.offset = map.offset;
    this.problems = problems;
    const entries = new Map<string, DocEntry>();
    for (const entry of map.entries) entries.set(entry.key, entry);
    this.#entries = entries;
  }

  pathOf(name: string): string {
    return this.path === "" ? name : `${this.path}.${name}`;
  }

  has(name: string): boolean {
    return this.#node(name) !== null;
  }

  take(name: string): Field | null {
    this.#asked.add(name);
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.value.kind === "null") return null;
    return { node: entry.value, path: this.pathOf(name), keyOffset: entry.keyOffset };
  }

  /** Says what a field must be, at its place, or at the map when it is absent. */
  fail(code: FlowLoadCode, name: string, expected: string): void {
    const node = this.#node(name);
    const got = node === null ? "nothing" : gotText(node);
    this.problems.error(
      code,
      this.pathOf(name),
      node?.offset ?? this.#entries.get(name)?.keyOffset ?? this.offset,
      `${this.pathOf(name)} must be ${expected}, got ${got}`,
    );
  }

  warn(code: FlowLoadCode, name: string, message: string): void {
    this.problems.warn(code, this.pathOf(name), this.#node(name)?.offset ?? this.offset, message);
  }

  /** A field that must be text, or absent. */
  text(name: string, code: FlowLoadCode, expected = "text"): string | null {
    const field = this.take(name);
    if (field === null) return null;
    if (field.node.kind === "string") return String(field.node.value);
    this.fail(code, name, expected);
    return null;
  }

  boolean(name: string, code: FlowLoadCode, standard: boolean): boolean {
    const field = this.take(name);
    if (field === null) return standard;
    if (field.node.kind === "boolean") return field.node.value === true;
    this.fail(code, name, "true or false");
    return standard;
  }

  number(
    name: string,
    code: FlowLoadCode,
    rule: { readonly least: number; readonly most: number; readonly whole?: boolean; readonly standard: number },
  ): number {
    const field = this.take(name);
    if (field === null) return rule.standard;
    const value = field.node.kind === "number" ? Number(field.node.value) : Number.NaN;
    if (value >= rule.least && value <= rule.most && (rule.whole !== true || Number.isInteger(value))) return value;
    this.fail(code, name, `${rule.whole === true ? "a whole number" : "a number"} from ${rule.least} to ${rule.most}`);
    return rule.standard;
  }

  oneOf<T extends string>(name: string, code: FlowLoadCode, values: readonly T[], standard: T): T {
    const field = this.take(name);
    if (field === null) return standard;
    const found = values.find((value) => field.node.kind === "string" && field.node.value === value);
    if (found !== undefined) return found;
    this.fail(code, name, values.join(" or "));
    return standard;
  }

  /** A nested map, or absent. */
  map(name: string, code: FlowLoadCode): Fields | null {
    const field = this.take(name);
    if (field === null) return null;
    if (field.node.kind === "map") return new Fields(field.node, field.path, this.problems);
    this.fail(code, name, "a map");
    return null;
  }

  /** A name: text, or the source text of a number or boolean (warned). Null when absent or not matching. */
  name(name: string, code: FlowLoadCode, matches: (text: string) => boolean, expected: string): string | null {
    const field = this.take(name);
    if (field === null) return null;
    const text = nameOf(field, this.problems);
    if (text !== null && matches(text)) return text;
    this.fail(code, name, expected);
    return null;
  }

  /** Warns about every field nobody asked for. */
  finish(): void {
    for (const [key, { keyOffset }] of this.#entries) {
      if (this.#asked.has(key)) continue;
      this.problems.warn(
        "flow.unknown_field",
        this.pathOf(key),
        keyOffset,
        `${shown(this.pathOf(key))} is not a known field here and is ignored`,
      );
    }
  }

  /** The value of a field that is there and not null. */
  #node(name: string): DocNode | null {
    const node = this.#entries.get(name)?.value ?? null;
    return node?.kind === "null" ? null : node;
  }
}

/** The text of a name, coerced from a number's or boolean's source with a warning; null for other kinds. */
export function nameOf(field: { readonly node: DocNode; readonly path: string }, problems: Problems): string | null {
  const { node } = field;
  if (node.kind === "string") return String(node.value);
  if (node.kind !== "number" && node.kind !== "boolean") return null;
  problems.warn(
    "flow.coerced",
    field.path,
    node.offset,
    `${field.path} must be text, got ${node.kind}; read as ${shown(JSON.stringify(node.source))}`,
  );
  return node.source;
}

/** Plain data of a map node. */
export function mapJson(map: DocMap): { readonly [key: string]: ReturnType<typeof toJson> } {
  return Object.fromEntries(map.entries.map((entry) => [entry.key, toJson(entry.value)]));
}
