import { RumiError } from "@rumi/core";
import type { Failure } from "./step-status.ts";

/** Outcomes a `retry` repeats. Everything else (refusals, bad input, aborts, cancellation) is final. */
const RETRYABLE_CODES: ReadonlySet<string> = new Set([
  "sandbox.block_error",
  "sandbox.module_load_error",
  "sandbox.no_run_function",
  "sandbox.invalid_output",
  "sandbox.response_too_large",
  "sandbox.timeout",
  "sandbox.crashed",
  "sandbox.oom_killed",
  "sandbox.protocol_error",
  "sandbox.instance_lost",
  "sandbox.busy",
  "sandbox.start_failed",
  "flow.child_failed",
]);

/** Whether a step that failed with `code` may be tried again. */
export function isRetryable(code: string): boolean {
  return RETRYABLE_CODES.has(code);
}

/** A failure with a code of this package. */
export function failure(code: string, message: string, details?: Failure["details"]): Failure {
  return {
    code,
    error_type: code.slice(code.indexOf(".") + 1),
    message,
    retryable: isRetryable(code),
    ...(details === undefined ? {} : { details }),
  };
}

/** The failure of something thrown. An unknown error's text is shown on one line; handlers are the daemon's own code. */
export function failureOf(error: unknown): Failure {
  if (error instanceof RumiError) {
    return { ...failure(error.code, error.message), ...(error.remedy === undefined ? {} : { remedy: error.remedy }) };
  }
  return failure("kernel.failed", error instanceof Error ? `${error.name}: ${error.message}` : "a handler failed");
}
