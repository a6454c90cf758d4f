import type { Clock } from "@rumi/core";
import { isoTime } from "@rumi/core";
import type { LogLine } from "@rumi/sandbox";

/** Runs whose lines are kept, and characters kept over all of them (their lines' costs included). */
const MAX_RUNS = 500;
const MAX_CHARS = 16 * 1024 * 1024;

/** What a kept line costs beside its text, in characters: an empty one is not free. */
const LINE_COST = 128;

/** One line that a block printed, redacted. */
export interface RunLogLine {
  readonly ts: string;
  readonly step_id: string;
  readonly stream: LogLine["stream"];
  readonly text: string;
}

interface RunLines {
  readonly lines: RunLogLine[];
  chars: number;
}

/** What blocks of recent runs printed, in memory; the oldest runs' lines leave first. */
export class RunLogs {
  readonly #clock: Clock;
  readonly #onLine: (runId: string, line: RunLogLine) => void;
  readonly #runs = new Map<string, RunLines>();
  #chars = 0;

  /** `onLine` is told every line. */
  constructor(deps: { readonly clock: Clock; readonly onLine?: (runId: string, line: RunLogLine) => void }) {
    this.#clock = deps.clock;
    this.#onLine = deps.onLine ?? (() => undefined);
  }

  add(runId: string, stepId: string, line: LogLine): void {
    let run = this.#runs.get(runId);
    if (run === undefined) {
      run = { lines: [], chars: 0 };
      this.#runs.set(runId, run);
    }
    const kept: RunLogLine = { ts: isoTime(this.#clock.now()), step_id: stepId, stream: line.stream, text: line.text };
    run.lines.push(kept);
    this.#onLine(runId, kept);
    const cost = line.text.length + LINE_COST;
    run.chars += cost;
    this.#chars += cost;
    for (const [oldest, { chars }] of this.#runs) {
      if (this.#runs.size <= MAX_RUNS && this.#chars <= MAX_CHARS) break;
      this.#runs.delete(oldest);
      this.#chars -= chars;
    }
  }

  /** Lines of a run, in the order they came; empty for a run that printed nothing or is forgotten. */
  of(runId: string): readonly RunLogLine[] {
    return this.#runs.get(runId)?.lines ?? [];
  }
}
