import { RumiError } from "@rumi/core";

/** Codes of this package. */
export type StoreErrorCode =
  | "store.invalid_id"
  | "store.invalid_key"
  | "store.not_found"
  | "store.exists"
  | "store.invalid_root"
  | "store.owner_mismatch"
  | "store.share_required"
  | "store.conflict"
  | "store.quota_exceeded"
  | "store.payload_too_large"
  | "store.invalid_cursor";

/** What this package refuses or cannot do. */
export class StoreError extends RumiError<StoreErrorCode> {}
