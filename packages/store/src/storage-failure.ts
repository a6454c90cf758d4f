import { SafeFilesError } from "@rumi/safe-files";
import { StoreError } from "./errors.ts";

/** Primary result codes of SQLite, as words for the operator. */
const SQLITE_WORDS: Readonly<Record<number, string>> = {
  5: "the store database is held by another process",
  6: "the store database is held by another process",
  8: "the store database may not be written",
  10: "the store database cannot be read or written",
  11: "the store database is damaged",
  13: "the disk of the store database is full",
  14: "the store database cannot be opened",
  26: "the store database is damaged: the file is no database",
};

/** `cause` as an error of this package, without a host path. A `StoreError` stays itself. */
export function storageFailure(cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  return new StoreError("store.unavailable", words(cause), { cause, remedy: "rumi doctor" });
}

function words(cause: unknown): string {
  if (cause instanceof SafeFilesError) return `the folder of the store database cannot be used: ${cause.message}`;
  const code = typeof cause === "object" && cause !== null && "errcode" in cause ? cause.errcode : null;
  if (typeof code === "number") return SQLITE_WORDS[code & 0xff] ?? `the store database failed (${code})`;
  return "the store database cannot be read or written";
}
