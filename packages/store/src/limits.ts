import { MIB } from "@rumi/core";
import type { StoreQuota } from "./ports.ts";

/** What a store may hold when nobody says otherwise. Source: page "Trust", section 10. */
export const DEFAULT_QUOTA: StoreQuota = { max_bytes: 256 * MIB, max_keys: 100_000 };

/** Longest page of keys, and the one that is given when no limit is named. Source: page "Trust", section 10. */
export const MAX_LIST_KEYS = 5000;

/** Most keys one `batch_get` names. Source: page "Trust", section 8. */
export const MAX_BATCH_KEYS = 100;

/** Up to here the keys of a prefix are counted one by one. */
export const EXACT_COUNT = 10_000;

/** Deepest value a store takes: what canonical JSON can compare. */
export const MAX_VALUE_DEPTH = 512;
