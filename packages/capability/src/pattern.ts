import { canonicalJson } from "@rumi/core";
import type { JsonObject, JsonValue } from "@rumi/core";

/**
 * True when everything that `item` names is also named by `pattern`: equal, `"*"`, `*.x` (x and below), `p*` (prefix p).
 * Both may be patterns. Anything with a `*` elsewhere names only itself.
 */
export function covers(pattern: JsonValue, item: JsonValue): boolean {
  if (pattern === item || pattern === "*") return true;
  if (typeof pattern !== "string" || typeof item !== "string") {
    return typeof pattern === "object" && typeof item === "object" && canonicalJson(pattern) === canonicalJson(item);
  }
  const domain = domainBase(pattern);
  if (domain !== null) {
    const named = domainBase(item) ?? item;
    return !named.includes("*") && (named === domain || named.endsWith(`.${domain}`));
  }
  const prefix = prefixBase(pattern);
  return prefix !== null && item.startsWith(prefix);
}

/** `covers` for `KEY@host`: the same key, and a host that the other names. `KEY@*` names only itself. */
export function bindingCovers(pattern: JsonValue, item: JsonValue): boolean {
  if (pattern === item) return true;
  if (typeof pattern !== "string" || typeof item !== "string") return false;
  const [key, host] = splitBinding(pattern);
  const [otherKey, otherHost] = splitBinding(item);
  return key === otherKey && domainBase(host) !== null && covers(host, otherHost);
}

/** Which of the two judges a list of this name. */
export function coverOf(listName: string): (pattern: JsonValue, item: JsonValue) => boolean {
  return listName === "allowed_bindings" ? bindingCovers : covers;
}

/** True when the allow-list `name` of a folded config names `item`, which may be pack-controlled. Absent or empty: false. */
export function isListed(config: JsonObject, name: string, item: string | number): boolean {
  const list = Object.hasOwn(config, name) ? config[name] : undefined;
  if (!Array.isArray(list) || (typeof item === "string" && item.includes("*"))) return false;
  return list.some((pattern: JsonValue) => covers(pattern, item));
}

/** True when a folded `secrets.use` config binds the secret to the host (canonical, as `canonicalHost` gives it). */
export function isBound(config: JsonObject, key: string, host: string): boolean {
  const list = Object.hasOwn(config, "allowed_bindings") ? config.allowed_bindings : undefined;
  if (!Array.isArray(list) || key.includes("@") || host.includes("*")) return false;
  return list.some((pattern: JsonValue) => bindingCovers(pattern, `${key}@${host}`));
}

function domainBase(pattern: string): string | null {
  const base = pattern.startsWith("*.") ? pattern.slice(2) : "";
  return base === "" || base.includes("*") ? null : base;
}

function prefixBase(pattern: string): string | null {
  const base = pattern.endsWith("*") ? pattern.slice(0, -1) : "";
  return base === "" || base.includes("*") ? null : base;
}

function splitBinding(binding: string): [key: string, host: string] {
  const at = binding.indexOf("@");
  return at < 0 ? [binding, ""] : [binding.slice(0, at), binding.slice(at + 1)];
}
