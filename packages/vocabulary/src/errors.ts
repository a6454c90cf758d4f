import { RumiError } from "@rumi/core";

/** Codes of this package. */
export type VocabularyErrorCode =
  | "dict.rejected"
  | "dict.conflict"
  | "dict.cycle_detected"
  | "dict.not_found"
  | "dict.unavailable"
  | "vocab.convert_failed"
  | "vocab.collision";

/** What this package refuses or cannot do. */
export class VocabularyError extends RumiError<VocabularyErrorCode> {}
