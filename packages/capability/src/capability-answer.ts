import type { JsonObject } from "@rumi/core";

/** What a pack gets back: always these five keys. */
export type CapabilityAnswer = {
  readonly success: boolean;
  readonly output: JsonObject;
  readonly error: string | null;
  readonly error_type: string | null;
  readonly latency_ms: number;
};

/**
 * A "no" as the pack sees it. Without a latency: two of them are the same bytes, whatever stands behind them.
 * `facts` are put before the fixed keys of `output`.
 */
export function refusalAnswer(error_type: string, error: string, facts: JsonObject = {}): CapabilityAnswer {
  return { success: false, output: { ...facts, success: false, error, error_type }, error, error_type, latency_ms: 0 };
}

/** The generic texts that a pack may see (page "Trust", section 7). */
export const PACK_TEXTS = {
  protocol_error: "Invalid request",
  busy: "Busy",
  invalid_request: "Invalid request",
  rate_limited: "Rate limited",
  permission_denied: "Permission denied",
  limit_reached: "Limit reached",
  timeout: "Timed out",
  handler_error: "Handler failed",
  internal_error: "Internal error",
  response_too_large: "Response too large",
} as const;
