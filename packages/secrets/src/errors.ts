import { RumiError } from "@rumi/core";

/** Codes of this package. */
export type SecretsErrorCode =
  | "secrets.invalid_key"
  | "secrets.invalid_value"
  | "secrets.too_short"
  | "secrets.too_large"
  | "secrets.not_found"
  | "secrets.locked"
  | "secrets.access_denied"
  | "secrets.binding_suspended";

/** What this package refuses or cannot do. */
export class SecretsError extends RumiError<SecretsErrorCode> {}
