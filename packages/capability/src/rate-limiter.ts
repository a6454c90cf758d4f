const MINUTE_MS = 60_000;

/** Counts events per key over the last minute, exactly: no burst at a window's edge. In memory only. */
export class RateLimiter {
  readonly #times = new Map<string, number[]>();

  /** True while fewer than `limit` events of `key` lie in the minute before `nowMs`. */
  hasRoom(key: string, limit: number, nowMs: number): boolean {
    return this.#recent(key, nowMs).length < limit;
  }

  /** Counts one event. */
  add(key: string, nowMs: number): void {
    this.#recent(key, nowMs).push(nowMs);
  }

  /** Counts one event if there is room for it. */
  take(key: string, limit: number, nowMs: number): boolean {
    if (!this.hasRoom(key, limit, nowMs)) return false;
    this.add(key, nowMs);
    return true;
  }

  forget(key: string): void {
    this.#times.delete(key);
  }

  #recent(key: string, nowMs: number): number[] {
    const times = this.#times.get(key) ?? [];
    // Times ahead of now come from a clock that was set back.
    const first = times.findIndex((time) => time > nowMs - MINUTE_MS);
    if (first !== 0) times.splice(0, first < 0 ? times.length : first);
    while ((times.at(-1) ?? nowMs) > nowMs) times.pop();
    this.#times.set(key, times);
    return times;
  }
}
