/** A way in which a host or a program may write a text. */
export interface Spelling {
  readonly name: string;
  readonly write: (text: string) => string | Uint8Array;
}

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, "0");
const each = (text: string, write: (character: string) => string): string => Array.from(text, write).join("");
const bytesOf = (text: string, write: (byte: number) => string): string => Array.from(Buffer.from(text), write).join("");
const after = (count: number) => (text: string) => Buffer.concat([Buffer.alloc(count, "~"), Buffer.from(text), Buffer.from("~")]);
const HTML: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "/": "&sol;" };

/** Every way that page "Trust", section 9 names, written without a look at how they are found. */
export const SPELLINGS: readonly Spelling[] = [
  { name: "raw", write: (text) => text },
  { name: "reversed bytes", write: (text) => Buffer.from(text).reverse() },
  { name: "reversed characters", write: (text) => Array.from(text).toReversed().join("") },
  { name: "hex", write: (text) => Buffer.from(text).toString("hex") },
  { name: "HEX", write: (text) => Buffer.from(text).toString("hex").toUpperCase() },
  ...[0, 1, 2].flatMap((count): Spelling[] => [
    { name: `base64 at ${count}`, write: (text) => after(count)(text).toString("base64") },
    { name: `base64url at ${count}`, write: (text) => after(count)(text).toString("base64url") },
    { name: `base64 at ${count} in JSON`, write: (text) => after(count)(text).toString("base64").replaceAll("/", "\\/") },
    { name: `base64 at ${count} in a query`, write: (text) => encodeURIComponent(after(count)(text).toString("base64")) },
  ]),
  { name: "percent", write: (text) => encodeURIComponent(text) },
  { name: "percent, all", write: (text) => bytesOf(text, (byte) => `%${hex(byte, 2)}`) },
  { name: "PERCENT, ALL", write: (text) => bytesOf(text, (byte) => `%${hex(byte, 2).toUpperCase()}`) },
  {
    name: "percent, every other",
    write: (text) =>
      bytesOf(text, (byte) => (byte % 2 === 0 || byte > 126 || byte === 37 ? `%${hex(byte, 2)}` : String.fromCharCode(byte))),
  },
  { name: "percent twice", write: (text) => encodeURIComponent(encodeURIComponent(text)) },
  { name: "form", write: (text) => new URLSearchParams({ a: text }).toString().slice(2) },
  { name: "JSON", write: (text) => JSON.stringify(text).slice(1, -1) },
  { name: "JSON in JSON", write: (text) => JSON.stringify(JSON.stringify(text)).slice(1, -1) },
  { name: "JSON, slashes too", write: (text) => JSON.stringify(text).slice(1, -1).replaceAll("/", "\\/") },
  {
    name: "JSON, ASCII only",
    write: (text) =>
      JSON.stringify(text)
        .slice(1, -1)
        .replace(/[^\0-\x7f]/gu, (one) => each16(one)),
  },
  { name: "JSON, all", write: (text) => each16(text) },
  { name: "HTML", write: (text) => each(text, (one) => HTML[one] ?? one) },
  { name: "HTML, decimal", write: (text) => each(text, (one) => `&#${one.codePointAt(0)};`) },
  { name: "HTML, hex", write: (text) => each(text, (one) => `&#x${one.codePointAt(0)?.toString(16)};`) },
  { name: "HTML in JSON", write: (text) => JSON.stringify(each(text, (one) => HTML[one] ?? one)).slice(1, -1) },
  { name: "JSON in a query", write: (text) => encodeURIComponent(JSON.stringify(text).slice(1, -1)) },
  { name: "UTF-16LE", write: (text) => Buffer.from(text, "utf16le") },
  { name: "UTF-16BE", write: (text) => Buffer.from(text, "utf16le").swap16() },
];

function each16(text: string): string {
  return Array.from({ length: text.length }, (_, at) => `\\u${hex(text.charCodeAt(at), 4)}`).join("");
}
