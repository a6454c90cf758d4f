import { PackId } from "@rumi/core";
import * as v from "valibot";
import { PageEntries } from "./common.ts";

/** How a pack's `lib/` ran last: its last success, and the failure after it. */
export const LibRecordView = v.object({
  pack_id: v.string(),
  lib_type: v.picklist(["install", "update"]),
  lib_digest: v.string(),
  executed_at: v.string(),
  success: v.boolean(),
  error: v.nullable(v.string()),
  /** How often in a row these bytes failed; at three they are not tried again. */
  failures: v.number(),
});
export type LibRecordView = v.InferOutput<typeof LibRecordView>;

export const LibListQuery = v.strictObject({ ...PageEntries, pack_id: v.optional(PackId) });
export const LibParams = v.strictObject({ pack_id: PackId });
export const LibCleared = v.object({ pack_id: v.string(), cleared: v.boolean() });

/** Without `pack_id`: every pack that may run. */
export const LibProcessBody = v.strictObject({ pack_id: v.optional(PackId) });

/** What was done with a pack's `lib/`. */
export const LibEnd = v.object({
  pack_id: v.string(),
  lib_type: v.nullable(v.picklist(["install", "update"])),
  result: v.picklist(["done", "failed", "skipped", "none", "gave_up", "refused"]),
  code: v.nullable(v.string()),
  error: v.nullable(v.string()),
  duration_ms: v.nullable(v.number()),
});
export type LibEnd = v.InferOutput<typeof LibEnd>;
export const LibEnds = v.object({ libs: v.pipe(v.array(LibEnd), v.readonly()) });
