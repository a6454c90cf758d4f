import type { JsonObject, JsonValue } from "@rumi/core";
import { keeping } from "./errors.ts";
import type { RunRow, StepRow } from "./rows.ts";
import type { Statements } from "./statements.ts";

/** A run as lists show it. */
export interface RunView {
  readonly run_id: string;
  readonly flow_id: string;
  readonly digest: string;
  readonly state: string;
  readonly code: string | null;
  readonly reason: string | null;
  readonly trigger: string;
  readonly caller: string;
  readonly started_at: string;
  readonly finished_at: string | null;
  /** Seconds the run was going on. */
  readonly execution_time: number;
  readonly execution_mode: string | null;
  readonly resumes: number;
}

/** A run with all that is kept of it. */
export interface RunDetail extends RunView {
  readonly inputs: JsonObject;
  readonly result: JsonValue;
  readonly truncated: boolean;
  readonly failed_steps: JsonValue;
  readonly warnings: JsonValue;
  readonly steps: readonly StepView[];
}

/** A step of a run. */
export interface StepView {
  readonly path: string;
  readonly step_id: string;
  readonly type: string;
  readonly flow_id: string;
  /** `running` while it has not ended. */
  readonly status: string;
  readonly attempts: number;
  readonly origin: JsonValue;
  readonly value: JsonValue;
  readonly failure: JsonValue;
  readonly reason: string | null;
  readonly ms: number | null;
  readonly started_at: string | null;
  readonly finished_at: string | null;
}

export interface RunFilter {
  readonly flow_id?: string;
  readonly state?: string;
  readonly caller?: string;
  /** Only runs before this one. */
  readonly before?: string;
  readonly limit: number;
}

/** A line that a block printed. */
export interface LogView {
  readonly ts: string;
  readonly step_id: string;
  readonly stream: string;
  readonly text: string;
}

/** Steps shown of one run. */
const MAX_SHOWN_STEPS = 10_000;

interface ViewRow extends RunRow {
  readonly code: string | null;
  readonly reason: string | null;
  readonly result: string | null;
  readonly truncated: number;
  readonly failed_steps: string | null;
  readonly warnings: string | null;
  readonly execution_mode: string | null;
  readonly finished_at: string | null;
}

/** Reads runs of now and before. @throws RunJournalError `state.corrupt` */
export class RunHistory {
  readonly #sql: Statements;
  readonly #shown: (text: string | null) => JsonValue;

  /** `shown`: what is told of a kept value. */
  constructor(sql: Statements, shown: (text: string | null) => JsonValue) {
    this.#sql = sql;
    this.#shown = shown;
  }

  /** Newest first. */
  list(filter: RunFilter): RunView[] {
    return keeping(() => {
      const before = filter.before === undefined ? null : this.#rowOf(filter.before);
      const rows = this.#sql.listRuns.all(filter.flow_id ?? null, filter.state ?? null, filter.caller ?? null, before, filter.limit);
      return (rows as unknown as ViewRow[]).map(runView);
    });
  }

  get(runId: string): RunDetail | null {
    return keeping(() => {
      const row = this.#sql.getRun.get(runId) as ViewRow | undefined;
      if (row === undefined) return null;
      const steps = this.#sql.stepsOfRun.all(row.id, MAX_SHOWN_STEPS) as unknown as (StepRow &
        StepView & { readonly origin: string | null })[];
      return {
        ...runView(row),
        inputs: this.#value(row.inputs) as JsonObject,
        result: this.#value(row.result),
        truncated: row.truncated !== 0,
        failed_steps: this.#value(row.failed_steps) ?? [],
        warnings: this.#value(row.warnings) ?? [],
        steps: steps.map((step) => this.#stepView(step)),
      };
    });
  }

  /** How a run stands or ended; null when it is not known. */
  stateOf(runId: string): string | null {
    return keeping(() => (this.#sql.stateOfRun.get(runId) as { readonly state: string } | undefined)?.state ?? null);
  }

  /** What the blocks of a run printed, of one step or of all. */
  logs(runId: string, stepId?: string): LogView[] {
    return keeping(() => {
      const rows = this.#sql.logLines.all(this.#rowOf(runId), stepId ?? null) as unknown as {
        readonly ts: string;
        readonly data: string;
      }[];
      return rows.map(({ ts, data }) => ({ ts, ...(JSON.parse(data) as Omit<LogView, "ts">) }));
    });
  }

  #rowOf(runId: string): number {
    return (this.#sql.rowOfRun.get(runId) as { readonly id: number } | undefined)?.id ?? -1;
  }

  #stepView(row: StepRow & StepView & { readonly origin: string | null }): StepView {
    const { path, step_id, type, flow_id, status, attempts, reason, ms, started_at, finished_at } = row;
    const facts = { path, step_id, type, flow_id, status, attempts, reason, ms, started_at, finished_at };
    return { ...facts, origin: this.#value(row.origin), value: this.#value(row.value), failure: this.#value(row.failure) };
  }

  /** A value that cannot be read is not shown; the rest of the run is. */
  #value(text: string | null): JsonValue {
    try {
      return this.#shown(text);
    } catch {
      return null;
    }
  }
}

function runView(row: ViewRow): RunView {
  const { run_id, flow_id, digest, state, code, reason, trigger, caller, started_at, finished_at, execution_mode, resumes } = row;
  const seconds = row.active_ms / 1000;
  return {
    run_id,
    flow_id,
    digest,
    state,
    code,
    reason,
    trigger,
    caller,
    started_at,
    finished_at,
    execution_time: seconds,
    execution_mode,
    resumes,
  };
}
