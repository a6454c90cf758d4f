export { StoreError } from "./errors.ts";
export type { StoreErrorCode } from "./errors.ts";
export type { CasOutcome, Expected, KeyPage, KvStore, StoreQuota } from "./ports.ts";
