import { canonicalHost, isAddress, isGlobalAddress } from "./host-name.ts";

/** The one form of an entry of `allowed_domains`, or why it is none. `privateHosts`: hosts that `allow_private` of the same grant names. */
export function canonicalDomain(
  text: string,
  privateHosts: ReadonlySet<string>,
): { readonly ok: true; readonly domain: string } | { readonly ok: false; readonly reason: string } {
  if (text === "*") return { ok: true, domain: "*" };
  if (text.startsWith("*.")) {
    const base = canonicalHost(text.slice(2));
    if (base === null || isAddress(base)) return { ok: false, reason: `${quote(text)} is no domain` };
    if (!base.includes(".")) return { ok: false, reason: `${quote(text)} names a whole top-level domain` };
    return { ok: true, domain: `*.${base}` };
  }
  const host = canonicalHost(text);
  if (host === null) return { ok: false, reason: `${quote(text)} is no domain` };
  if (isAddress(host) && !isGlobalAddress(host) && !privateHosts.has(host)) {
    return { ok: false, reason: `${quote(text)} is not a global address; private ones are named in allow_private, with their port` };
  }
  return { ok: true, domain: host };
}

/** The one form of `host:port` in `allow_private` (IPv6 in brackets), or null. */
export function canonicalPair(text: string): string | null {
  const at = text.lastIndexOf(":");
  const port = at > 0 && /^[1-9][0-9]{0,4}$/u.test(text.slice(at + 1)) ? Number(text.slice(at + 1)) : 0;
  if (port < 1 || port > 65_535) return null;
  const written = text.slice(0, at);
  if (written.includes(":") && !(written.startsWith("[") && written.endsWith("]"))) return null;
  const host = canonicalHost(written);
  return host === null ? null : pairOf(host, port);
}

/** `host:port` of a canonical host. */
export function pairOf(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The host of a canonical pair. */
export function hostOfPair(pair: string): string {
  return pair.slice(0, pair.lastIndexOf(":")).replace(/^\[|\]$/gu, "");
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
