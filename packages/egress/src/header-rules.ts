import type { Fault } from "./fault.ts";
import { fault } from "./fault.ts";
import { MAX_HEADER_NAME, MAX_HEADER_VALUE, MAX_REQUEST_HEADERS } from "./limits.ts";
import type { HeaderPair } from "./request-message.ts";

/** Headers that only the proxy writes, in lower case; `proxy-*` too. */
const PROXY_OWNED: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "te",
  "trailer",
  "upgrade",
  "expect",
  "accept-encoding",
]);

/** Headers that stay behind when a redirect leads to another origin. */
const CREDENTIALS: ReadonlySet<string> = new Set(["authorization", "cookie"]);

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/u;
/** Tab, and every character of one byte that is no control character. */
const VALUE = /^[\t\u0020-\u007e\u0080-\u00ff]*$/u;

/** True for a header that only the proxy writes. `name` in lower case. */
export function isProxyOwned(name: string): boolean {
  return PROXY_OWNED.has(name) || name.startsWith("proxy-");
}

/** Rule 4: what is wrong with these pack-controlled headers, or null. */
export function checkRequestHeaders(headers: readonly HeaderPair[]): Fault | null {
  const refuse = (rule: string): Fault => fault("validation_error", 4, rule);
  if (headers.length > MAX_REQUEST_HEADERS) return refuse(`more than ${MAX_REQUEST_HEADERS} headers`);
  for (const [name, value] of headers) {
    if (name.length > MAX_HEADER_NAME || !TOKEN.test(name)) return refuse("a header's name is no token");
    if (isProxyOwned(name.toLowerCase())) return refuse(`the header ${name} is the proxy's`);
    if (value.length > MAX_HEADER_VALUE) return refuse(`the header ${name} is over ${MAX_HEADER_VALUE} characters`);
    if (!VALUE.test(value)) return refuse(`the header ${name} holds a character that no header may hold`);
  }
  return null;
}

/** True when a header of that name is there. `name` in lower case. */
export function hasHeader(headers: readonly HeaderPair[], name: string): boolean {
  return headers.some(([one]) => one.toLowerCase() === name);
}

/** The headers that may follow to another origin. */
export function withoutCredentials(headers: readonly HeaderPair[]): readonly HeaderPair[] {
  return headers.filter(([name]) => !CREDENTIALS.has(name.toLowerCase()));
}

/** Pairs of a message that came through the forward proxy: without what belongs to that one connection alone. */
export function endToEnd(headers: readonly HeaderPair[]): HeaderPair[] {
  const named = headers
    .filter(([name]) => name.toLowerCase() === "connection")
    .flatMap(([, value]) => value.toLowerCase().split(","))
    .map((name) => name.trim());
  return headers.filter(([name]) => !isProxyOwned(name.toLowerCase()) && !named.includes(name.toLowerCase()));
}

/** Pairs out of a flat list of names and values. */
export function pairsOf(flat: readonly string[]): HeaderPair[] {
  const pairs: HeaderPair[] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([flat[at] ?? "", flat[at + 1] ?? ""]);
  return pairs;
}

/** One value per name in lower case; repeated ones joined by `, `. */
export function joinHeaders(headers: readonly HeaderPair[]): { [name: string]: string } {
  const joined: { [name: string]: string } = {};
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    if (key === "__proto__") continue;
    joined[key] = Object.hasOwn(joined, key) ? `${joined[key]}, ${value}` : value;
  }
  return joined;
}

/** The value of a header, repeated ones joined; undefined when it is not there. `name` in lower case. */
export function headerValue(headers: readonly HeaderPair[], name: string): string | undefined {
  const values = headers.filter(([one]) => one.toLowerCase() === name).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(", ");
}
