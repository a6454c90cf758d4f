import { domainToASCII } from "node:url";

/**
 * Whether a pattern of a pack's manifest covers a host: equal, `"*"`, or `*.x` for x and all below. `host` is canonical;
 * the pattern is what an author wrote, so case, a trailing dot and Unicode are brought in line. Anything else covers nothing.
 */
export function covers(pattern: string, host: string): boolean {
  const wanted = pattern.trim();
  if (wanted === "*") return true;
  const below = wanted.startsWith("*.");
  const name = canonical(below ? wanted.slice(2) : wanted);
  if (name === "") return false;
  return host === name || (below && host.endsWith(`.${name}`));
}

function canonical(name: string): string {
  const bare = name.startsWith("[") && name.endsWith("]") ? name.slice(1, -1) : name;
  if (bare.includes(":")) return bare.toLowerCase();
  return domainToASCII(bare.endsWith(".") ? bare.slice(0, -1) : bare);
}
