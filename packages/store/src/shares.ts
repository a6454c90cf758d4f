import { PackId, StoreId } from "@rumi/core";
import * as v from "valibot";

/** What a consumer may do in a shared store. */
export const ShareMode = v.picklist(["read", "read_write"]);
export type ShareMode = v.InferOutput<typeof ShareMode>;

/** An operator's yes: `consumer_pack_id` may use `store_id` of `provider_pack_id`, as far as its grants go. */
export const Share = v.object({
  provider_pack_id: PackId,
  consumer_pack_id: PackId,
  store_id: StoreId,
  mode: ShareMode,
  approved_at: v.string(),
  approved_by: v.string(),
});
export type Share = v.InferOutput<typeof Share>;
