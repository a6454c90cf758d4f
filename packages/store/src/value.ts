import type { JsonValue } from "@rumi/core";
import { StoreError } from "./errors.ts";
import { MAX_VALUE_DEPTH } from "./limits.ts";
import type { StoreQuota, StoreUsage } from "./ports.ts";

/**
 * `value` as it is kept: compact JSON. It is pack-controlled.
 * @throws StoreError `store.payload_too_large` for one nested too deep, or with a number past what JSON can write
 */
export function valueText(value: JsonValue): string {
  checkValue(value, 0);
  return JSON.stringify(value);
}

function checkValue(value: JsonValue, depth: number): void {
  if (typeof value === "number" && !Number.isFinite(value)) throw tooLarge("a number is too large");
  if (typeof value !== "object" || value === null) return;
  if (depth > MAX_VALUE_DEPTH) throw tooLarge(`the value is nested deeper than ${MAX_VALUE_DEPTH}`);
  for (const member of Object.values(value)) checkValue(member, depth + 1);
}

function tooLarge(message: string): StoreError {
  return new StoreError("store.payload_too_large", message);
}

/** Equal in canonical JSON: the order of members does not count. Also for values that canonical JSON refuses. */
export function sameJson(a: JsonValue, b: JsonValue): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  const [left, right] = [a, b] as readonly Readonly<Record<string, JsonValue>>[];
  return names.every((name) => Object.hasOwn(b, name) && sameJson(left?.[name] ?? null, right?.[name] ?? null));
}

/** Bytes that a key with its value text counts for. */
export function entryBytes(key: string, text: string): number {
  return Buffer.byteLength(key) + Buffer.byteLength(text);
}

/** The texts of `keys` up to the one that takes their bytes over `maxBytes`, so that no question reads without a bound. */
export function upTo(
  maxBytes: number | undefined,
  keys: readonly string[],
  read: (key: string) => string | undefined,
): readonly (string | undefined)[] {
  const texts: (string | undefined)[] = [];
  let bytes = 0;
  for (const key of keys) {
    if (maxBytes !== undefined && bytes > maxBytes) break;
    const text = read(key);
    bytes += text === undefined ? 0 : Buffer.byteLength(text);
    texts.push(text);
  }
  return texts;
}

/**
 * What a store holds after a change. Only what grows is refused, so that a store above its quota can be emptied.
 * @throws StoreError `store.quota_exceeded`
 */
export function usageAfter(now: StoreUsage, change: StoreUsage, quota: StoreQuota): StoreUsage {
  const keys = now.keys + change.keys;
  const bytes = now.bytes + change.bytes;
  if (change.keys > 0 && keys > quota.max_keys) throw overQuota("max_keys", quota.max_keys, `hold more than ${quota.max_keys} keys`);
  if (change.bytes > 0 && bytes > quota.max_bytes) throw overQuota("max_bytes", quota.max_bytes, `hold more than ${quota.max_bytes} bytes`);
  return { keys, bytes };
}

function overQuota(limit: keyof StoreQuota, value: number, words: string): StoreError {
  return new StoreError("store.quota_exceeded", `the store may not ${words}`, { details: { limit, value } });
}
