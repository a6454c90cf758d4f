import { RumiError } from "@rumi/core";

/** Codes of a start that could not be, and of the offline verbs. */
export type RumidErrorCode = "rumid.invalid_setting" | "rumid.port_taken" | "rumid.usage";

/** A start or verb that ends with words for the operator. */
export class RumidError extends RumiError<RumidErrorCode> {}
