import type { JsonValue } from "@rumi/core";
import type { FileCallStep } from "./definition.ts";
import { expand } from "./expression.ts";
import { failure } from "./failure.ts";
import { CALL_ABORT_GRACE_MS } from "./limits.ts";
import type { BlockCall, BlockTarget } from "./ports.ts";
import type { Place, StepResult, StepExecutor } from "./run-state.ts";
import { settle } from "./settle-outcome.ts";
import { settledOrAbandoned } from "./waiting.ts";

/** Runs the file of a step through the block runner, at the digest the flow is bound to. */
export function performFileCall(runner: StepExecutor, step: FileCallStep, place: Place, attempt: number): StepResult | Promise<StepResult> {
  const target = place.frame.composed.targets.get(step.id);
  if (target?.found !== true) {
    return {
      status: "missing",
      failure: failure("flow.missing_target", target?.message ?? `there is no file ${step.file} of pack ${step.owner_pack}`),
    };
  }
  const input = expand(step.input, place.scope, runner.run.budget.sizer);
  return call(runner, step, place, attempt, target, input);
}

async function call(
  runner: StepExecutor,
  step: FileCallStep,
  place: Place,
  attempt: number,
  target: BlockTarget & { readonly found: true },
  input: JsonValue,
): Promise<StepResult> {
  const { run, collaborators } = runner;
  const { signal } = place.stop;
  if (!(await run.blockSlots.acquire(signal))) return { status: "stopped" };
  try {
    const left = Math.max(1, run.deadline - collaborators.clock.monotonic());
    const asked = createCall(runner, step, place, attempt, target, input, Math.min(step.timeout_ms ?? left, left));
    const outcome = await settledOrAbandoned(collaborators.blocks.run(asked, signal), signal, CALL_ABORT_GRACE_MS);
    return outcome === null ? { status: "stopped" } : settle(runner, step, step.owner_pack, outcome);
  } finally {
    run.blockSlots.release();
  }
}

function createCall(
  runner: StepExecutor,
  step: FileCallStep,
  place: Place,
  attempt: number,
  target: BlockTarget & { readonly found: true },
  input: JsonValue,
  timeoutMs: number,
): BlockCall {
  const { run } = runner;
  const path = place.path + step.id;
  return {
    call_id: `${run.runId}:${path}@${attempt}`,
    run_id: run.runId,
    flow_id: place.frame.composed.definition.flow_id,
    step_id: step.id,
    step_path: path,
    phase: step.phase ?? place.phase,
    attempt,
    idempotency_key: `${run.runId}:${place.key}${step.id}`,
    owner_pack: step.owner_pack,
    chain: place.frame.chain,
    digest: target.digest,
    file: target.file,
    runtime: target.runtime,
    input,
    inputs: place.frame.inputs,
    timeout_ms: Math.ceil(timeoutMs),
    ...(step.claimed_principal === undefined ? {} : { claimed_principal: step.claimed_principal }),
  };
}
