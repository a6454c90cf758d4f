import { RumiError } from "@rumi/core";

/** Codes of this package. */
export type CapabilityErrorCode =
  | "capability.permission_denied"
  | "capability.trust_denied"
  | "capability.slug_taken"
  | "capability.permission_taken"
  | "capability.invalid_config"
  | "capability.batch_too_large"
  | "capability.grant_not_found"
  | "capability.grant_expired"
  | "capability.config_conflict"
  | "capability.limit_reached"
  | "capability.rate_limited";

/** What this package refuses or cannot do. */
export class CapabilityError extends RumiError<CapabilityErrorCode> {}
