import type { JsonObject } from "@rumi/core";

/** The texts of an allow-list. Absent or not a list: none, so nothing is allowed. */
export function allowList(config: JsonObject, key: string): readonly string[] {
  const list = Object.hasOwn(config, key) ? config[key] : undefined;
  return Array.isArray(list) ? list.filter((item): item is string => typeof item === "string") : [];
}

/** A number of a config, or `standard` where there is none. */
export function numberOf(config: JsonObject, key: string, standard: number): number {
  const value = Object.hasOwn(config, key) ? config[key] : undefined;
  return typeof value === "number" && Number.isFinite(value) ? value : standard;
}
