import type { Clock } from "@rumi/core";
import type { Timers } from "../ports.ts";

interface Due {
  readonly at: number;
  readonly run: () => void;
}

/** A clock and its timers that move only when told; timers fire in order of their time. */
export class ManualTimers implements Timers, Clock {
  #now: number;
  #due = new Set<Due>();

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const due: Due = { at: this.#now + ms, run };
    this.#due.add(due);
    return () => this.#due.delete(due);
  }

  /** Moves time on, firing what falls due; pending promises get their turn between two timers. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      let next: Due | undefined;
      for (const due of this.#due) if (due.at <= end && (next === undefined || due.at < next.at)) next = due;
      if (next === undefined) break;
      this.#due.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      await settle();
    }
    this.#now = end;
    await settle();
  }
}

/** Lets all promises that are ready run. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
