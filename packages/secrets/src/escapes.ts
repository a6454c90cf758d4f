/**
 * What stands at an escape's place: its size in the text and what it says, packed into one number (this runs for each
 * escape of every log line). `NO_ESCAPE`: the text is just that; `UNFINISHED`: more text is needed to tell.
 */
export type Escape = number;
export const NO_ESCAPE = 0;
export const UNFINISHED = -1;

/** The escape says one byte, whatever its character would be. */
const BYTE = 1 << 21;
const SIZE = 1 << 22;

export function escapeSize(escape: Escape): number {
  return escape >>> 22;
}

/** Writes what the escape says; returns how many bytes that is, never more than the escape has. */
export function writeEscape(escape: Escape, into: Uint8Array, at: number): number {
  const code = escape & (BYTE - 1);
  if (code < 0x80 || (escape & BYTE) !== 0) {
    into[at] = code;
    return 1;
  }
  const bytes = Buffer.from(String.fromCodePoint(code));
  into.set(bytes, at);
  return bytes.length;
}

/** Longest escape that is waited for. */
const MAX_ESCAPE_BYTES = 16;

const NAMED: ReadonlyMap<string, number> = new Map(
  Object.entries({
    Tab: 9,
    NewLine: 10,
    nbsp: 160,
    excl: 33,
    quot: 34,
    QUOT: 34,
    num: 35,
    dollar: 36,
    percnt: 37,
    amp: 38,
    AMP: 38,
    apos: 39,
    lpar: 40,
    rpar: 41,
    ast: 42,
    midast: 42,
    plus: 43,
    comma: 44,
    period: 46,
    sol: 47,
    colon: 58,
    semi: 59,
    lt: 60,
    LT: 60,
    equals: 61,
    gt: 62,
    GT: 62,
    quest: 63,
    commat: 64,
    lsqb: 91,
    lbrack: 91,
    bsol: 92,
    rsqb: 93,
    rbrack: 93,
    Hat: 94,
    lowbar: 95,
    grave: 96,
    lcub: 123,
    lbrace: 123,
    verbar: 124,
    vert: 124,
    rcub: 125,
    rbrace: 125,
  }),
);

const MAX_NAME_BYTES = 10;

/** What a backslash and this byte say; 0 = nothing. */
const SHORT = new Uint8Array(256);
for (let byte = 0x21; byte < 0x7f; byte++) {
  const letterOrDigit = /[0-9A-Za-z]/u.test(String.fromCharCode(byte));
  if (!letterOrDigit) SHORT[byte] = byte;
}
for (const [letter, code] of Object.entries({ a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13 })) SHORT[letter.charCodeAt(0)] = code;

/** `%41`, and `%u00e9` of old scripts. */
export function percent(text: Uint8Array, at: number, end: number): Escape {
  if (at + 1 >= end) return UNFINISHED;
  if (text[at + 1] === 0x75) return codeUnits(text, at, at + 2, end);
  return oneByte(hexNumber(text, at + 1, end, 2), 3);
}

/** JSON's escapes, and those of the common languages' string literals; before punctuation the backslash just goes. */
export function backslash(text: Uint8Array, at: number, end: number): Escape {
  if (at + 1 >= end) return UNFINISHED;
  const next = text[at + 1] ?? 0;
  if (next === 0x75) {
    const braced = at + 2 < end && text[at + 2] === 0x7b;
    return braced ? delimited(text, at, at + 3, end, 0x7d, 16) : codeUnits(text, at, at + 2, end);
  }
  if (next === 0x55) {
    const code = hexNumber(text, at + 2, end, 8);
    return code < 0 ? refused(code) : character(code, 10);
  }
  if (next === 0x78) return oneByte(hexNumber(text, at + 2, end, 2), 4);
  const short = SHORT[next] ?? 0;
  return short === 0 ? NO_ESCAPE : character(short, 2);
}

/** `&amp;` `&#38;` `&#x26;`. */
export function entity(text: Uint8Array, at: number, end: number): Escape {
  if (at + 1 >= end) return UNFINISHED;
  if (text[at + 1] === 0x23) {
    if (at + 2 >= end) return UNFINISHED;
    const hex = ((text[at + 2] ?? 0) | 0x20) === 0x78;
    return delimited(text, at, hex ? at + 3 : at + 2, end, 0x3b, hex ? 16 : 10);
  }
  for (let place = at + 1; place < at + MAX_NAME_BYTES; place++) {
    if (place >= end) return UNFINISHED;
    const byte = text[place] ?? 0;
    if (byte === 0x3b) {
      const code = NAMED.get(String.fromCharCode(...text.subarray(at + 1, place)));
      return code === undefined ? NO_ESCAPE : character(code, place + 1 - at);
    }
    if ((byte | 0x20) < 0x61 || (byte | 0x20) > 0x7a) return NO_ESCAPE;
  }
  return NO_ESCAPE;
}

/** Four hex digits that say one UTF-16 unit; two such escapes in a row may say one character. */
function codeUnits(text: Uint8Array, at: number, digits: number, end: number): Escape {
  const first = hexNumber(text, digits, end, 4);
  if (first < 0) return refused(first);
  const size = digits + 4 - at;
  if (first < 0xd800 || first > 0xdbff) return character(first, size);
  const lead = digits - at;
  for (let offset = 0; offset < lead; offset++) {
    if (digits + 4 + offset >= end) return UNFINISHED;
    if (text[digits + 4 + offset] !== text[at + offset]) return character(first, size);
  }
  const second = hexNumber(text, digits + 4 + lead, end, 4);
  if (second === MORE) return UNFINISHED;
  if (second < 0xdc00 || second > 0xdfff) return character(first, size);
  return character(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00), 2 * size);
}

const MORE = -1;
const NOT_HEX = -2;

function refused(code: number): Escape {
  return code === MORE ? UNFINISHED : NO_ESCAPE;
}

/** `count` hex digits as a number; `MORE` when the text ends before them. */
function hexNumber(text: Uint8Array, from: number, end: number, count: number): number {
  let code = 0;
  for (let place = from; place < from + count; place++) {
    if (place >= end) return MORE;
    const digit = hexDigit(text[place] ?? 0);
    if (digit < 0) return NOT_HEX;
    code = code * 16 + digit;
  }
  return code;
}

/** Digits up to a closing byte. */
function delimited(text: Uint8Array, at: number, digits: number, end: number, close: number, base: 10 | 16): Escape {
  let code = 0;
  for (let place = digits; place < at + MAX_ESCAPE_BYTES; place++) {
    if (place >= end) return UNFINISHED;
    const byte = text[place] ?? 0;
    if (byte === close) return place === digits ? NO_ESCAPE : character(code, place + 1 - at);
    const digit = hexDigit(byte);
    if (digit < 0 || digit >= base) return NO_ESCAPE;
    code = code * base + digit;
  }
  return NO_ESCAPE;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

function oneByte(code: number, size: number): Escape {
  return code < 0 ? refused(code) : size * SIZE + BYTE + code;
}

function character(code: number, size: number): Escape {
  return code > 0x10ffff ? NO_ESCAPE : size * SIZE + code;
}
