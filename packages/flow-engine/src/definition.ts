import type { Digest, FlowId, JsonObject, JsonValue, PackId, StepId } from "@rumi/core";
import type { Condition } from "./condition.ts";
import type { FlowLoadCode } from "./errors.ts";
import type { Expression } from "./expression.ts";
import type { ScheduleSpec } from "./schedule-spec.ts";

/** Where a flow file came from. `file` is shown to operators: relative, never a host path. */
export interface FlowSource {
  readonly source: "official" | "shared" | "pack";
  /** The pack of a pack flow, else null. */
  readonly pack_id: PackId | null;
  readonly file: string;
  /** The bytes of the pack that the file was read from. */
  readonly digest?: Digest;
}

/** One thing a flow file says that it may not (error: the file is refused) or should not (warning). */
export interface LoadProblem {
  readonly code: FlowLoadCode;
  readonly severity: "error" | "warning";
  readonly file: string;
  /** Like `steps[2].when`; empty for the file itself. */
  readonly path: string;
  /** 1-based. */
  readonly line: number;
  /** 1-based. */
  readonly column: number;
  readonly message: string;
}

export const VALUE_TYPES = ["string", "integer", "number", "boolean", "object", "array", "null", "any"] as const;
/** Declared type of an input or output. */
export type ValueType = (typeof VALUE_TYPES)[number];

/** One declared input. `default_value` absent means none. */
export interface InputDeclaration {
  readonly type: ValueType;
  readonly required: boolean;
  readonly default_value?: JsonValue;
  readonly description?: string;
}

export interface FlowDefaults {
  readonly fail_soft: boolean;
  readonly on_missing_step: "skip" | "fail";
  readonly vocab_normalize: boolean;
}

export interface RetryPolicy {
  /** Attempts in all, the first included. */
  readonly max_attempts: number;
  readonly delay_seconds: number;
  readonly backoff: "fixed" | "exponential";
}

/** What all steps share, fully checked. */
export interface StepCommon {
  readonly id: StepId;
  /** Path in the file, like `steps[2].then[0]`. */
  readonly path: string;
  readonly line: number;
  /** Null for nested steps, which run in list order. */
  readonly phase: string | null;
  readonly phase_index: number;
  readonly priority: number;
  readonly depends_on: readonly StepId[];
  readonly when: Condition | null;
  readonly output: string | null;
  readonly retry: RetryPolicy;
  /** Null: only the run's deadline. */
  readonly timeout_ms: number | null;
  readonly on_error: "abort" | "continue";
  readonly vocab_normalize: boolean;
  readonly protected: boolean;
  /** Who the step is judged as: the pack that brought it, or `system`. */
  readonly principal: string;
  /** The bytes of that pack that the step stands in: it acts from no others. Null: of no pack. */
  readonly principal_digest: Digest | null;
  /** A differing `principal_id` the file wrote: ignored, audited. */
  readonly claimed_principal?: string;
  /** The step as written, for digests, diffs and the effective flow. */
  readonly raw: JsonObject;
}

export interface FileCallStep extends StepCommon {
  readonly type: "python_file_call" | "node_file_call" | "file_call";
  readonly runtime: "python" | "node";
  readonly owner_pack: PackId;
  readonly file: string;
  readonly input: Expression;
}
export interface HandlerStep extends StepCommon {
  readonly type: "handler";
  readonly handler: string;
  readonly args: Expression;
}
export interface SetStep extends StepCommon {
  readonly type: "set";
  readonly key: string;
  readonly value: Expression;
}
export interface IfStep extends StepCommon {
  readonly type: "if";
  readonly condition: Condition;
  readonly then_steps: readonly Step[];
  readonly else_steps: readonly Step[];
}
export interface ForeachStep extends StepCommon {
  readonly type: "foreach";
  readonly items: Expression;
  readonly steps: readonly Step[];
  readonly as: string;
  readonly index_as: string;
  readonly concurrency: number;
  readonly collect: Expression | null;
}
export interface RepeatStep extends StepCommon {
  readonly type: "repeat";
  readonly steps: readonly Step[];
  readonly until: Condition | null;
  readonly max_iterations: number;
  readonly delay_seconds: number;
  readonly index_as: string;
}
export interface ParallelStep extends StepCommon {
  readonly type: "parallel";
  readonly branches: readonly { readonly name: string; readonly steps: readonly Step[] }[];
}
export interface SubFlowStep extends StepCommon {
  readonly type: "flow";
  readonly flow: FlowId;
  readonly input: Expression;
}
export interface FunctionStep extends StepCommon {
  readonly type: "function";
  readonly function: string;
  readonly input: Expression;
}

/** One step of a flow, as checked at load. */
export type Step = FileCallStep | HandlerStep | SetStep | IfStep | ForeachStep | RepeatStep | ParallelStep | SubFlowStep | FunctionStep;
export type StepType = Step["type"];

/** A flow file that passed every load rule. */
export interface FlowDefinition {
  readonly flow_id: FlowId;
  readonly source: FlowSource;
  readonly description: string;
  readonly phases: readonly string[];
  readonly inputs: ReadonlyMap<string, InputDeclaration>;
  /** Null: the flow declares none and returns every key without a leading `_`. */
  readonly outputs: ReadonlyMap<string, ValueType> | null;
  readonly defaults: FlowDefaults;
  /** As written; null when the flow has none. */
  readonly schedule: JsonObject | null;
  /** What the schedule amounts to; null when there is none, or none that holds. */
  readonly fires: ScheduleSpec | null;
  /** Top-level steps as written. */
  readonly steps: readonly Step[];
  /** The file's data, for digests and diffs. */
  readonly raw: JsonObject;
}
