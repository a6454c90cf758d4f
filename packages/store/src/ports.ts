import type { JsonValue, StoreId } from "@rumi/core";

/** What a store may hold. */
export interface StoreQuota {
  readonly max_bytes: number;
  readonly max_keys: number;
}

/** What a `cas` expects: the key absent, or a value equal in canonical JSON. */
export type Expected = { readonly kind: "absent" } | { readonly kind: "value"; readonly value: JsonValue };

/** How a `cas` ended. `current` is undefined when the key is absent. */
export type CasOutcome = { readonly swapped: true } | { readonly swapped: false; readonly current: JsonValue | undefined };

/** One page of keys in binary order. */
export interface KeyPage {
  readonly keys: readonly string[];
  readonly has_more: boolean;
  /** Keys with the prefix in all; an estimate is allowed past 10,000. */
  readonly total_estimate: number;
}

/**
 * Values by key, in stores. Writes resolve once they are durable. Keys were checked. `SqliteKvStore` and `MemoryKvStore` pass
 * one contract suite. All @throws StoreError `store.not_found` for a store that was not made.
 */
export interface KvStore extends AsyncDisposable {
  create(store: StoreId, quota: StoreQuota): Promise<void>;
  drop(store: StoreId): Promise<void>;
  usage(store: StoreId): Promise<{ readonly keys: number; readonly bytes: number }>;
  get(store: StoreId, key: string): Promise<JsonValue | undefined>;
  /** @throws StoreError `store.quota_exceeded` */
  set(store: StoreId, key: string, value: JsonValue): Promise<void>;
  /** True when there was one. */
  delete(store: StoreId, key: string): Promise<boolean>;
  list(store: StoreId, range: { readonly prefix: string; readonly after: string | null; readonly limit: number }): Promise<KeyPage>;
  batchGet(store: StoreId, keys: readonly string[]): Promise<readonly (JsonValue | undefined)[]>;
  /** @throws StoreError `store.quota_exceeded` */
  cas(store: StoreId, key: string, expected: Expected, next: JsonValue): Promise<CasOutcome>;
}
