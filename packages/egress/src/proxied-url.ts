import type { Fault } from "./fault.ts";
import { fault } from "./fault.ts";
import { pairsOf } from "./header-rules.ts";
import { canonicalHost, urlHost } from "./host-name.ts";

/**
 * The whole URL of a request that a proxy's client made, pack-controlled, or what is wrong with it: in absolute form, or, inside a
 * tunnel, a path of the tunnel's own host.
 */
export function proxiedUrl(
  incoming: { readonly url?: string | undefined; readonly rawHeaders: readonly string[] },
  tunnel: { readonly host: string; readonly port: number } | null,
): string | Fault {
  const target = incoming.url ?? "";
  const hosts = pairsOf(incoming.rawHeaders).filter(([name]) => name.toLowerCase() === "host");
  if (hosts.length > 1) return fault("validation_error", 4, "more than one Host");
  const host = hosts[0]?.[1];
  if (tunnel === null) {
    if (!/^https?:\/\//iu.test(target)) return fault("validation_error", 3, "A proxy is asked with a whole URL");
    const named = /^https?:\/\/([^/?#]*)/iu.exec(target)?.[1] ?? "";
    const fallback = /^https:/iu.test(target) ? 443 : 80;
    if (host !== undefined && !sameHost(host, named, fallback)) return fault("validation_error", 4, "Host is not the URL's");
    return target;
  }
  if (!target.startsWith("/")) return fault("validation_error", 3, "Inside a tunnel a request names a path");
  const authority = `${urlHost(tunnel.host)}:${tunnel.port}`;
  if (host === undefined || !sameHost(host, authority, 80)) return fault("validation_error", 4, "Host is not the tunnel's");
  return `http://${authority}${target}`;
}

function sameHost(one: string, other: string, port: number): boolean {
  const canonical = (text: string): string | null => {
    const parts = /^(\[[^\]]*\]|[^:]*)(?::([0-9]+))?$/u.exec(text.trim());
    const host = canonicalHost(parts?.[1] ?? "")?.host;
    return host === undefined ? null : `${host} ${parts?.[2] === undefined ? port : Number(parts[2])}`;
  };
  const left = canonical(one);
  return left !== null && left === canonical(other);
}
