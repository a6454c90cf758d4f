import { findForbiddenKey, FORBIDDEN_KEYS, isJsonObject } from "@rumi/core";
import type { JsonObject, JsonValue } from "@rumi/core";

/** What a patch may do. Moves and copies would carry what lies outside the allowed pointers inside. */
const KEPT_OPS: ReadonlySet<string> = new Set(["add", "remove", "replace", "test"]);

/** Most characters of one pointer, and segments in it. */
const MAX_POINTER = 1_024;

/** The segments of a JSON pointer (RFC 6901), unescaped; null when it is none or leads to a prototype. */
export function pointerSegments(pointer: string): readonly string[] | null {
  if (pointer === "") return [];
  if (pointer.length > MAX_POINTER || !pointer.startsWith("/") || /~(?![01])/u.test(pointer)) return null;
  const segments = pointer
    .slice(1)
    .split("/")
    .map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));
  return segments.some((segment) => FORBIDDEN_KEYS.has(segment)) ? null : segments;
}

/** Whether `pointer` lies at or below one of `prefixes`; a prefix covers whole segments, `""` everything. */
export function isBelow(pointer: string, prefixes: readonly string[]): boolean {
  const segments = pointerSegments(pointer);
  if (segments === null) return false;
  return prefixes.some((prefix) => {
    const wanted = pointerSegments(prefix);
    return wanted !== null && wanted.every((segment, index) => segments[index] === segment);
  });
}

/** A patch as it may be kept. */
export type PatchCheck =
  | { readonly ok: true; readonly ops: readonly JsonObject[]; readonly rejected: number }
  /** Nothing of it may be kept. */
  | { readonly ok: false; readonly reason: string };

/** Keeps the operations of a JSON Patch (RFC 6902) that lie inside `prefixes`, and counts those it leaves out. */
export function checkPatch(patch: readonly JsonValue[], prefixes: readonly string[]): PatchCheck {
  const ops: JsonObject[] = [];
  for (const op of patch) {
    if (isJsonObject(op) && (op["op"] === "move" || op["op"] === "copy"))
      return { ok: false, reason: `${op["op"]} is not allowed in a patch` };
    const kept = keptOp(op, prefixes);
    if (kept !== null) ops.push(kept);
  }
  if (ops.length === 0) return { ok: false, reason: "no operation lies inside what the component allows" };
  return { ok: true, ops, rejected: patch.length - ops.length };
}

/** The operation with its own members only, or null. */
function keptOp(op: JsonValue, prefixes: readonly string[]): JsonObject | null {
  if (!isJsonObject(op)) return null;
  const { op: name, path, value } = op;
  if (typeof name !== "string" || !KEPT_OPS.has(name) || typeof path !== "string" || !isBelow(path, prefixes)) return null;
  if (name === "remove") return { op: name, path };
  if (value === undefined || findForbiddenKey(value) !== null) return null;
  return { op: name, path, value };
}
