/** Longest line of text that a pack may have written. Source: page 40, section 5. */
export const MAX_PACK_LINE = 200;

/** Controls, format characters (bidi, zero width, byte order mark), line and paragraph separators, private use and lone surrogates. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu;

/** `text` with every character that could move the cursor, hide or reorder text shown as `\u{..}`. One line stays one line. */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

/** JSON text of `value` with the same characters as `\\uXXXX`: safe to show, and still the same JSON. */
export function safeJson(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, null, indent) ?? "null";
  return text.replace(UNSAFE, (character) => (character === "\n" && indent !== undefined ? character : jsonEscape(character)));
}

function jsonEscape(character: string): string {
  let escaped = "";
  for (let index = 0; index < character.length; index += 1) escaped += `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`;
  return escaped;
}

/** One line of pack-controlled text, escaped and cut at 200 characters. */
export function packLine(text: string): string {
  const escaped = escapeText(text);
  return escaped.length > MAX_PACK_LINE ? `${escaped.slice(0, MAX_PACK_LINE - 1)}…` : escaped;
}

/** Several lines of pack-controlled text, each as `packLine`. */
export function packLines(text: string): string[] {
  return text.split("\n").map((line) => packLine(line.replaceAll("\t", "    ")));
}

/** Any value as one escaped line: text as it is, the rest as compact JSON. */
export function packValue(value: unknown): string {
  return packLine(typeof value === "string" ? value : (JSON.stringify(value) ?? "null"));
}
