import { isIP } from "node:net";

/** A host in the one form in which everything compares it. */
export interface CanonicalHost {
  /** A-label in lower case without trailing dot, or an address in canonical form without brackets. */
  readonly host: string;
  readonly kind: "name" | "ipv4" | "ipv6";
}

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/u;

/**
 * The canonical form of a host as a URL or a grant writes it: `EXAMPLE.com.`, `bücher.example`, `0x7f.1`, `[::1]`. Null for
 * what is no host: a zone id, an escape, a port, user information, an empty or overlong label. `text` is pack-controlled.
 */
export function canonicalHost(text: string): CanonicalHost | null {
  if (text.length === 0 || text.length > 1024 || /[\s\u0000-\u0020\u007f%@/\\?#]/u.test(text)) return null;
  const bare = isIP(text) === 6 ? `[${text}]` : text;
  if (bare.startsWith("[") ? !bare.endsWith("]") : bare.includes(":")) return null;
  // The URL standard's parser, the one that fetch itself uses, reads A-labels and every numeric form.
  const parsed = URL.parse(`http://${bare}/`);
  if (parsed === null || parsed.port !== "") return null;
  if (parsed.hostname.startsWith("[")) return { host: parsed.hostname.slice(1, -1), kind: "ipv6" };
  const host = parsed.hostname.endsWith(".") ? parsed.hostname.slice(0, -1) : parsed.hostname;
  if (isIP(host) === 4) return { host, kind: "ipv4" };
  if (host.length > 253 || !host.split(".").every((label) => LABEL.test(label))) return null;
  return { host, kind: "name" };
}

/** The host as a URL writes it: brackets around an IPv6 address. */
export function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** A `host:port` pair of `allow_private` in canonical form; null for what is none. */
export function canonicalPair(pair: string): { readonly host: string; readonly port: number } | null {
  const colon = pair.lastIndexOf(":");
  const port = portNumber(pair.slice(colon + 1));
  const host = colon < 1 ? null : canonicalHost(pair.slice(0, colon));
  return port === null || host === null ? null : { host: host.host, port };
}

/** A port in decimal digits, 1 to 65535. */
export function portNumber(text: string): number | null {
  if (!/^[0-9]{1,5}$/u.test(text)) return null;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : null;
}
