import type { JsonValue } from "@rumi/core";

/** A parsed `${ctx...}`: the members after `ctx`. Texts name own keys of maps, numbers elements of lists. */
export interface Reference {
  readonly members: readonly (string | number)[];
}

/** Where references read: own data keys only. */
export interface ContextReader {
  get(key: string): JsonValue | undefined;
}

/** A reference or quoted text the grammar does not know. `offset` counts in the text given. */
export interface SyntaxFault {
  readonly offset: number;
  readonly message: string;
}

/** Result of reading one grammar item at a place in a text. */
export type Scanned<T> =
  | { readonly ok: true; readonly value: T; readonly end: number }
  | { readonly ok: false; readonly fault: SyntaxFault };

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\\", "\\"],
  ['"', '"'],
  ["'", "'"],
  ["n", "\n"],
  ["t", "\t"],
]);
/** Largest list index a reference may write (no list is longer). */
const MAX_INDEX = 2 ** 32 - 2;

function fault(offset: number, message: string): { readonly ok: false; readonly fault: SyntaxFault } {
  return { ok: false, fault: { offset, message } };
}

/** Parses a text that is exactly one reference. */
export function parseReference(text: string): Scanned<Reference> {
  const scanned = scanReference(text, 0);
  if (scanned.ok && scanned.end !== text.length) return fault(scanned.end, "unexpected text after the reference");
  return scanned;
}

/** Reads one `${ctx...}` that starts at `start`. Linear in the reference's length. */
export function scanReference(text: string, start: number): Scanned<Reference> {
  if (!text.startsWith("${", start)) return fault(start, "a reference starts with ${");
  let at = skipBlanks(text, start + 2);
  if (!text.startsWith("ctx", at)) return fault(at, "a reference names ctx, like ${ctx.key}");
  at += 3;
  const members: (string | number)[] = [];
  for (;;) {
    const next = text[at];
    if (next === ".") {
      const end = identEnd(text, at + 1);
      if (end === at + 1) return fault(at + 1, "a name after . starts with a letter or _");
      members.push(text.slice(at + 1, end));
      at = end;
    } else if (next === "[") {
      const bracket = scanBracket(text, at);
      if (!bracket.ok) return bracket;
      members.push(bracket.value);
      at = bracket.end;
    } else break;
  }
  if (members.length === 0) return fault(at, "a reference names a key of ctx, like ${ctx.key}");
  at = skipBlanks(text, at);
  if (text[at] !== "}") return fault(at, "the reference is not closed with }");
  return { ok: true, value: { members }, end: at + 1 };
}

function scanBracket(text: string, start: number): Scanned<string | number> {
  let at = skipBlanks(text, start + 1);
  const opening = text[at];
  let value: string | number;
  if (opening === '"' || opening === "'") {
    const quoted = scanQuoted(text, at);
    if (!quoted.ok) return quoted;
    value = quoted.value;
    at = quoted.end;
  } else {
    let end = at;
    while (isDigit(text.charCodeAt(end))) end += 1;
    if (end === at || (end - at > 1 && opening === "0")) return fault(at, "[ ] holds an index from 0 or a quoted key");
    value = Number(text.slice(at, end));
    if (value > MAX_INDEX) return fault(at, "the index is too large");
    at = end;
  }
  at = skipBlanks(text, at);
  if (text[at] !== "]") return fault(at, "the [ is not closed with ]");
  return { ok: true, value, end: at + 1 };
}

/** Reads a quoted text of references and conditions, escapes decoded. */
export function scanQuoted(text: string, start: number): Scanned<string> {
  const quote = text[start];
  let value = "";
  let from = start + 1;
  for (let at = from; at < text.length;) {
    const char = text[at];
    if (char === quote) return { ok: true, value: value + text.slice(from, at), end: at + 1 };
    if (char !== "\\") {
      at += 1;
      continue;
    }
    value += text.slice(from, at);
    const code = text[at + 1] ?? "";
    const plain = ESCAPES.get(code);
    if (plain !== undefined) {
      value += plain;
      at += 2;
    } else if (code === "u" && /^[0-9a-fA-F]{4}$/u.test(text.slice(at + 2, at + 6))) {
      value += String.fromCharCode(Number.parseInt(text.slice(at + 2, at + 6), 16));
      at += 6;
    } else return fault(at, "unknown escape; \\\\ \\\" \\' \\n \\t \\uXXXX are known");
    from = at;
  }
  return fault(start, "the quote is not closed");
}

/** Skips blanks between symbols. */
export function skipBlanks(text: string, start: number): number {
  let at = start;
  for (let unit = text.charCodeAt(at); unit === 0x20 || unit === 0x09 || unit === 0x0a || unit === 0x0d; unit = text.charCodeAt(at))
    at += 1;
  return at;
}

export function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

export function isIdentStart(unit: number): boolean {
  return (unit >= 0x61 && unit <= 0x7a) || (unit >= 0x41 && unit <= 0x5a) || unit === 0x5f;
}

/** End of the ASCII identifier that starts at `start` (equal to `start` when none does). */
export function identEnd(text: string, start: number): number {
  if (!isIdentStart(text.charCodeAt(start))) return start;
  let at = start + 1;
  for (let unit = text.charCodeAt(at); isIdentStart(unit) || isDigit(unit); unit = text.charCodeAt(at)) at += 1;
  return at;
}

/** The value a reference names, or undefined when it is missing. Own keys and list elements only. */
export function resolveReference(reference: Reference, context: ContextReader): JsonValue | undefined {
  const [first, ...rest] = reference.members;
  if (typeof first !== "string") return undefined;
  let value: JsonValue | undefined = context.get(first);
  for (const member of rest) {
    if (typeof value !== "object" || value === null) return undefined;
    if (typeof member === "number") {
      value = Array.isArray(value) && member < value.length ? (value as readonly JsonValue[])[member] : undefined;
    } else {
      value = !Array.isArray(value) && Object.hasOwn(value, member) ? (value as { readonly [key: string]: JsonValue })[member] : undefined;
    }
  }
  return value;
}

/** Keys of ctx that a reference reads, as a path for reviews: `a.b[0]`. */
export function referencePath(reference: Reference): string {
  return reference.members
    .map((member, index) => (typeof member === "number" ? `[${member}]` : index === 0 ? member : `.${member}`))
    .join("");
}
