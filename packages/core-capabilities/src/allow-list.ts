import type { JsonObject } from "@rumi/core";

/** The texts of an allow-list. Absent or not a list: none, so nothing is allowed. */
export function allowList(config: JsonObject, key: string): readonly string[] {
  const list = Object.hasOwn(config, key) ? config[key] : undefined;
  return Array.isArray(list) ? list.filter((item): item is string => typeof item === "string") : [];
}

/** Whether an item covers `value`: equal, `"*"`, or `p*` for what begins with `p`. Source: page "Trust", section 6. */
export function covers(item: string, value: string): boolean {
  if (item === "*" || item === value) return true;
  return item.length > 1 && item.endsWith("*") && value.startsWith(item.slice(0, -1));
}

/** True when an item of the allow-list `key` covers `value`. */
export function isListed(config: JsonObject, key: string, value: string): boolean {
  return allowList(config, key).some((item) => covers(item, value));
}

/** A number of a config, or `standard` where there is none. */
export function numberOf(config: JsonObject, key: string, standard: number): number {
  const value = Object.hasOwn(config, key) ? config[key] : undefined;
  return typeof value === "number" && Number.isFinite(value) ? value : standard;
}
