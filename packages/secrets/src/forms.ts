import { escapeFor } from "./placeholder-escapes.ts";

/** One way in which a value may be written. */
export interface Form {
  readonly bytes: Uint8Array;
  /** Stretches of the form at least this long say enough of the value to be masked. */
  readonly window: number;
}

/** Forms shorter than this cannot be told from ordinary text. */
const MIN_FORM_BYTES = 4;

/**
 * The forms of `value` in which nothing is escaped; percent, JSON and HTML escapes are undone in the text instead
 * (`views.ts`). `piece`: bytes of the value that must not show in a row; a shorter value counts as a whole.
 */
export function formsOf(value: string, piece: number): Form[] {
  const bytes = Buffer.from(value);
  const least = Math.min(piece, bytes.length);
  const forms: Form[] = [];
  const seen = new Set<string>();
  const add = (form: Buffer, window: number): void => {
    const name = form.toString("latin1");
    if (form.length < MIN_FORM_BYTES || seen.has(name)) return;
    seen.add(name);
    forms.push({ bytes: form, window: Math.max(MIN_FORM_BYTES, Math.min(window, form.length)) });
  };
  add(bytes, least);
  add(Buffer.from(bytes).reverse(), least);
  if (bytes.includes(0x20)) add(Buffer.from(value.replaceAll(" ", "+")), least);
  const hex = bytes.toString("hex");
  add(Buffer.from(hex), 2 * least);
  add(Buffer.from(hex.toUpperCase()), 2 * least);
  for (const form of base64Forms(bytes)) add(form, base64Piece(least));
  const units = leastCodeUnits(value, least);
  const wide = Buffer.from(value, "utf16le");
  add(wide, 2 * units);
  add(Buffer.from(wide).swap16(), 2 * units);
  if (bytes.length !== value.length) {
    const turned = Array.from(value).toReversed().join("");
    add(Buffer.from(turned), least);
    // UTF-8 that somebody took for Latin-1, and Latin-1 itself.
    add(Buffer.from(bytes.toString("latin1")), least);
    if (!/[^\0-\xff]/u.test(value)) add(Buffer.from(value, "latin1"), units);
  }
  return forms;
}

/** The longest value that a request can carry in a header: only up to there it is looked for as it is written in requests. */
const MAX_HEADER_BYTES = 8192;

/**
 * The forms of a value that goes into requests: `formsOf`, and the same of what it is written as there, for a host writes what
 * it was sent in a way of its own, such as base64 once more.
 */
export function formsOfSent(value: string, piece: number): Form[] {
  const forms = formsOf(value, piece);
  const bytes = Buffer.from(value);
  if (bytes.length > MAX_HEADER_BYTES) return forms;
  const least = Math.min(piece, bytes.length);
  const seen = new Set(forms.map(nameOf));
  const add = (text: string, size: number): void => {
    for (const form of formsOf(text, size)) {
      if (seen.has(nameOf(form))) continue;
      seen.add(nameOf(form));
      forms.push(form);
    }
  };
  for (const write of ESCAPES) {
    const text = write(value);
    if (text === value) continue;
    // The text itself is found where its escapes are undone.
    seen.add(Buffer.from(text).toString("latin1"));
    add(text, leastWritten(value, least, write));
  }
  // Credentials of `|basic:`.
  for (const form of base64Forms(bytes)) add(form.toString("latin1"), base64Piece(least));
  return forms;
}

/** How a value is written in a body of JSON, and in a query or a form. */
const ESCAPES: readonly ((value: string) => string)[] = [
  (value) => escapeFor("body", "json", value) ?? value,
  (value) => escapeFor("query", "raw", value.toWellFormed()) ?? value,
];

/** The fewest bytes as which `write` writes `least` bytes of `value` in a row. */
function leastWritten(value: string, least: number, write: (text: string) => string): number {
  const sizes = Array.from(value, (one) => ({ own: Buffer.byteLength(one), written: Buffer.byteLength(write(one)) }));
  let fewest = Infinity;
  for (let from = 0; from < sizes.length; from++) {
    let own = 0;
    let written = 0;
    for (let at = from; at < sizes.length && own < least; at++) {
      own += sizes[at]?.own ?? 0;
      written += sizes[at]?.written ?? 0;
    }
    // The row may begin or end inside a character, each byte of which is written as three.
    if (own >= least) fewest = Math.min(fewest, written - 3 * (own - least));
  }
  return Math.max(least, fewest);
}

function nameOf({ bytes }: Form): string {
  return Buffer.from(bytes).toString("latin1");
}

/** Digits of base64 that any `bytes` bytes in a row decide by themselves. */
function base64Piece(bytes: number): number {
  return Math.floor((8 * bytes - 4) / 6);
}

/** What base64 and base64url of any text around the value must hold: the digits that the value alone decides. */
function base64Forms(bytes: Buffer): Buffer[] {
  return [0, 1, 2].flatMap((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64");
    const first = Math.ceil((8 * offset) / 6);
    const last = Math.floor((8 * (offset + bytes.length)) / 6);
    const own = text.slice(first, last);
    return [Buffer.from(own), Buffer.from(own.replaceAll("+", "-").replaceAll("/", "_"))];
  });
}

/** The fewest UTF-16 units in a row that say `least` UTF-8 bytes of `value`. */
function leastCodeUnits(value: string, least: number): number {
  const sizes = Array.from(value, (character) => ({ units: character.length, bytes: Buffer.byteLength(character) }));
  let fewest = value.length;
  let from = 0;
  let units = 0;
  let bytes = 0;
  for (const size of sizes) {
    units += size.units;
    bytes += size.bytes;
    for (let first = sizes[from]; first !== undefined && bytes - first.bytes >= least; first = sizes[from]) {
      units -= first.units;
      bytes -= first.bytes;
      from++;
    }
    if (bytes >= least) fewest = Math.min(fewest, units);
  }
  return fewest;
}

/** What an issuer writes before the secret part of a token, such as `ghp_` or `sk-proj-` (page "Trust", section 9). */
const ISSUER_PREFIX = /^[A-Za-z]{2,10}[-_](?:[a-z]{1,10}[-_])?/u;

/** The value without its issuer's prefix, if at least `piece` bytes are left; else the whole value. */
export function withoutIssuerPrefix(value: string, piece: number): string {
  const rest = value.replace(ISSUER_PREFIX, "");
  return Buffer.byteLength(rest) >= piece ? rest : value;
}
