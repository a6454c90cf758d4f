import type { Digest, ExecutionMode, FlowId, JsonObject, JsonValue, RunId } from "@rumi/core";

/** `queued`: it waits for a slot. */
export type RunState = "queued" | "running" | "completed" | "failed" | "aborted" | "cancelled" | "timed_out";

/** What started a run. */
export type RunTrigger = "api" | "route" | "boot" | "schedule" | "flow.run" | "worker";

/** A step that failed, for the operator. */
export interface FailedStep {
  readonly step_id: string;
  /** Path in the run, like `loop/0/b`. */
  readonly step_path: string;
  readonly code: string;
  readonly error_type: string;
  readonly message: string;
  readonly attempts: number;
  readonly remedy?: string;
  readonly details?: JsonObject;
}

/** How a run ended. */
export interface RunAnswer {
  readonly run_id: RunId;
  readonly flow_id: FlowId;
  readonly state: RunState;
  /** Null when completed or aborted. */
  readonly code: string | null;
  /** A sentence; null when completed. */
  readonly reason: string | null;
  /** Null when the run did not complete or abort, or the answer is truncated. */
  readonly result: JsonObject | null;
  readonly failed_steps: readonly FailedStep[];
  readonly warnings: readonly string[];
  readonly truncated: boolean;
  /** Seconds. */
  readonly execution_time: number;
  readonly digest: Digest;
  /** Where blocks ran; the least isolated of them. Null when none ran. */
  readonly execution_mode: ExecutionMode | null;
  readonly started_at: string;
  /** Sorted keys of a result that was too large. */
  readonly keys?: readonly string[];
}

/** A run as lists show it. */
export interface RunSummary {
  readonly run_id: RunId;
  readonly flow_id: FlowId;
  readonly state: RunState;
  readonly code: string | null;
  readonly reason: string | null;
  readonly trigger: RunTrigger;
  readonly caller: string;
  readonly started_at: string;
  /** Seconds so far, or in all. */
  readonly execution_time: number;
}

/** The result a flow gives: its declared outputs (a missing one null), else every key without a leading `_`. */
export function resultOf(outputs: Iterable<string> | null, entries: Iterable<readonly [string, JsonValue]>): JsonObject {
  const values = new Map(entries);
  if (outputs === null) return Object.fromEntries([...values].filter(([key]) => !key.startsWith("_")));
  return Object.fromEntries([...outputs].map((key) => [key, values.get(key) ?? null]));
}
