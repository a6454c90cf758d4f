import type { Clock } from "@rumi/core";

/** Most keys a table remembers; the one used longest ago goes first. Source: page 40, section 1. */
export const MAX_RATE_KEYS = 10_000;

/** Times of one key's requests inside the window: a ring that grows to the limit. */
interface Log {
  times: Float64Array;
  start: number;
  count: number;
}

/** Whether one more request fits; when not, in how many seconds it would. */
export type RateVerdict = { readonly allowed: true } | { readonly allowed: false; readonly retryAfterSeconds: number };

/** At most `limit` requests per key in any `windowMs`. Refused requests do not count. */
export class SlidingWindow {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #logs = new Map<string, Log>();

  constructor(clock: Clock, options: { readonly limit: number; readonly windowMs: number }) {
    this.#clock = clock;
    this.#limit = options.limit;
    this.#windowMs = options.windowMs;
  }

  /** Counts one request of `key`, or says when to come back. */
  take(key: string): RateVerdict {
    const now = this.#clock.monotonic();
    const log = this.#touch(key);
    while (log.count > 0 && (log.times[log.start] ?? 0) <= now - this.#windowMs) {
      log.start = (log.start + 1) % log.times.length;
      log.count -= 1;
    }
    if (log.count >= this.#limit) {
      const oldest = log.times[log.start] ?? now;
      return { allowed: false, retryAfterSeconds: Math.max(1, Math.ceil((oldest + this.#windowMs - now) / 1000)) };
    }
    if (log.count === log.times.length) grow(log, this.#limit);
    log.times[(log.start + log.count) % log.times.length] = now;
    log.count += 1;
    return { allowed: true };
  }

  #touch(key: string): Log {
    const known = this.#logs.get(key);
    if (known !== undefined) {
      this.#logs.delete(key);
      this.#logs.set(key, known);
      return known;
    }
    if (this.#logs.size >= MAX_RATE_KEYS) {
      const oldest = this.#logs.keys().next();
      if (oldest.done === false) this.#logs.delete(oldest.value);
    }
    const fresh: Log = { times: new Float64Array(Math.min(16, this.#limit)), start: 0, count: 0 };
    this.#logs.set(key, fresh);
    return fresh;
  }
}

function grow(log: Log, limit: number): void {
  const bigger = new Float64Array(Math.min(limit, log.times.length * 2));
  for (let index = 0; index < log.count; index += 1) bigger[index] = log.times[(log.start + index) % log.times.length] ?? 0;
  log.times = bigger;
  log.start = 0;
}
