import { createHash } from "node:crypto";
import { CoreError } from "./errors.ts";
import type { Digest } from "./ids.ts";

/** Any JSON value. Objects are plain maps; readonly because parsed input is never mutated. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** A JSON object. */
export type JsonObject = { readonly [key: string]: JsonValue };

/** Keys that refuse a file or a request wherever they appear: they reach prototypes in careless code. */
export const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** True for a plain JSON object (not null, not a list). */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * RFC 8785 canonical JSON text of `value`: keys sorted by UTF-16 code units, ES number format, no blanks.
 * `undefined` members are left out, as JSON.stringify does.
 * @throws CoreError `core.invalid_json_value` for lone surrogates, non-finite numbers, integers past 2^53-1,
 * functions, symbols, bigints or cycles deeper than 512.
 */
export function canonicalJson(value: unknown): string {
  return write(value, 0);
}

function write(value: unknown, depth: number): string {
  if (depth > 512) throw new CoreError("core.invalid_json_value", "value is nested deeper than 512");
  if (value === null) return "null";
  switch (typeof value) {
    case "boolean":
      return value ? "true" : "false";
    case "number":
      if (!Number.isFinite(value)) throw new CoreError("core.invalid_json_value", "number is not finite");
      if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
        throw new CoreError("core.invalid_json_value", "integer is past 2^53-1");
      }
      return JSON.stringify(value);
    case "string":
      if (!value.isWellFormed()) throw new CoreError("core.invalid_json_value", "text holds a lone surrogate");
      return JSON.stringify(value);
    case "object":
      break;
    default:
      throw new CoreError("core.invalid_json_value", `a ${typeof value} is not JSON`);
  }
  if (Array.isArray(value)) return `[${value.map((item: unknown) => write(item ?? null, depth + 1)).join(",")}]`;
  const object = value as Record<string, unknown>;
  const parts: string[] = [];
  for (const key of Object.keys(object).sort()) {
    const member = object[key];
    if (member === undefined) continue;
    parts.push(`${write(key, depth + 1)}:${write(member, depth + 1)}`);
  }
  return `{${parts.join(",")}}`;
}

/** Depth of `value` with the root at 0 and scalars adding nothing; stops counting at `limit` + 1. */
export function jsonDepth(value: unknown, limit: number): number {
  const walk = (node: unknown, depth: number): number => {
    if (depth > limit || typeof node !== "object" || node === null) return depth;
    let deepest = depth;
    for (const child of Object.values(node)) {
      if (typeof child === "object" && child !== null) deepest = Math.max(deepest, walk(child, depth + 1));
      if (deepest > limit) break;
    }
    return deepest;
  };
  return walk(value, 0);
}

/** First forbidden key (`__proto__`, `constructor`, `prototype`) anywhere in `value`, or null. */
export function findForbiddenKey(value: unknown): string | null {
  if (typeof value !== "object" || value === null) return null;
  const stack: object[] = [value];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    for (const key of Object.keys(node)) {
      if (FORBIDDEN_KEYS.has(key) && !Array.isArray(node)) return key;
      const child = (node as Record<string, unknown>)[key];
      if (typeof child === "object" && child !== null) stack.push(child);
    }
  }
  return null;
}

/** `sha256:<hex>` of UTF-8 text or bytes. */
export function sha256(data: string | Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(data).digest("hex")}` as Digest;
}

/** Digest of the canonical JSON of `value`. @throws CoreError `core.invalid_json_value` */
export function jsonDigest(value: unknown): Digest {
  return sha256(canonicalJson(value));
}
