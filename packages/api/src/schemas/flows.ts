import { FlowId, RunId, StepId } from "@rumi/core";
import * as v from "valibot";
import { DigestText, Json, JsonMap, list, Note } from "./common.ts";

/** One line of the flow list. */
export const FlowSummary = v.object({
  flow_id: v.string(),
  source: v.picklist(["official", "shared", "pack"]),
  pack_id: v.nullable(v.string()),
  digest: DigestText,
  inputs: v.unknown(),
  outputs: v.unknown(),
  schedule: v.unknown(),
});
export type FlowSummary = v.InferOutput<typeof FlowSummary>;

/** One flow as its file says it. */
export const FlowDetail = v.object({
  ...FlowSummary.entries,
  description: v.optional(v.nullable(v.string())),
  phases: v.optional(list(v.string())),
  steps: v.optional(list(v.unknown())),
  problems: v.optional(list(v.unknown())),
});
export type FlowDetail = v.InferOutput<typeof FlowDetail>;

/** A flow with every modifier applied: each step names where it comes from. */
export const EffectiveFlow = v.object({
  flow_id: v.string(),
  digest: DigestText,
  steps: list(v.unknown()),
  removed: v.optional(list(v.unknown())),
});
export type EffectiveFlow = v.InferOutput<typeof EffectiveFlow>;

/** The states of a run. Source: page 10, section 8. */
export const RunState = v.picklist(["queued", "running", "completed", "failed", "aborted", "cancelled", "timed_out"]);
export type RunState = v.InferOutput<typeof RunState>;

/** How one run stands or ended. `caller` is the actor that started it. */
export const Run = v.object({
  run_id: v.string(),
  flow_id: v.string(),
  state: RunState,
  code: v.optional(v.nullable(v.string())),
  reason: v.nullable(v.string()),
  result: v.optional(Json),
  failed_steps: v.optional(list(v.unknown())),
  warnings: v.optional(list(v.unknown())),
  truncated: v.optional(v.boolean()),
  keys: v.optional(list(v.string())),
  execution_time: v.optional(v.nullable(v.number())),
  digest: v.optional(v.nullable(v.string())),
  execution_mode: v.optional(v.nullable(v.string())),
  started_at: v.optional(v.nullable(v.string())),
  remedy: v.optional(v.string()),
});
export type Run = v.InferOutput<typeof Run>;

/** One line that a block printed, redacted. */
export const RunLogLine = v.object({ ts: v.string(), step_id: v.string(), stream: v.picklist(["stdout", "stderr"]), text: v.string() });
export type RunLogLine = v.InferOutput<typeof RunLogLine>;

/** What one event of a run tells beside its kind: when, and of a step its path, its status. */
export const RunEventData = v.looseObject({ ts: v.string() });

/** A run as it is kept: who started it, and its steps so far. */
export const RunRecord = v.object({
  ...Run.entries,
  caller: v.optional(v.string()),
  trigger: v.optional(v.string()),
  finished_at: v.optional(v.nullable(v.string())),
  /** How often it was taken up again after its daemon had ended. */
  resumes: v.optional(v.number()),
  steps: v.optional(list(v.unknown())),
  logs: v.optional(list(RunLogLine)),
});
export type RunRecord = v.InferOutput<typeof RunRecord>;

export const FlowParams = v.strictObject({ id: FlowId });
export const RunParams = v.strictObject({ id: RunId });

/** Longest run asked for over HTTP and answered at once, seconds. Source: page 10, section 7. */
export const MAX_RUN_SECONDS = 600;
/** Longest run that is answered by its id only, seconds. Source: page 10, section 7. */
export const MAX_ASYNC_RUN_SECONDS = 86_400;
/** A run's seconds when none are asked for. Source: page 10, section 7. */
export const DEFAULT_RUN_SECONDS = 300;

export const RunBody = v.strictObject({
  inputs: v.optional(JsonMap),
  timeout: v.optional(v.pipe(v.number(), v.finite())),
  async: v.optional(v.boolean()),
  digest: v.optional(v.string()),
});

/** The run, or only its id when `async` was asked for. */
export const RunStarted = v.object({ run_id: v.string() });
export const RunListQuery = { flow_id: v.optional(FlowId), state: v.optional(RunState) } as const;
export const RunLogQuery = { step: v.optional(StepId) } as const;
export const CancelBody = v.strictObject({ reason: v.optional(Note) });
export const CancelAnswer = v.object({ state: v.string() });
