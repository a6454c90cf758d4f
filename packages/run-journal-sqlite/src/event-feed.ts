import { isoTime } from "@rumi/core";
import type { JsonObject } from "@rumi/core";
import type { Statements } from "./statements.ts";

/** One thing that happened in a run. `seq` counts from 1 in each run, without gaps. */
export interface RunEvent {
  readonly seq: number;
  readonly ts: string;
  readonly type: "run.started" | "step.started" | "step.finished" | "step.skipped" | "log" | "chunk" | "run.finished";
  readonly data: JsonObject;
}

/** Events read at once. */
const PAGE = 500;
/** Events kept of one run; past it only those that end steps and the run are. */
export const MAX_RUN_EVENTS = 20_000;

/** Everything that happens in runs: kept, and told to whoever follows a run. */
export class EventFeed {
  readonly #sql: Statements;
  readonly #rowOf: (runId: string) => number;
  readonly #last = new Map<string, number>();
  readonly #followers = new Map<string, Set<() => void>>();
  #ended = false;

  constructor(sql: Statements, rowOf: (runId: string) => number) {
    this.#sql = sql;
    this.#rowOf = rowOf;
  }

  /** Keeps an event and tells those who follow. @throws what the database throws */
  add(runId: string, type: RunEvent["type"], data: JsonObject, now: number): void {
    const row = this.#rowOf(runId);
    if (row < 0) return;
    const seq = (this.#last.get(runId) ?? this.#lastKept(row)) + 1;
    if (seq > MAX_RUN_EVENTS && (type === "log" || type === "chunk" || type === "step.started")) return;
    this.#sql.insertEvent.run(row, seq, isoTime(now), type, JSON.stringify(data));
    this.#last.set(runId, seq);
    for (const wake of this.#followers.get(runId) ?? []) wake();
  }

  /** The run has ended: nothing more comes. */
  close(runId: string): void {
    this.#last.delete(runId);
    for (const wake of this.#followers.get(runId) ?? []) wake();
  }

  /** The daemon stops: those who follow are let go. */
  end(): void {
    this.#ended = true;
    for (const followers of this.#followers.values()) for (const wake of followers) wake();
  }

  /** Events after `seq`, oldest first, at most 500. */
  after(runId: string, seq: number): RunEvent[] {
    const rows = this.#sql.eventsAfter.all(this.#rowOf(runId), seq, PAGE) as unknown as (Omit<RunEvent, "data"> & {
      readonly data: string;
    })[];
    return rows.map((row) => ({ seq: row.seq, ts: row.ts, type: row.type, data: JSON.parse(row.data) as JsonObject }));
  }

  /**
   * Every event of a run after `seq`: those that were, then those that come, each once and in order. Ends after `run.finished`,
   * when `signal` aborts, and when the daemon stops.
   */
  async *follow(runId: string, seq: number, signal: AbortSignal): AsyncGenerator<RunEvent> {
    let at = seq;
    const wakeUp = new WakeUp();
    const followers = this.#followers.get(runId) ?? new Set();
    this.#followers.set(runId, followers);
    followers.add(wakeUp.wake);
    signal.addEventListener("abort", wakeUp.wake);
    try {
      while (!signal.aborted) {
        const page = this.after(runId, at);
        for (const event of page) {
          if (signal.aborted) return;
          yield event;
          at = event.seq;
          if (event.type === "run.finished") return;
        }
        if (this.#ended) return;
        if (page.length < PAGE) await wakeUp.sleep();
      }
    } finally {
      signal.removeEventListener("abort", wakeUp.wake);
      followers.delete(wakeUp.wake);
      if (followers.size === 0) this.#followers.delete(runId);
    }
  }

  #lastKept(row: number): number {
    const kept = this.#sql.lastEvent.get(row) as { readonly seq: number | null } | undefined;
    return kept?.seq ?? 0;
  }
}

/** Sleeps until woken; a wake that comes before the sleep ends it at once. */
class WakeUp {
  #woken = false;
  #resolve: (() => void) | null = null;

  readonly wake = (): void => {
    this.#woken = true;
    this.#resolve?.();
  };

  async sleep(): Promise<void> {
    if (!this.#woken) {
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
      });
      this.#resolve = null;
    }
    this.#woken = false;
  }
}
