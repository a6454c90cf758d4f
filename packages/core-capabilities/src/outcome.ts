import type { CapabilityOutcome } from "@rumi/capability";
import type { JsonObject } from "@rumi/core";

/** A use that went well. */
export function done(output: JsonObject = {}): CapabilityOutcome {
  return { ok: true, output };
}

/** A use that did not. The pack sees `error` and `output`; `reason` is for operator and audit. */
export function failed(
  errorType: string,
  error: string,
  facts: { readonly reason?: string; readonly output?: JsonObject } = {},
): CapabilityOutcome {
  return { ok: false, error_type: errorType, error, ...facts };
}

/** The generic "no" of the broker, for what only the power itself can tell. */
export function denied(reason: string): CapabilityOutcome {
  return failed("permission_denied", "Permission denied", { reason });
}
