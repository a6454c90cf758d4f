/** Which hosts and origins may speak to the API. */
export interface FrontDoorOptions {
  /** Host names beside the loopback ones, without port. */
  readonly allowedHosts: readonly string[];
  /** Origins beside our own: `https://x.example`, `http://localhost:*` for any port. */
  readonly corsOrigins: readonly string[];
}

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Name part of a Host header in lower case, or null when it is no host. The port is ignored. */
export function hostName(header: string): string | null {
  const match = /^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::\d{1,5})?$/u.exec(header);
  return match?.[1]?.toLowerCase() ?? null;
}

/** True when a Host header names this daemon. */
export function isAllowedHost(header: string, options: FrontDoorOptions): boolean {
  const name = hostName(header);
  if (name === null) return false;
  return LOOPBACK_NAMES.has(name) || options.allowedHosts.some((allowed) => allowed.toLowerCase() === name);
}

/** Where an Origin header stands: our own (same host and port), allowed by setting, or refused (`null` too). */
export function judgeOrigin(origin: string, host: string, options: FrontDoorOptions): "own" | "allowed" | "refused" {
  if (origin.toLowerCase() === `http://${host.toLowerCase()}`) return "own";
  return options.corsOrigins.some((pattern) => matchesOrigin(origin, pattern)) ? "allowed" : "refused";
}

function matchesOrigin(origin: string, pattern: string): boolean {
  if (!pattern.endsWith(":*")) return origin.toLowerCase() === pattern.toLowerCase();
  const base = pattern.slice(0, -2).toLowerCase();
  const asked = origin.toLowerCase();
  return asked === base || (asked.startsWith(`${base}:`) && /^\d{1,5}$/u.test(asked.slice(base.length + 1)));
}
