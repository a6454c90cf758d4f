import { isJsonObject } from "@rumi/core";
import type { FunctionStep } from "./definition.ts";
import { expand } from "./expression.ts";
import { failure } from "./failure.ts";
import { CALL_ABORT_GRACE_MS, MAX_CHAIN } from "./limits.ts";
import type { FunctionAsk } from "./ports.ts";
import type { Place, StepResult, StepExecutor } from "./run-state.ts";
import { settle } from "./settle-outcome.ts";
import { settledOrAbandoned } from "./waiting.ts";

/** Runs a function of a pack, or a capability by its permission id, as the step's principal. */
export async function performFunction(runner: StepExecutor, step: FunctionStep, place: Place, attempt: number): Promise<StepResult> {
  const { run, collaborators } = runner;
  const { functions } = collaborators;
  if (functions === null) return missing(`there is no function ${step.function}`);
  const args = expand(step.input, place.scope, run.budget.sizer);
  if (!isJsonObject(args)) return { status: "failed", failure: failure("flow.invalid_input", "the input of a function must be a map") };
  const { chain } = place.frame;
  if (chain.length >= MAX_CHAIN) {
    const text = `at most ${MAX_CHAIN} flows and functions may call each other: ${chain.join(" -> ")}`;
    return { status: "failed", failure: failure("flow.depth_exceeded", text, { chain: [...chain] }) };
  }
  const { signal } = place.stop;
  if (!(await run.blockSlots.acquire(signal))) return { status: "stopped" };
  try {
    const left = Math.max(1, run.deadline - collaborators.clock.monotonic());
    const path = place.path + step.id;
    const ask: FunctionAsk = {
      call_id: `${run.runId}:${path}@${attempt}`,
      run_id: run.runId,
      flow_id: place.frame.composed.definition.flow_id,
      step_id: step.id,
      step_path: path,
      phase: step.phase ?? place.phase,
      attempt,
      idempotency_key: `${run.runId}:${place.key}${step.id}`,
      chain,
      name: step.function,
      principal: step.principal,
      principal_digest: step.principal_digest,
      args,
      timeout_ms: Math.ceil(Math.min(step.timeout_ms ?? left, left)),
    };
    const ended = await settledOrAbandoned(functions.call(ask, signal), signal, CALL_ABORT_GRACE_MS);
    if (ended === null) return { status: "stopped" };
    return ended.found ? settle(runner, step, ended.owner_pack, ended.outcome) : missing(ended.message);
  } finally {
    run.blockSlots.release();
  }
}

function missing(message: string): StepResult {
  return { status: "missing", failure: failure("flow.missing_target", message) };
}
