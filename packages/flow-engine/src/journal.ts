import type { Digest, FlowId, JsonObject, JsonValue, RunId } from "@rumi/core";
import type { StepOrigin } from "./modifier.ts";
import type { RunState, RunTrigger } from "./run-answer.ts";
import type { Failure, StepStatus } from "./step-status.ts";
import type { StepType } from "./definition.ts";

/** What is kept of a run when it begins: all that a later process needs to go on with it. */
export interface JournaledRun {
  readonly run_id: RunId;
  readonly flow_id: FlowId;
  /** Effective digest that the run is bound to. */
  readonly digest: Digest;
  readonly trigger: RunTrigger;
  readonly caller: string;
  /** As accepted at the flow's border. */
  readonly inputs: JsonObject;
  readonly daemon_inputs: JsonObject;
  readonly timeout_ms: number;
  readonly started_at: string;
  readonly state: "queued" | "running";
  /** Milliseconds the run was going on, as far as known. */
  readonly active_ms: number;
  readonly resumes: number;
}

/** What the fire of a schedule changes, to be kept in one transaction with its run. */
export interface ScheduleFire {
  readonly flow_id: FlowId;
  /** The instant that was due, ms since the epoch. */
  readonly fire_at: number;
}

/** A step that is about to run. */
export interface StepStart {
  /** Path in the run, like `loop/0/b`. */
  readonly path: string;
  readonly step_id: string;
  readonly type: StepType;
  readonly flow_id: FlowId;
  readonly attempt: number;
  /** Of a `flow` step: the effective digest of the flow it runs. */
  readonly child_digest: Digest | null;
  readonly origin: StepOrigin | null;
  readonly started_at: string;
}

/** How a step ended. */
export interface StepFinish {
  readonly path: string;
  readonly step_id: string;
  readonly type: StepType;
  readonly flow_id: FlowId;
  readonly status: StepStatus;
  readonly attempts: number;
  /** Of a done step; null otherwise. */
  readonly value: JsonValue;
  /** Context keys that a handler wrote by itself. */
  readonly writes: JsonObject | null;
  readonly failure: Failure | null;
  /** Why it was skipped or did not count: `dependency`, `when`, a code. */
  readonly reason: string | null;
  /** The reason, when the value asked to end the flow. */
  readonly abort: string | null;
  readonly ms: number;
  readonly finished_at: string;
  /** Milliseconds the run was going on when the step ended. */
  readonly active_ms: number;
}

/** A step of an earlier life of a run. */
export type JournaledStep =
  | { readonly finished: false; readonly attempt: number; readonly child_digest: Digest | null }
  | ({ readonly finished: true; readonly child_digest: Digest | null } & Pick<
      StepFinish,
      "status" | "attempts" | "value" | "writes" | "failure" | "reason" | "abort"
    >);

/** How a run ended. */
export interface RunEnd {
  readonly state: Exclude<RunState, "queued" | "running">;
  readonly code: string | null;
  readonly reason: string | null;
  readonly result: JsonObject | null;
  readonly truncated: boolean;
  readonly failed_steps: JsonValue;
  readonly warnings: readonly string[];
  readonly execution_mode: string | null;
  readonly active_ms: number;
  readonly finished_at: string;
}

/**
 * Remembers every run and every step, so that a run goes on after a crash without repeating what it had finished. What is
 * told survives the end of this process from the next turn of its event loop on; where a promise is given, it and all that was
 * told before survive a power cut when it resolves.
 * @throws RumiError `storage.full` or another when it cannot be kept; the run ends then. Promises reject likewise.
 */
export interface RunJournal {
  begin(run: JournaledRun, fire?: ScheduleFire): void;
  /** The run has a slot. `resumed`: in a later life; counted. */
  running(runId: RunId, resumed: boolean): void;
  /** What an earlier life of the run left of this step; asked in resumed runs only. */
  find(runId: RunId, path: string): JournaledStep | undefined;
  /** Waited for before a step that can be noticed outside the run. */
  started(runId: RunId, step: StepStart): void | Promise<void>;
  finished(runId: RunId, step: StepFinish): void;
  /** Waited for before the run is answered. */
  ended(runId: RunId, end: RunEnd): void | Promise<void>;
  /** Runs that have not ended, oldest first. */
  unfinished(): readonly JournaledRun[];
}
