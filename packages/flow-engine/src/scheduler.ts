import type { Clock, DiagnosticsSink, FlowId, JsonObject, Logger, RunId } from "@rumi/core";
import { isoTime, jsonDigest } from "@rumi/core";
import { FlowError } from "./errors.ts";
import type { ComposedFlow, FlowTable } from "./flow-table.ts";
import { BACKGROUND_RUN_SECONDS } from "./limits.ts";
import type { RunAnswer, RunState } from "./run-answer.ts";
import type { RunOptions } from "./run-options.ts";
import { nextFire } from "./schedule.ts";
import type { ScheduleSpec } from "./schedule-spec.ts";

/** What is kept of a schedule over restarts. Times are ms since the epoch. */
export interface ScheduleRow {
  readonly flow_id: FlowId;
  /** Another one means another schedule: it begins afresh. */
  readonly spec_hash: string;
  readonly registered_at: number;
  /** The last instant that was dealt with, fired or not. */
  readonly last_fire_at: number | null;
  readonly last_run_id: RunId | null;
  readonly skipped_overlap: number;
  readonly enabled: boolean;
}

/** Where schedules are kept. A run and its fire are kept by the journal, in one transaction. */
export interface ScheduleStore {
  load(): readonly ScheduleRow[];
  save(row: ScheduleRow): void;
  remove(flowId: string): void;
}

/** Delayed work; never keeps the process alive. */
export interface ScheduleTimers {
  after(ms: number, run: () => void): () => void;
}

/** How a schedule stands. Times are UTC ISO. */
export interface ScheduleStatus {
  readonly flow_id: FlowId;
  readonly enabled: boolean;
  readonly cron: string | null;
  readonly interval_seconds: number | null;
  readonly timezone: string;
  readonly next_fire_at: string | null;
  readonly last_fire_at: string | null;
  readonly last_run_id: string | null;
  readonly last_state: RunState | null;
  readonly running: boolean;
  readonly skipped_overlap: number;
  /** Why the last fire started no run. */
  readonly error: string | null;
}

export interface SchedulerDeps {
  readonly table: () => FlowTable;
  /** `FlowRunner.start`. */
  readonly start: (
    flowId: string,
    inputs: JsonObject,
    options: RunOptions,
  ) => { readonly run_id: RunId; readonly done: Promise<RunAnswer> };
  /** How a run stands or ended; null when it is not known any more. */
  readonly stateOf: (runId: RunId) => RunState | null;
  readonly store: ScheduleStore;
  readonly clock: Clock;
  readonly timers: ScheduleTimers;
  readonly logger: Logger;
  readonly diagnostics?: DiagnosticsSink;
}

/** The clock is looked at again at least this often: it may be set, or the machine may have slept. */
const LONGEST_SLEEP_MS = 30_000;

interface Entry {
  row: ScheduleRow;
  spec: ScheduleSpec;
  next: number | null;
  error: string | null;
}

/**
 * Starts flows on their schedules. Every instant is dealt with at most once, over restarts and clocks set back; instants
 * missed while the daemon was down give one run; one that comes while the last run is going on is dropped and counted.
 */
export class Scheduler implements Disposable {
  readonly #deps: SchedulerDeps;
  readonly #entries = new Map<string, Entry>();
  #rows = new Map<string, ScheduleRow>();
  #stopTimer: (() => void) | null = null;
  #started = false;

  constructor(deps: SchedulerDeps) {
    this.#deps = deps;
  }

  /** Takes up the schedules of the table and begins to fire. */
  start(): void {
    this.#rows = new Map(this.#deps.store.load().map((row) => [row.flow_id as string, row]));
    this.#started = true;
    this.#take(true);
    this.#tick();
  }

