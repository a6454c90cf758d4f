import type { JsonObject } from "@rumi/core";

/** How a step ended. Only `done` writes values and satisfies dependents. */
export type StepStatus = "done" | "failed" | "missing" | "skipped";

/** Why a step failed. */
export interface Failure {
  readonly code: string;
  readonly error_type: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly remedy?: string;
  readonly details?: JsonObject;
}
