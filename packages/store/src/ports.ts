import type { JsonValue, PackId, StoreId } from "@rumi/core";

/** What a store may hold. */
export interface StoreQuota {
  /** Bytes of all keys and of all values as compact JSON in UTF-8. */
  readonly max_bytes: number;
  readonly max_keys: number;
}

/** What a store is made with. */
export interface StoreTerms extends StoreQuota {
  /** The pack that owns it; null or absent: the operator. */
  readonly owner?: PackId | null;
  /** As the operator named it. Kept and shown, of no use to the store. */
  readonly root_path?: string | null;
  /** UTC ISO time; absent: null. */
  readonly created_at?: string | null;
}

/** What a store holds: exact, at every commit. */
export interface StoreUsage {
  readonly keys: number;
  readonly bytes: number;
}

/** One store as it stands. */
export interface StoreRecord extends Required<StoreTerms>, StoreUsage {
  readonly store_id: StoreId;
}

/** What a `cas` expects: the key absent, or a value equal in canonical JSON. */
export type Expected = { readonly kind: "absent" } | { readonly kind: "value"; readonly value: JsonValue };

/** How a `cas` ended. `current` is undefined when the key is absent. */
export type CasOutcome = { readonly swapped: true } | { readonly swapped: false; readonly current: JsonValue | undefined };

/** One page of keys in binary order. */
export interface KeyPage {
  readonly keys: readonly string[];
  readonly has_more: boolean;
  /** Keys with the prefix in all; exact up to 10,000, past that the number of all keys of the store. */
  readonly total_estimate: number;
}

/**
 * Values by key, in stores. Writes resolve once they are durable, and no read sees a value that is not. Keys were checked.
 * `SqliteKvStore` and `MemoryKvStore` pass one contract suite. All @throws StoreError `store.not_found` for a store that was
 * not made, `store.unavailable` when the storage itself fails.
 */
export interface KvStore extends AsyncDisposable {
  /** @throws StoreError `store.exists` */
  create(store: StoreId, terms: StoreTerms): Promise<void>;
  /** Changes what a store may hold. What it holds already stays, also above the new quota. */
  requota(store: StoreId, quota: StoreQuota): Promise<void>;
  /** Removes the store with all it holds. */
  drop(store: StoreId): Promise<void>;
  /** Every store, by id. */
  stores(): Promise<readonly StoreRecord[]>;
  usage(store: StoreId): Promise<StoreUsage>;
  get(store: StoreId, key: string): Promise<JsonValue | undefined>;
  /** @throws StoreError `store.quota_exceeded`; `store.payload_too_large` for a value nested deeper than 512 */
  set(store: StoreId, key: string, value: JsonValue): Promise<void>;
  /** Many sets in one transaction: all or, on any error, none. Without `overwrite` a key that is there keeps its value. */
  setAll(
    store: StoreId,
    entries: readonly (readonly [key: string, value: JsonValue])[],
    options?: { readonly overwrite?: boolean },
  ): Promise<{ readonly written: number; readonly kept: number }>;
  /** True when there was one. */
  delete(store: StoreId, key: string): Promise<boolean>;
  /** Keys that begin with `prefix` and come after `after`. */
  list(store: StoreId, range: { readonly prefix: string; readonly after: string | null; readonly limit: number }): Promise<KeyPage>;
  /**
   * Values in the order of `keys`, undefined where absent. Reading ends behind the value that takes the sum over `max_bytes`:
   * then there are fewer values than keys.
   */
  batchGet(store: StoreId, keys: readonly string[], options?: { readonly max_bytes?: number }): Promise<readonly (JsonValue | undefined)[]>;
  /** @throws StoreError `store.quota_exceeded`, `store.payload_too_large` */
  cas(store: StoreId, key: string, expected: Expected, next: JsonValue): Promise<CasOutcome>;
}