  /** The table was swapped: schedules come, change and go with their flows. One that was away does not catch up. */
  sync(): void {
    if (!this.#started) return;
    this.#take(false);
    this.#sleep();
  }

  [Symbol.dispose](): void {
    this.#stopTimer?.();
    this.#stopTimer = null;
    this.#started = false;
  }

  list(): readonly ScheduleStatus[] {
    return [...this.#entries.values()].map((entry) => this.#status(entry));
  }

  /** Pauses a schedule, or lets it go on from now. @throws FlowError `schedule.not_found` */
  setEnabled(flowId: string, enabled: boolean): ScheduleStatus {
    const entry = this.#entry(flowId);
    if (entry.row.enabled !== enabled) {
      this.#save(entry, { enabled, ...(enabled ? { last_fire_at: this.#deps.clock.now() } : {}) });
      this.#plan(entry);
      this.#sleep();
    }
    return this.#status(entry);
  }

  /** Runs a scheduled flow now, whatever its clock says; its instants stay as they are. @throws FlowError `schedule.not_found`, what starting it throws */
  trigger(flowId: string, caller: string): RunId {
    const { spec } = this.#entry(flowId);
    return this.#deps.start(flowId, spec.inputs, { caller, trigger: "schedule", daemonInputs: { _trigger: { kind: "manual" } } }).run_id;
  }

  #entry(flowId: string): Entry {
    const entry = this.#entries.get(flowId);
    if (entry === undefined) throw new FlowError("schedule.not_found", "there is no such schedule", { remedy: "rumi schedule list" });
    return entry;
  }

  #take(atStart: boolean): void {
    const now = this.#deps.clock.now();
    const present = new Set<string>();
    for (const flow of this.#deps.table().list()) {
      const { flow_id: id, fires } = flow.definition;
      if (fires === null) continue;
      present.add(id);
      this.#takeFlow(flow, fires, now, atStart);
    }
    for (const id of [...this.#entries.keys()]) if (!present.has(id)) this.#entries.delete(id);
  }

  #takeFlow(flow: ComposedFlow, spec: ScheduleSpec, now: number, atStart: boolean): void {
    const { flow_id: id } = flow.definition;
    const hash = jsonDigest({ ...spec });
    const known = this.#entries.get(id);
    if (known?.row.spec_hash === hash) return;
    const kept = this.#rows.get(id);
    const same = kept !== undefined && kept.spec_hash === hash;
    const fresh: ScheduleRow = {
      flow_id: id,
      spec_hash: hash,
      registered_at: now,
      last_fire_at: null,
      last_run_id: null,
      skipped_overlap: 0,
      enabled: kept?.enabled ?? true,
    };
    const row = same ? (atStart ? kept : { ...kept, last_fire_at: Math.max(now, kept.last_fire_at ?? 0) }) : fresh;
    const entry: Entry = { row, spec, next: null, error: null };
    this.#entries.set(id, entry);
    if (row !== kept) this.#save(entry, {});
    this.#plan(entry);
  }

  /** When it fires next: after the last instant that was dealt with, even if the clock now stands before it. */
  #plan(entry: Entry): void {
    const { row, spec } = entry;
    entry.next = row.enabled ? nextFire(spec, Math.max(row.last_fire_at ?? row.registered_at, row.registered_at), row.registered_at) : null;
  }

  #tick(): void {
    const now = this.#deps.clock.now();
    for (const entry of this.#entries.values()) if (entry.next !== null && entry.next <= now) this.#fire(entry, entry.next, now);
    this.#sleep();
  }

  #sleep(): void {
    this.#stopTimer?.();
    const next = Math.min(...[...this.#entries.values()].map((entry) => entry.next ?? Number.POSITIVE_INFINITY));
    const wait = Math.max(0, Math.min(next - this.#deps.clock.now(), LONGEST_SLEEP_MS));
    this.#stopTimer = this.#deps.timers.after(wait, () => this.#tick());
  }

  #fire(entry: Entry, due: number, now: number): void {
    const { row, spec } = entry;
    // Several instants may have passed; all of them are dealt with by this one.
    const following = nextFire(spec, due, row.registered_at);
    const instant = following !== null && following <= now ? now : due;
    if (this.#isRunning(row)) {
      this.#save(entry, { last_fire_at: instant, skipped_overlap: row.skipped_overlap + 1 });
      this.#plan(entry);
      return;
    }
    try {
      const { run_id: runId } = this.#deps.start(row.flow_id, spec.inputs, {
        caller: "scheduler",
        trigger: "schedule",
        timeoutMs: BACKGROUND_RUN_SECONDS * 1000,
        daemonInputs: { _trigger: { kind: "schedule", fire_at: isoTime(due) } },
        fire: { flow_id: row.flow_id, fire_at: instant },
      });
      entry.error = null;
      entry.row = { ...row, last_fire_at: instant, last_run_id: runId };
      this.#rows.set(row.flow_id, entry.row);
    } catch (cause) {
      this.#refused(entry, instant, cause);
    }
    this.#plan(entry);
  }

  #refused(entry: Entry, instant: number, cause: unknown): void {
    const { row } = entry;
    const code = cause instanceof FlowError ? cause.code : "kernel.failed";
    entry.error = cause instanceof Error ? cause.message : "the run could not be started";
    this.#deps.diagnostics?.report({ kind: "schedule", id: row.flow_id, status: "degraded", code, message: entry.error });
    this.#save(entry, { last_fire_at: instant });
  }

  #isRunning({ last_run_id: runId }: ScheduleRow): boolean {
    const state = runId === null ? null : this.#deps.stateOf(runId);
    return state === "queued" || state === "running";
  }

  #save(entry: Entry, change: Partial<ScheduleRow>): void {
    entry.row = { ...entry.row, ...change };
    this.#rows.set(entry.row.flow_id, entry.row);
    try {
      this.#deps.store.save(entry.row);
    } catch (cause) {
      this.#deps.logger.log("error", "a schedule could not be kept", { flow_id: entry.row.flow_id, error: String(cause) });
    }
  }

  #status({ row, spec, next, error }: Entry): ScheduleStatus {
    const state = row.last_run_id === null ? null : this.#deps.stateOf(row.last_run_id);
    return {
      flow_id: row.flow_id,
      enabled: row.enabled,
      cron: spec.kind === "cron" ? spec.cron : null,
      interval_seconds: spec.kind === "interval" ? spec.interval_seconds : null,
      timezone: spec.timezone,
      next_fire_at: next === null ? null : isoTime(next),
      last_fire_at: row.last_fire_at === null ? null : isoTime(row.last_fire_at),
      last_run_id: row.last_run_id,
      last_state: state,
      running: this.#isRunning(row),
      skipped_overlap: row.skipped_overlap,
      error,
    };
  }
}
