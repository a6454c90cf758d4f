import type { ExecutionMode, JsonObject } from "@rumi/core";
import type { BlockOutcome } from "@rumi/flow-engine";
import type { RunFailed, RunResult } from "@rumi/sandbox";

/** Refusals after which another attempt may meet better luck. Source: page "Flows", section 7, "Retry". */
const RETRYABLE_REFUSALS: ReadonlySet<string> = new Set(["sandbox.busy", "sandbox.start_failed"]);

/** The warning that stands in every result of a block that ran without walls. */
export const HOST_WARNING = "permissive: this block ran on the host, without network, file or memory walls";

/** A block that was not run at all. */
export interface BlockRefusal {
  readonly error_type: string;
  readonly code: string;
  /** The code of what led to it, which the audit names. */
  readonly cause?: string;
  readonly message: string;
  readonly remedy?: string | undefined;
}

/** The outcome of a call that was made. */
export function outcomeOf(result: RunResult, mode: ExecutionMode): BlockOutcome {
  if (result.kind === "ok") {
    return {
      ok: true,
      value: result.value,
      execution_mode: mode,
      warnings: withHostWarning(result.warnings, mode),
      duration_ms: result.duration_ms,
    };
  }
  return {
    ok: false,
    code: `sandbox.${result.kind}`,
    error_type: result.kind,
    message: result.message,
    execution_mode: mode,
    retryable: result.kind !== "cancelled",
    details: failureDetails(result),
    warnings: withHostWarning([], mode),
    duration_ms: result.duration_ms,
  };
}

/** The outcome of a call that was refused before anything ran. */
export function refusedOutcome(refusal: BlockRefusal, durationMs: number): BlockOutcome {
  return {
    ok: false,
    code: refusal.code,
    error_type: refusal.error_type,
    message: refusal.message,
    ...(refusal.remedy === undefined ? {} : { remedy: refusal.remedy }),
    execution_mode: "rejected",
    retryable: RETRYABLE_REFUSALS.has(refusal.code),
    duration_ms: durationMs,
  };
}

/** The warning, unless the sandbox gave its own already. */
function withHostWarning(warnings: readonly string[], mode: ExecutionMode): readonly string[] {
  if (mode !== "host_permissive" || warnings.some((warning) => warning.startsWith("permissive"))) return warnings;
  return [...warnings, HOST_WARNING];
}

function failureDetails(result: RunFailed): JsonObject {
  const details: Record<string, string | number> = {};
  if (result.exception_type !== undefined) details["exception_type"] = result.exception_type;
  if (result.traceback !== undefined) details["traceback"] = result.traceback;
  if (result.exit_code !== undefined) details["exit_code"] = result.exit_code;
  if (result.signal !== undefined) details["signal"] = result.signal;
  return details;
}
