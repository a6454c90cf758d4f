import type { JsonValue } from "@rumi/core";
import { isJsonObject } from "@rumi/core";
import type { FileCallStep } from "./definition.ts";
import { expand } from "./expression.ts";
import { failure, isRetryable } from "./failure.ts";
import { CALL_ABORT_GRACE_MS, MAX_MESSAGE_CHARS, MAX_REASON_CHARS } from "./limits.ts";
import type { BlockCall, BlockOutcome, BlockTarget, Vocabulary } from "./ports.ts";
import { shown } from "./problems.ts";
import type { Failure, Place, StepResult, StepExecutor } from "./run-state.ts";
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
    return outcome === null ? { status: "stopped" } : settle(runner, step, outcome);
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

function settle(runner: StepExecutor, step: FileCallStep, outcome: BlockOutcome): StepResult {
  const { run, collaborators } = runner;
  run.noteMode(outcome.execution_mode);
  for (const warning of outcome.warnings ?? []) run.warn(`${step.id}: ${warning}`);
  if (!outcome.ok) return { status: "failed", failure: failureOfOutcome(outcome) };
  const control = flowControl(outcome.value);
  const value = normalize(runner, step, outcome.value, collaborators.vocabulary);
  if (control === null) return { status: "done", value };
  if (control.kind === "abort") return { status: "done", value, abort: control.reason ?? `aborted by step ${step.id}` };
  run.warn(`${step.id}: flow.unknown_control: ${control.text} is no flow control; only abort is`);
  return { status: "done", value };
}

function failureOfOutcome(outcome: BlockOutcome & { readonly ok: false }): Failure {
  return {
    code: outcome.code,
    error_type: outcome.error_type,
    message: outcome.message.slice(0, MAX_MESSAGE_CHARS).toWellFormed(),
    retryable: outcome.retryable && isRetryable(outcome.code),
    ...(outcome.remedy === undefined ? {} : { remedy: outcome.remedy }),
    ...(outcome.details === undefined ? {} : { details: outcome.details }),
  };
}

function normalize(runner: StepExecutor, step: FileCallStep, value: JsonValue, vocabulary: Vocabulary | null): JsonValue {
  if (vocabulary === null || !step.vocab_normalize) return value;
  const normalized = vocabulary.normalize(step.owner_pack, value);
  for (const warning of normalized.warnings) runner.run.warn(`${step.id}: ${warning}`);
  return normalized.value;
}

type FlowControl = { readonly kind: "abort"; readonly reason: string | null } | { readonly kind: "unknown"; readonly text: string };

/** The flow control a block's value asks for; only blocks are asked, never data of a caller. */
function flowControl(value: JsonValue): FlowControl | null {
  if (!isJsonObject(value) || !Object.hasOwn(value, "__flow_control")) return null;
  const asked = value["__flow_control"] ?? null;
  if (asked !== "abort") return { kind: "unknown", text: shown(JSON.stringify(asked)) };
  const reason = Object.hasOwn(value, "reason") ? value["reason"] : null;
  return {
    kind: "abort",
    reason: typeof reason === "string" && reason !== "" ? reason.slice(0, MAX_REASON_CHARS).toWellFormed() : null,
  };
}
