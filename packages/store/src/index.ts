export { SqliteKvStore } from "./sqlite-kv-store.ts";
export { MemoryKvStore } from "./memory-kv-store.ts";
export type { CasOutcome, Expected, KeyPage, KvStore, StoreQuota, StoreRecord, StoreTerms, StoreUsage } from "./ports.ts";

export { StoreRegistry } from "./store-registry.ts";
export type { StoreRegistryDeps } from "./store-registry.ts";
export type { CreateAsk, DeclareAnswer, DeclaredStore, ShareAsk } from "./asks.ts";
export { ShareMode } from "./shares.ts";
export type { Share } from "./shares.ts";

export { StoreCursors } from "./store-cursors.ts";
export { checkStoreKey, checkStorePrefix } from "./store-key.ts";
export { DEFAULT_QUOTA, MAX_BATCH_KEYS, MAX_LIST_KEYS } from "./limits.ts";
export { importStore } from "./import-store.ts";
export type { ImportAnswer, ImportAsk } from "./import-store.ts";

export { StoreError } from "./errors.ts";
export type { StoreErrorCode } from "./errors.ts";
