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
  | "store.invalid_cursor"
  /** The database cannot be read or written now: damaged, held by another process, disk full. */
  | "store.unavailable";

/** What this package refuses or cannot do. */
export class StoreError extends RumiError<StoreErrorCode> {}

/** The refusal for a store that was not made. */
export function storeNotFound(store: string): StoreError {
  return new StoreError("store.not_found", `there is no store ${JSON.stringify(store)}`, {
    details: { store_id: store },
    remedy: `rumi store create ${store}`,
  });
}
