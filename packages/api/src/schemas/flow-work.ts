import { FlowId, PackId } from "@rumi/core";
import * as v from "valibot";
import { DigestText, Json, JsonMap, list, QueryBoolean } from "./common.ts";
import { EffectiveFlow } from "./flows.ts";

/** Longest text of a flow or modifier file that is taken from a request, characters; each kind has its own, lower limit in bytes. */
const MAX_SOURCE_LENGTH = 4 * 1024 * 1024;

/** Something in a flow or modifier file that is wrong (`error`: the file is left out) or worth knowing. */
export const LoadProblem = v.object({
  code: v.string(),
  severity: v.picklist(["error", "warning"]),
  file: v.string(),
  path: v.string(),
  line: v.number(),
  column: v.number(),
  message: v.string(),
});
export type LoadProblem = v.InferOutput<typeof LoadProblem>;

export const PlanBody = v.strictObject({ inputs: v.optional(JsonMap) });

/** What a run would stumble over. `step` is null for the flow as a whole. */
const MissingPart = v.object({ step: v.nullable(v.string()), code: v.string(), message: v.string(), remedy: v.nullable(v.string()) });

/** Whether a flow could run now; `missing` is empty when it could. */
export const FlowPlan = v.object({ digest: DigestText, order: list(v.string()), missing: list(MissingPart) });
export type FlowPlan = v.InferOutput<typeof FlowPlan>;

const Source = v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_SOURCE_LENGTH));
export const SourceBody = v.strictObject({ source: Source });

/** Exactly one of a flow's text and the pack whose folder is meant. */
export const DiffBody = v.pipe(
  v.strictObject({ source: v.optional(Source), pack_id: v.optional(PackId) }),
  v.check(({ source, pack_id }) => (source === undefined) !== (pack_id === undefined), "Expected one of source and pack_id"),
);

/** What a change alters in one effective flow. A null digest: no flow there, or the change would not be taken. */
export const FlowDiff = v.object({
  base_digest: v.nullable(DigestText),
  digest: v.nullable(DigestText),
  added: list(v.string()),
  removed: list(v.string()),
  changed: list(v.object({ step: v.nullable(v.string()), field: v.string(), from: Json, to: Json })),
  problems: list(LoadProblem),
});
export type FlowDiff = v.InferOutput<typeof FlowDiff>;

/** How many flows there are now, and what is wrong with files. */
export const FlowsLoaded = v.object({ flows: v.number(), problems: list(LoadProblem) });
export type FlowsLoaded = v.InferOutput<typeof FlowsLoaded>;

export const SharedParams = v.strictObject({ id: FlowId });

/** What became of one modifier at one flow. */
export const ModifierRecord = v.object({
  modifier_id: v.string(),
  source: v.picklist(["official", "shared", "pack"]),
  pack_id: v.nullable(v.string()),
  target_flow_id: v.string(),
  target_step_id: v.nullable(v.string()),
  action: v.string(),
  wide: v.boolean(),
  applied: v.boolean(),
  skipped_reason: v.nullable(v.string()),
});
export type ModifierRecord = v.InferOutput<typeof ModifierRecord>;

export const ModifierListQuery = { pack_id: v.optional(PackId), dry_run: v.optional(QueryBoolean) } as const;

/** Modifiers as they are; of a dry run also what is wrong and the flows as they would be. */
export const ModifierList = v.object({
  modifiers: list(ModifierRecord),
  count: v.number(),
  next_cursor: v.nullable(v.string()),
  problems: v.optional(list(LoadProblem)),
  effective: v.optional(list(EffectiveFlow)),
});

export const DryRunQuery = v.strictObject({ dry_run: v.optional(QueryBoolean) });

/** What saving or taking away a shared modifier does, or would do. `digest` is the flow's afterwards. */
export const ModifierChange = v.object({
  targets: list(
    v.object({
      flow_id: v.string(),
      applied: v.boolean(),
      skipped_reason: v.nullable(v.string()),
      digest: v.nullable(DigestText),
    }),
  ),
  wide: v.boolean(),
  warnings: list(v.string()),
  problems: list(LoadProblem),
  /** Of a dry run: the flows it means, as they would be. */
  effective: v.optional(list(EffectiveFlow)),
});
export type ModifierChange = v.InferOutput<typeof ModifierChange>;

/** How a schedule stands. Times are UTC. */
export const ScheduleStatus = v.object({
  flow_id: v.string(),
  enabled: v.boolean(),
  cron: v.nullable(v.string()),
  interval_seconds: v.nullable(v.number()),
  timezone: v.string(),
  next_fire_at: v.nullable(v.string()),
  last_fire_at: v.nullable(v.string()),
  last_run_id: v.nullable(v.string()),
  last_state: v.nullable(v.string()),
  running: v.boolean(),
  skipped_overlap: v.number(),
  error: v.nullable(v.string()),
});
export type ScheduleStatus = v.InferOutput<typeof ScheduleStatus>;

export const ScheduleParams = v.strictObject({ flow_id: FlowId });
