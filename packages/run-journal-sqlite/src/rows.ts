import type { JsonObject, JsonValue } from "@rumi/core";
import type { JournaledRun, JournaledStep, StepFinish } from "@rumi/flow-engine";

/** A run as it stands in the file. */
export interface RunRow {
  readonly id: number;
  readonly run_id: string;
  readonly flow_id: string;
  readonly digest: string;
  readonly trigger: string;
  readonly caller: string;
  readonly inputs: string;
  readonly daemon_inputs: string;
  readonly timeout_ms: number;
  readonly started_at: string;
  readonly state: string;
  readonly active_ms: number;
  readonly resumes: number;
}

/** A step as it stands in the file. */
export interface StepRow {
  readonly status: string;
  readonly attempts: number;
  readonly child_digest: string | null;
  readonly value: string | null;
  readonly writes: string | null;
  readonly failure: string | null;
  readonly reason: string | null;
  readonly abort: string | null;
}

type Read = (text: string | null) => JsonValue;

/** The run that a later process goes on with. This file's rows are the daemon's own: their shapes are believed. */
export function journaledRun(row: RunRow, read: Read): JournaledRun {
  const { run_id, flow_id, digest, trigger, caller, timeout_ms, started_at, state, active_ms, resumes } = row;
  return {
    run_id,
    flow_id,
    digest,
    trigger,
    caller,
    timeout_ms,
    started_at,
    state,
    active_ms,
    resumes,
    inputs: read(row.inputs) as JsonObject,
    daemon_inputs: read(row.daemon_inputs) as JsonObject,
  } as JournaledRun;
}

/** The step that a later process takes or repeats. */
export function journaledStep(row: StepRow, read: Read): JournaledStep {
  const childDigest = row.child_digest as JournaledStep["child_digest"];
  if (row.status === "running") return { finished: false, attempt: row.attempts, child_digest: childDigest };
  return {
    finished: true,
    child_digest: childDigest,
    status: row.status as StepFinish["status"],
    attempts: row.attempts,
    value: read(row.value),
    writes: read(row.writes) as JsonObject | null,
    failure: read(row.failure) as StepFinish["failure"],
    reason: row.reason,
    abort: row.abort,
  };
}
