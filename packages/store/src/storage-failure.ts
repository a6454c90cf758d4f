import { databaseFailure } from "@rumi/safe-files";
import { StoreError } from "./errors.ts";

/** `cause` as an error of this package, without a host path. A `StoreError` stays itself. */
export function storageFailure(cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const { message } = databaseFailure(cause);
  return new StoreError("store.unavailable", message.replace("the database", "the store database"), { cause, remedy: "rumi doctor" });
}
