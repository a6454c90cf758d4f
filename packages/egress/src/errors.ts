import { RumiError } from "@rumi/core";

/** Codes of this package. */
export type EgressErrorCode = "egress.report_too_long";

/** What this package refuses or cannot do. */
export class EgressError extends RumiError<EgressErrorCode> {}
