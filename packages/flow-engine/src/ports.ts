import type { Digest, ExecutionMode, FlowId, JsonObject, JsonValue, PackId, Refusal, RunId, StepId } from "@rumi/core";
import type { StepOrigin } from "./modifier.ts";

/** One call of one file of one pack, asked for by a step. Everything here is data the engine already checked. */
export interface BlockCall {
  readonly call_id: string;
  readonly run_id: RunId;
  readonly flow_id: FlowId;
  readonly step_id: StepId;
  /** Path of the step in the run, e.g. `loop/0/b`. */
  readonly step_path: string;
  readonly phase: string;
  readonly attempt: number;
  /** Same over retries and resume. */
  readonly idempotency_key: string;
  readonly owner_pack: PackId;
  /** Flows that led to this call, the root first, its own flow last; told on when the block starts a flow. */
  readonly chain: readonly FlowId[];
  /** Snapshot digest the run is bound to for this pack. */
  readonly digest: Digest;
  /** Path below `/pack`, as resolved when the flow was composed. */
  readonly file: string;
  readonly runtime: "python" | "node";
  readonly input: JsonValue;
  /** The flow's inputs, for the block's context. */
  readonly inputs: JsonObject;
  /** Milliseconds this attempt may take. */
  readonly timeout_ms: number;
  /** A `principal_id` written in the flow; ignored, but audited when it differs from the owner. */
  readonly claimed_principal?: string;
  readonly on_log?: (line: { readonly stream: "stdout" | "stderr"; readonly text: string }) => void;
}

/** How a block call ended. A refusal is a failure with `retryable: false`. */
export type BlockOutcome =
  | {
      readonly ok: true;
      readonly value: JsonValue;
      readonly execution_mode: ExecutionMode;
      readonly warnings: readonly string[];
      readonly duration_ms: number;
    }
  | {
      readonly ok: false;
      /** `sandbox.*`, `approval.*` or `flow.*`. */
      readonly code: string;
      readonly error_type: string;
      readonly message: string;
      readonly remedy?: string;
      readonly execution_mode: ExecutionMode;
      readonly retryable: boolean;
      /** Safe facts for the operator: exception_type, traceback, exit_code, signal. */
      readonly details?: JsonObject;
      readonly warnings?: readonly string[];
      readonly duration_ms: number;
    };

/** Runs blocks. Never throws; abort means cancel. */
export interface BlockRunner {
  run(call: BlockCall, signal: AbortSignal): Promise<BlockOutcome>;
}

/** One call of a function by its name, asked for by a step. */
export interface FunctionAsk extends Pick<
  BlockCall,
  "call_id" | "run_id" | "flow_id" | "step_id" | "step_path" | "phase" | "attempt" | "idempotency_key" | "chain" | "timeout_ms"
> {
  /** As written: `pack:function`, a permission id or an alias. */
  readonly name: string;
  /** Whose step it is: a pack, or `system`. */
  readonly principal: string;
  /** The bytes of that pack that the step stands in; null: of no pack. */
  readonly principal_digest: Digest | null;
  readonly args: JsonObject;
}

/** How a function call ended; `missing`: there is nothing of that name. */
export type FunctionOutcome =
  | { readonly found: false; readonly message: string }
  /** `owner_pack`: whose function it was; null for a capability. */
  | { readonly found: true; readonly owner_pack: PackId | null; readonly outcome: BlockOutcome };

/** Runs functions. Never throws; abort means cancel. */
export interface FunctionRunner {
  call(ask: FunctionAsk, signal: AbortSignal): Promise<FunctionOutcome>;
}

/** Where the file of a step is and which bytes it is bound to, decided when a flow is composed. */
export type BlockTarget =
  | { readonly found: true; readonly file: string; readonly runtime: "python" | "node"; readonly digest: Digest }
  /** `pack` / `file`: nothing there (step status `missing`). */
  | { readonly found: false; readonly missing: "pack" | "file"; readonly message: string };

/** Finds the file of a step. Pure lookup on approved snapshots; nothing is run. */
export interface BlockResolver {
  resolve(pack: PackId, file: string): BlockTarget;
}

/** Called by `handler` steps. `open` handlers: any flow. `operator` handlers: official flows only. */
export interface KernelHandler {
  readonly name: `kernel:${string}`;
  readonly kind: "open" | "operator";
  /** Args that must be literal (no reference), because reviews list the ctx keys they name. */
  readonly literal_args?: readonly string[];
  /** Context keys a call with these args writes; for reviews and branch conflicts. */
  writtenKeys?(args: JsonObject): readonly string[];
  /** Problems with args that are literal as a whole, found at load; empty when fine. */
  checkArgs?(args: JsonObject): readonly string[];
  /** Present: the step runs this flow as a `flow` step does, and `run` is never called. Pure. @throws FlowError `kernel.invalid_args` */
  flow?(args: JsonObject): FlowAsk;
  /** @throws FlowError `kernel.invalid_args` */
  run(args: JsonObject, scope: HandlerScope): Promise<JsonValue> | JsonValue;
}

/** The flow that a handler step runs. */
export interface FlowAsk {
  readonly flow_id: string;
  readonly inputs: JsonValue;
  /** Null: no limit of its own. */
  readonly timeout_ms: number | null;
}

/** What a handler may see of the run. */
export interface HandlerScope {
  readonly run_id: RunId;
  readonly flow_id: FlowId;
  readonly step_id: StepId;
  readonly phase: string;
  /** Same over retries and resume. */
  readonly idempotency_key: string;
  /** Flows that led to this step, the root first, its own flow last; told on when the handler starts something. */
  readonly chain: readonly FlowId[];
  /** The step's principal: a pack id, or `system`. */
  readonly principal: string;
  readonly ctx: { get(key: string): JsonValue | undefined; set(key: string, value: JsonValue): void };
  readonly signal: AbortSignal;
}

/** Decides whether a pack's flow may start another pack's or a shared flow as a sub-flow. Absent: never. */
export interface SubFlowRights {
  mayRunFlow(principal: string, flowId: FlowId): boolean | Promise<boolean>;
}

/** Says why a flow that the table does not hold may not run, so that a request for it is refused with the real reason. */
export interface ClosedFlows {
  /** Null: such a flow is not known at all. Memory only. */
  refusal(flowId: string): Refusal | null;
}

/** Whether what a pack's step rests on still holds, asked before it runs. Memory only. Absent: it does. */
export interface StepConsent {
  /** The yes to an injected step. */
  holds(origin: StepOrigin): boolean;
  /** The pack may act from these bytes now. */
  isCurrent(pack: PackId, digest: Digest): boolean;
}

/** Renames the top-level keys of a pack's own values to its preferred terms. Absent: values stay as they are. */
export interface Vocabulary {
  normalize(pack: PackId, value: JsonValue): { readonly value: JsonValue; readonly warnings: readonly string[] };
}

/** Waits, or returns early when `signal` aborts. Never throws. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;
