import type { RetryPolicy, Step } from "./definition.ts";
import { gotText } from "./fields.ts";
import type { Fields } from "./fields.ts";
import { FILE_CALL_SECONDS, FUNCTION_SECONDS, MAX_RETRY_DELAY_SECONDS, MOST_STEP_SECONDS } from "./limits.ts";

/** A finite number, 100 when absent or (warned) anything else. */
export function readPriority(fields: Fields): number {
  const field = fields.take("priority");
  if (field === null) return 100;
  if (field.node.kind === "number") return Number(field.node.value);
  fields.warn("flow.invalid_field", "priority", `${field.path} must be a number, got ${gotText(field.node)}; read as 100`);
  return 100;
}

/** The retry policy; one attempt when absent. */
export function readRetry(fields: Fields): RetryPolicy {
  const map = fields.map("retry", "flow.invalid_retry");
  if (map === null) return { max_attempts: 1, delay_seconds: 1, backoff: "fixed" };
  const retry: RetryPolicy = {
    max_attempts: map.number("max_attempts", "flow.invalid_retry", { least: 1, most: 10, whole: true, standard: 1 }),
    delay_seconds: map.number("delay_seconds", "flow.invalid_retry", { least: 0, most: MAX_RETRY_DELAY_SECONDS, standard: 1 }),
    backoff: map.oneOf("backoff", "flow.invalid_retry", ["fixed", "exponential"], "fixed"),
  };
  map.finish();
  return retry;
}

/** The step's own timeout in ms, clamped with a warning; null when the type has none by itself. */
export function readTimeout(fields: Fields, type: Step["type"]): number | null {
  const isFileCall = type === "python_file_call" || type === "node_file_call" || type === "file_call";
  const rule = isFileCall ? FILE_CALL_SECONDS : type === "function" ? FUNCTION_SECONDS : { standard: null, most: MOST_STEP_SECONDS };
  const field = fields.take("timeout_seconds");
  if (field === null) return rule.standard === null ? null : rule.standard * 1000;
  const seconds = field.node.kind === "number" ? Number(field.node.value) : Number.NaN;
  if (!(seconds > 0)) {
    fields.fail("flow.invalid_timeout", "timeout_seconds", "a number above 0");
    return null;
  }
  if (seconds > rule.most)
    fields.warn(
      "flow.invalid_timeout",
      "timeout_seconds",
      `${field.path} must be at most ${rule.most}, got ${seconds}; read as ${rule.most}`,
    );
  return Math.min(seconds, rule.most) * 1000;
}
