import type { JsonValue } from "@rumi/core";
import type { BuiltInAnswer } from "./answers.ts";
import { call } from "./capability.ts";

/** One value. */
export type StoreValue<Value extends JsonValue = JsonValue> = BuiltInAnswer<{ readonly value: Value }>;

/** One page of keys, in binary order. */
export type StoreList = BuiltInAnswer<{
  readonly keys: readonly string[];
  /** For the next page; null on the last. */
  readonly next_cursor: string | null;
  readonly has_more: boolean;
  readonly total_estimate: number;
}>;

/** Several values; null for a key that is not there. */
export type StoreBatch = BuiltInAnswer<{
  readonly results: Readonly<Record<string, JsonValue>>;
  readonly found: number;
  readonly not_found: number;
  /** The values were too many: the last keys were left out. */
  readonly truncated: boolean;
  readonly warnings: readonly string[];
}>;

/** Which keys a list shows. */
export interface StoreListOptions {
  readonly prefix?: string;
  /** 1 to 5000, the default. */
  readonly limit?: number;
  /** `next_cursor` of the page before. */
  readonly cursor?: string;
}

/** Data kept and shared by packs. Each function is one capability call, under the grant of its name. */
export const store = {
  /** Fails with `key_not_found`. */
  get: <Value extends JsonValue = JsonValue>(storeId: string, key: string) =>
    call("store.get", { store_id: storeId, key }) as Promise<StoreValue<Value>>,
  set: (storeId: string, key: string, value: JsonValue) => call("store.set", { store_id: storeId, key, value }) as Promise<BuiltInAnswer>,
  /** Fails with `key_not_found`. */
  delete: (storeId: string, key: string) => call("store.delete", { store_id: storeId, key }) as Promise<BuiltInAnswer>,
  list: (storeId: string, options: StoreListOptions = {}) => call("store.list", { store_id: storeId, ...options }) as Promise<StoreList>,
  batchGet: (storeId: string, keys: readonly string[]) => call("store.batch_get", { store_id: storeId, keys }) as Promise<StoreBatch>,
  /**
   * Sets `value` if the stored one is `expected`; else fails with `conflict`, and shows `current_value` to who may read it.
   * `expected` left out: the key must not exist. Null: its value must be null.
   */
  cas: (storeId: string, key: string, value: JsonValue, expected?: JsonValue) =>
    call("store.cas", {
      store_id: storeId,
      key,
      new_value: value,
      ...(expected === undefined ? {} : { expected_value: expected }),
    }) as Promise<BuiltInAnswer>,
} as const;
