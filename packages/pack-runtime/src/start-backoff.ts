import type { Clock } from "@rumi/core";

/** Failed starts of one key within this time count together. Source: page "Execution", section 5. */
export const START_FAILURE_WINDOW_MS = 5 * 60_000;
/** So many failed starts within the window close the key. Source: same. */
export const START_FAILURES_BEFORE_BACKOFF = 3;
/** First and longest time a key stays closed. Source: same. */
export const START_BACKOFF_MIN_MS = 5_000;
export const START_BACKOFF_MAX_MS = 300_000;

interface Failures {
  times: number[];
  /** Length of the last closing; 0 before the first. */
  backoffMs: number;
  closedUntil: number;
}

/** Remembers failed starts per key: after the third in five minutes the key is closed for 5 s, doubling up to 300 s. */
export class StartBackoff {
  readonly #clock: Clock;
  readonly #failures = new Map<string, Failures>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds until a start of `key` may be tried again; 0 when it may be now. */
  waitMs(key: string): number {
    const known = this.#failures.get(key);
    return known === undefined ? 0 : Math.max(0, known.closedUntil - this.#clock.monotonic());
  }

  /** A start of `key` failed now. */
  failed(key: string): void {
    const now = this.#clock.monotonic();
    const known = this.#failures.get(key) ?? { times: [], backoffMs: 0, closedUntil: 0 };
    known.times = [...known.times.filter((time) => now - time < START_FAILURE_WINDOW_MS), now];
    if (known.backoffMs > 0 || known.times.length >= START_FAILURES_BEFORE_BACKOFF) {
      known.backoffMs = Math.min(START_BACKOFF_MAX_MS, Math.max(START_BACKOFF_MIN_MS, known.backoffMs * 2));
      known.closedUntil = now + known.backoffMs;
    }
    this.#failures.set(key, known);
  }

  /** A start of `key` went well, or its bytes are gone: all is forgotten. */
  forget(key: string): void {
    this.#failures.delete(key);
  }
}
