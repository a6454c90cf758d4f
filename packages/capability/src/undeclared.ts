import { canonicalJson, isJsonObject } from "@rumi/core";
import type { JsonObject, JsonValue } from "@rumi/core";
import type { GrantSpec } from "./grant-specs.ts";
import { coverOf } from "./pattern.ts";
import * as v from "valibot";

/** Longest item named in words; what a pack or operator wrote may be long. */
const MAX_SHOWN = 200;

/**
 * What a grant gives beyond what the pack asked for, in words; empty when it asked for all of it. `declared` is
 * pack-controlled and of any form; undefined: the pack did not ask for this permission at all.
 */
export function undeclaredParts(spec: GrantSpec, granted: JsonObject, declared: JsonObject | undefined): string[] {
  if (declared === undefined) return [spec.permission_id];
  const parsed = v.safeParse(spec.config, declared);
  const asked = parsed.success ? parsed.output : declared;
  return Object.entries(granted).flatMap(([name, value]) =>
    excess(name, value, Object.hasOwn(asked, name) ? asked[name] : spec.defaults[name]),
  );
}

function excess(name: string, granted: JsonValue, asked: JsonValue | undefined): string[] {
  if (Array.isArray(granted)) {
    const list: readonly JsonValue[] = Array.isArray(asked) ? asked : [];
    const cover = coverOf(name);
    // Where every method, kind or path is asked for by leaving the list out, a list is only less.
    if (asked === undefined && name === "allowed_methods") return [];
    return granted
      .filter((item: JsonValue) => !list.some((pattern) => cover(pattern, item)))
      .map((item: JsonValue) => `${name}: ${show(item)}`);
  }
  if (typeof granted === "number") return typeof asked === "number" && granted > asked ? [`${name}: ${granted}`] : [];
  if (typeof granted === "boolean") return granted && asked !== true ? [`${name}: true`] : [];
  if (isJsonObject(granted)) {
    const inner = isJsonObject(asked) ? asked : {};
    return Object.entries(granted).flatMap(([key, value]) =>
      excess(key, value, Object.hasOwn(inner, key) ? inner[key] : undefined).map((part) => `${name}.${part}`),
    );
  }
  return granted === asked ? [] : [`${name}: ${show(granted)}`];
}

function show(value: JsonValue): string {
  return (typeof value === "string" ? value : canonicalJson(value)).slice(0, MAX_SHOWN);
}
