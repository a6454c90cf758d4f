import type { RunId } from "@rumi/core";
import type { JournaledRun, JournaledStep, RunEnd, RunJournal, ScheduleFire, StepFinish, StepStart } from "../journal.ts";

/** A journal in memory: what a daemon that was killed leaves behind, for the next one of the same test. */
export class MemoryRunJournal implements RunJournal {
  readonly runs = new Map<string, JournaledRun>();
  readonly ends = new Map<string, RunEnd>();
  readonly fires: ScheduleFire[] = [];
  /** Paths of steps by the order in which they were begun and ended, e.g. `start a`, `done a`. */
  readonly told: string[] = [];
  readonly #steps = new Map<string, JournaledStep>();
  #failing: Error | null = null;

  /** A copy of what is kept now: what the next process finds, whatever this one still writes. */
  freeze(): MemoryRunJournal {
    const copy = new MemoryRunJournal();
    for (const [id, run] of this.runs) copy.runs.set(id, structuredClone(run));
    for (const [id, end] of this.ends) copy.ends.set(id, structuredClone(end));
    for (const [key, step] of this.#steps) copy.#steps.set(key, structuredClone(step));
    return copy;
  }

  /** From now on nothing can be kept. */
  failWith(error: Error | null): void {
    this.#failing = error;
  }

  begin(run: JournaledRun, fire?: ScheduleFire): void {
    this.#check();
    this.runs.set(run.run_id, structuredClone(run));
    if (fire !== undefined) this.fires.push(fire);
  }

  running(runId: RunId, resumed: boolean): void {
    this.#check();
    const run = this.runs.get(runId);
    if (run !== undefined) this.runs.set(runId, { ...run, state: "running", resumes: run.resumes + (resumed ? 1 : 0) });
  }

  find(runId: RunId, path: string): JournaledStep | undefined {
    return structuredClone(this.#steps.get(`${runId} ${path}`));
  }

  started(runId: RunId, step: StepStart): void {
    this.#check();
    this.told.push(`start ${step.path}`);
    this.#steps.set(`${runId} ${step.path}`, { finished: false, attempt: step.attempt, child_digest: step.child_digest });
  }

  finished(runId: RunId, step: StepFinish): void {
    this.#check();
    this.told.push(`${step.status} ${step.path}`);
    const known = this.#steps.get(`${runId} ${step.path}`);
    const { status, attempts, value, writes, failure, reason, abort } = structuredClone(step);
    const childDigest = known?.child_digest ?? null;
    this.#steps.set(`${runId} ${step.path}`, {
      finished: true,
      status,
      attempts,
      value,
      writes,
      failure,
      reason,
      abort,
      child_digest: childDigest,
    });
    const run = this.runs.get(runId);
    if (run !== undefined) this.runs.set(runId, { ...run, active_ms: step.active_ms });
  }

  ended(runId: RunId, end: RunEnd): void {
    this.#check();
    this.ends.set(runId, structuredClone(end));
  }

  unfinished(): readonly JournaledRun[] {
    return [...this.runs.values()].filter((run) => !this.ends.has(run.run_id));
  }

  #check(): void {
    if (this.#failing !== null) throw this.#failing;
  }
}
