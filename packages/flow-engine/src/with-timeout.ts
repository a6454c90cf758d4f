import type { Step } from "./definition.ts";
import { failure } from "./failure.ts";
import type { Place, StepResult } from "./run-state.ts";
import { StopScope } from "./stop-scope.ts";

/** What has a timeout: a step, or a call that asked for less. */
type Timed = Pick<Step, "id" | "timeout_ms">;

/** Performs a step that is no block call within its own timeout, if it has one: everything inside stops then. */
export function withTimeout(
  step: Timed,
  place: Place,
  perform: (place: Place) => StepResult | Promise<StepResult>,
): StepResult | Promise<StepResult> {
  return step.timeout_ms === null ? perform(place) : timed(step, step.timeout_ms, place, perform);
}

async function timed(
  step: Timed,
  timeoutMs: number,
  place: Place,
  perform: (place: Place) => StepResult | Promise<StepResult>,
): Promise<StepResult> {
  using stop = new StopScope(place.stop);
  const reason = `step ${step.id} took longer than ${timeoutMs / 1000} s`;
  const timer = setTimeout(() => stop.stop({ kind: "step_timeout", code: "flow.step_timeout", reason }), timeoutMs);
  try {
    const result = await perform({ ...place, stop });
    if (result.status === "done" || stop.stoppedItself === null) return result;
    return { status: "failed", failure: failure("flow.step_timeout", reason) };
  } finally {
    clearTimeout(timer);
  }
}
