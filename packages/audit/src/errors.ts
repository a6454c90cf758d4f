import { RumiError } from "@rumi/core";

/** Codes of this package. */
export type AuditErrorCode = "audit.unavailable" | "audit.chain_broken";

/** The log cannot be written (the audited action must not happen), or does not hold together. */
export class AuditError extends RumiError<AuditErrorCode> {}
