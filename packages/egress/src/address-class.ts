import { isIPv4, isIPv6 } from "node:net";

/** What an address is, judged on its bytes. Only `global` is outside. */
export type AddressClass =
  | "global"
  | "loopback"
  | "private"
  | "shared"
  | "unique_local"
  | "link_local"
  | "multicast"
  | "unspecified"
  | "reserved"
  | "teredo"
  | "invalid";

/** An address with its class. */
export interface JudgedAddress {
  /** Canonical text of what is dialled. */
  readonly address: string;
  readonly class: AddressClass;
  /** The IPv4 address inside an IPv6 form, by which that form is judged; null for a plain address. */
  readonly inside: string | null;
}

/** IPv4 ranges in the order in which they are looked up; what is in none is global. Source: page "Execution", section 9. */
const V4_RANGES: readonly (readonly [first: number, bits: number, kind: AddressClass])[] = [
  [v4(0, 0, 0, 0), 8, "unspecified"],
  [v4(10, 0, 0, 0), 8, "private"],
  [v4(100, 64, 0, 0), 10, "shared"],
  [v4(127, 0, 0, 0), 8, "loopback"],
  [v4(169, 254, 0, 0), 16, "link_local"],
  [v4(172, 16, 0, 0), 12, "private"],
  [v4(192, 0, 0, 0), 24, "reserved"],
  [v4(192, 0, 2, 0), 24, "reserved"],
  [v4(192, 88, 99, 0), 24, "reserved"],
  [v4(192, 168, 0, 0), 16, "private"],
  [v4(198, 18, 0, 0), 15, "reserved"],
  [v4(198, 51, 100, 0), 24, "reserved"],
  [v4(203, 0, 113, 0), 24, "reserved"],
  [v4(224, 0, 0, 0), 4, "multicast"],
  [v4(240, 0, 0, 0), 4, "reserved"],
];

function v4(a: number, b: number, c: number, d: number): number {
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

/** The class of an address in text form, as a resolver or a URL gives it. A zone id, or anything else, is `invalid`. */
export function judgeAddress(text: string): JudgedAddress {
  if (isIPv4(text)) return { address: text, class: classOfV4(text.split(".").map(Number), 0), inside: null };
  const canonical = isIPv6(text) && !text.includes("%") ? URL.parse(`http://[${text}]/`)?.hostname.slice(1, -1) : undefined;
  if (canonical === undefined) return { address: text, class: "invalid", inside: null };
  const bytes = bytesOfV6(canonical);
  const places = insideV4(bytes);
  if (places === null) return { address: canonical, class: classOfV6(bytes), inside: null };
  const [first = 0] = places;
  const inside = bytes.slice(first, first + 4).join(".");
  return { address: canonical, class: worst(places.map((at) => classOfV4(bytes, at))), inside };
}

/** Sixteen bytes of an IPv6 address in the URL standard's form (hexadecimal groups, one `::` at most). */
function bytesOfV6(canonical: string): number[] {
  const [head = "", tail] = canonical.split("::");
  const groups = (part: string): number[] => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  const first = groups(head);
  const last = tail === undefined ? [] : groups(tail);
  const all = [...first, ...Array.from({ length: 8 - first.length - last.length }, () => 0), ...last];
  return all.flatMap((group) => [group >> 8, group & 0xff]);
}

/** Where an IPv4 address lies inside these bytes; each place must be global. Null when the form carries none. */
function insideV4(bytes: readonly number[]): number[] | null {
  const zero = (from: number, to: number): boolean => bytes.slice(from, to).every((byte) => byte === 0);
  const group = (index: number): number => ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0);
  if (zero(0, 10) && group(5) === 0xffff) return [12];
  // Compatible; `::` and `::1` have a class of their own.
  if (zero(0, 12) && !(zero(12, 15) && (bytes[15] ?? 0) <= 1)) return [12];
  if (group(0) === 0x64 && group(1) === 0xff9b) {
    if (zero(4, 12)) return [12];
    if (group(2) !== 1) return null;
    // A translator may place it behind a shorter prefix of this block, around byte 8 (RFC 6052, section 2.2).
    return zero(6, 12) ? [12] : [12, 6, 7, 9];
  }
  if (group(0) === 0x2002) return [2];
  return null;
}

function classOfV4(bytes: readonly number[], at: number): AddressClass {
  // Places before byte 8 go on behind it, which is always zero there.
  const indexes =
    at >= 4 && at < 8 ? [0, 1, 2, 3].map((step) => (at + step >= 8 ? at + step + 1 : at + step)) : [at, at + 1, at + 2, at + 3];
  const [a = 0, b = 0, c = 0, d = 0] = indexes.map((index) => bytes[index] ?? 0);
  const value = v4(a, b, c, d);
  for (const [first, bits, name] of V4_RANGES) {
    if (value >>> (32 - bits) === first >>> (32 - bits)) return name;
  }
  return "global";
}

function classOfV6(bytes: readonly number[]): AddressClass {
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  if (bytes.slice(0, 15).every((byte) => byte === 0)) return bytes[15] === 1 ? "loopback" : "unspecified";
  if (a === 0xff) return "multicast";
  if ((a & 0xfe) === 0xfc) return "unique_local";
  if (a === 0xfe && (b & 0xc0) === 0x80) return "link_local";
  if (a === 0x20 && b === 0x01 && c === 0 && d === 0) return "teredo";
  if ((a & 0xe0) !== 0x20) return "reserved";
  if (a === 0x20 && b === 0x01 && (c & 0xfe) === 0) return "reserved";
  if (a === 0x20 && b === 0x01 && c === 0x0d && d === 0xb8) return "reserved";
  if (a === 0x3f && b === 0xff && (c & 0xf0) === 0) return "reserved";
  return "global";
}

function worst(classes: readonly AddressClass[]): AddressClass {
  return classes.find((name) => name !== "global") ?? "global";
}
