import { canonicalJson, isJsonObject } from "@rumi/core";
import type { JsonObject, JsonValue } from "@rumi/core";
import { coverOf } from "./pattern.ts";

/** What all levels allow together, or where they contradict each other: then nothing is allowed. */
export type Folded =
  | { readonly ok: true; readonly config: JsonObject }
  /** `conflict`: the dotted name of the key. */
  | { readonly ok: false; readonly conflict: string };

/**
 * What configs of all levels allow together: never more than any of them, whatever their order. Lists hold what every
 * level names, numbers the least, booleans the and, strings must be equal, objects go key by key. A key that some level
 * lacks is kept as a restriction; an allow-list (`allowed_*` but `allowed_methods`) is then empty, and an allowance
 * (true, `allow_*`) is dropped.
 */
export function foldGrants(levels: readonly JsonObject[]): Folded {
  try {
    return { ok: true, config: foldObjects(levels, "") };
  } catch (cause) {
    if (cause instanceof Conflict) return { ok: false, conflict: cause.key };
    throw cause;
  }
}

class Conflict extends Error {
  readonly key: string;

  constructor(key: string) {
    super(`configs disagree on ${key}`);
    this.key = key;
  }
}

/** Stands for a key that is dropped. */
const DROPPED = Symbol("dropped");

function foldObjects(levels: readonly JsonObject[], path: string): JsonObject {
  const names = [...new Set(levels.flatMap((level) => Object.keys(level)))];
  const entries = names.flatMap((name): [string, JsonValue][] => {
    const present = levels.flatMap((level): JsonValue[] => {
      const value = Object.hasOwn(level, name) ? level[name] : undefined;
      return value === undefined ? [] : [value];
    });
    const folded = foldValues(name, present, present.length < levels.length, `${path}${name}`);
    return folded === DROPPED ? [] : [[name, folded]];
  });
  return Object.fromEntries(entries);
}

/** `missing`: at least one level says nothing of this key. `present` holds one value or more. */
function foldValues(name: string, present: readonly JsonValue[], missing: boolean, path: string): JsonValue | typeof DROPPED {
  const kind = kindOf(present[0]);
  if (present.some((value) => kindOf(value) !== kind)) throw new Conflict(path);
  if (missing && name.startsWith("allowed_") && name !== "allowed_methods") {
    if (kind !== "list") throw new Conflict(path);
    return [];
  }
  if (kind === "boolean") {
    const every = present.every((value) => value === true);
    return every && missing ? DROPPED : every;
  }
  if (missing && name.startsWith("allow_")) return DROPPED;
  switch (kind) {
    case "list":
      return foldLists(name, present as readonly (readonly JsonValue[])[]);
    case "number":
      return Math.min(...(present as readonly number[]));
    case "object":
      return foldObjects(missing ? [...(present as readonly JsonObject[]), {}] : (present as readonly JsonObject[]), `${path}.`);
    default:
      if (present.some((value) => value !== present[0])) throw new Conflict(path);
      return present[0] ?? null;
  }
}

/** Items of any list that every list names, each once. */
function foldLists(name: string, lists: readonly (readonly JsonValue[])[]): JsonValue[] {
  const cover = coverOf(name);
  const kept = new Map<string, JsonValue>();
  for (const item of lists.flat()) {
    if (lists.every((list) => list.some((pattern) => cover(pattern, item)))) kept.set(canonicalJson(item), item);
  }
  return [...kept.values()];
}

function kindOf(value: JsonValue | undefined): "list" | "object" | "boolean" | "number" | "string" | "null" {
  if (Array.isArray(value)) return "list";
  if (isJsonObject(value)) return "object";
  if (typeof value === "boolean") return "boolean";
  if (typeof value === "number") return "number";
  return typeof value === "string" ? "string" : "null";
}
