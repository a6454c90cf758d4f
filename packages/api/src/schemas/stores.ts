import { PackId, StoreId } from "@rumi/core";
import * as v from "valibot";
import { Json, list, MAX_LIST_LIMIT, PageEntries, queryInteger, QueryBoolean } from "./common.ts";

/** One store. `owner`: the pack that declared it, null for the operator's own. */
export const StoreView = v.object({
  store_id: v.string(),
  owner: v.nullable(v.string()),
  keys: v.number(),
  bytes: v.number(),
  max_keys: v.optional(v.number()),
  max_bytes: v.optional(v.number()),
  root_path: v.optional(v.nullable(v.string())),
  created_at: v.optional(v.nullable(v.string())),
});
export type StoreView = v.InferOutput<typeof StoreView>;

export const StoreParams = v.strictObject({ id: StoreId });
const StoreKeyText = v.pipe(v.string(), v.minLength(1), v.maxLength(512));
export const StoreListQuery = v.strictObject(PageEntries);
export const StoreKeysQuery = v.strictObject({
  prefix: v.optional(v.pipe(v.string(), v.maxLength(512))),
  limit: v.optional(queryInteger(1, MAX_LIST_LIMIT)),
  cursor: v.optional(v.pipe(v.string(), v.maxLength(4096))),
});
export const StoreKeys = v.object({
  keys: list(v.string()),
  count: v.number(),
  next_cursor: v.nullable(v.string()),
  total_estimate: v.optional(v.number()),
});
/** One page of a store's keys. */
export interface StoreKeysPage {
  readonly keys: readonly string[];
  readonly next_cursor: string | null;
  readonly total_estimate?: number;
}
export const StoreValueQuery = v.strictObject({ key: StoreKeyText });
export const StoreValue = v.object({ store_id: v.string(), key: v.string(), value: Json });

const Quota = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(Number.MAX_SAFE_INTEGER));
export const StoreCreateBody = v.strictObject({
  store_id: StoreId,
  root_path: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(4096))),
  max_bytes: v.optional(Quota),
  max_keys: v.optional(Quota),
});
export type StoreAsk = v.InferOutput<typeof StoreCreateBody>;
export const StoreCreated = v.object({ store_id: v.string() });
export const StoreDeleteQuery = v.strictObject({ force: v.optional(QueryBoolean) });
export const StoreDeleted = v.object({ store_id: v.string(), deleted: v.boolean() });

/** A folder on the daemon's own disk. */
export const StoreImportBody = v.strictObject({
  path: v.pipe(v.string(), v.minLength(1), v.maxLength(4096)),
  overwrite: v.optional(v.boolean()),
});
export const StoreImported = v.object({ imported: v.number(), skipped: v.number(), errors: list(v.unknown()) });
export type StoreImported = v.InferOutput<typeof StoreImported>;

/** What a share lets its consumer do. */
export const ShareMode = v.picklist(["read", "read_write"]);
export type ShareMode = v.InferOutput<typeof ShareMode>;
/** One store that another pack may use. */
export const ShareView = v.object({
  provider_pack_id: v.string(),
  consumer_pack_id: v.string(),
  store_id: v.string(),
  mode: ShareMode,
  approved_at: v.optional(v.nullable(v.string())),
  approved_by: v.optional(v.nullable(v.string())),
});
export type ShareView = v.InferOutput<typeof ShareView>;

/** `owner_pack` and `target_pack` are other names of provider and consumer; one of each is given. */
const Sides = {
  store_id: StoreId,
  provider_pack_id: v.optional(PackId),
  owner_pack: v.optional(PackId),
  consumer_pack_id: v.optional(PackId),
  target_pack: v.optional(PackId),
} as const;
/** A share that is taken back goes whole, whatever `mode` says. */
export const ShareBody = v.strictObject({ ...Sides, mode: v.optional(ShareMode) });
export type ShareBody = v.InferOutput<typeof ShareBody>;
/** Who shares what with whom. */
export interface ShareAsk {
  readonly provider_pack_id: PackId;
  readonly consumer_pack_id: PackId;
  readonly store_id: StoreId;
}
