import type { JsonValue, PackId } from "@rumi/core";
import { isJsonObject } from "@rumi/core";
import type { FileCallStep, FunctionStep } from "./definition.ts";
import { failure, isRetryable } from "./failure.ts";
import { MAX_MESSAGE_CHARS, MAX_REASON_CHARS } from "./limits.ts";
import type { BlockOutcome, Vocabulary } from "./ports.ts";
import { shown } from "./problems.ts";
import type { StepResult, StepExecutor } from "./run-state.ts";
import type { Failure } from "./step-status.ts";

/** The step's end from the outcome of the code of a pack: its value's keys in that pack's own words, its wish to end the flow. */
export function settle(runner: StepExecutor, step: FileCallStep | FunctionStep, owner: PackId | null, outcome: BlockOutcome): StepResult {
  const { run, collaborators } = runner;
  run.noteMode(outcome.execution_mode);
  for (const warning of outcome.warnings ?? []) run.warn(`${step.id}: ${warning}`);
  const isClosed = !outcome.ok && outcome.code.startsWith("approval.");
  if (owner !== null && !isClosed) run.calledPacks.add(owner);
  if (!outcome.ok) {
    const told = failureOfOutcome(outcome);
    return { status: "failed", failure: isClosed && owner !== null && run.calledPacks.has(owner) ? closedMeanwhile(owner, told) : told };
  }
  const control = flowControl(outcome.value);
  const value = normalize(runner, step, owner, outcome.value, collaborators.vocabulary);
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

/** The gate that was open to a pack earlier in this run is closed. */
function closedMeanwhile(owner: PackId, { code, message, remedy }: Failure): Failure {
  const changed = failure("flow.pack_changed", `pack "${owner}" may not run any more: ${message}`, { code });
  return remedy === undefined ? changed : { ...changed, remedy };
}

function normalize(
  runner: StepExecutor,
  step: FileCallStep | FunctionStep,
  owner: PackId | null,
  value: JsonValue,
  vocabulary: Vocabulary | null,
): JsonValue {
  if (vocabulary === null || owner === null || !step.vocab_normalize) return value;
  const normalized = vocabulary.normalize(owner, value);
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
