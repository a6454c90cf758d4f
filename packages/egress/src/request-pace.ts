import type { Clock, PackId } from "@rumi/core";

const WINDOW_MS = 60_000;

/** Refusals of one principal a minute after which each further one is answered late. */
const QUICK_REFUSALS = 600;

/** How far apart the further ones are, in ms: bounds what a loop of refused requests costs, above all in the audit log. */
const REFUSAL_STEP_MS = 100;

interface Pace {
  /** When its requests were let through, oldest first; a ring without its front. */
  times: number[];
  front: number;
  inFlight: number;
  refusals: number;
  refusalsSince: number;
  /** When the next refusal may be answered. */
  nextRefusal: number;
}

/** Rule 5: how many requests of a principal in any minute, and how many at once. */
export class RequestPace {
  readonly #clock: Clock;
  readonly #paces = new Map<PackId, Pace>();

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** Takes a place, or says what is used up. A taken place is given back with `release`. */
  take(principal: PackId, limits: { readonly perMinute: number; readonly atOnce: number }): "taken" | "rate_limited" | "busy" {
    const now = this.#clock.monotonic();
    const pace = this.#pace(principal);
    while (pace.front < pace.times.length && (pace.times[pace.front] ?? 0) <= now - WINDOW_MS) pace.front++;
    if (pace.front > 1024 && pace.front * 2 > pace.times.length) {
      pace.times = pace.times.slice(pace.front);
      pace.front = 0;
    }
    if (pace.times.length - pace.front >= limits.perMinute) return "rate_limited";
    if (pace.inFlight >= limits.atOnce) return "busy";
    pace.times.push(now);
    pace.inFlight++;
    return "taken";
  }

  release(principal: PackId): void {
    const pace = this.#pace(principal);
    pace.inFlight = Math.max(0, pace.inFlight - 1);
    if (this.#paces.size > 1000) this.#forgetIdle();
  }

  /** Milliseconds by which this refusal is answered late: 0 until a principal makes a habit of it. */
  refusalDelay(principal: PackId): number {
    const now = this.#clock.monotonic();
    const pace = this.#pace(principal);
    if (now - pace.refusalsSince >= WINDOW_MS) {
      pace.refusals = 0;
      pace.refusalsSince = now;
    }
    if (++pace.refusals <= QUICK_REFUSALS) return 0;
    pace.nextRefusal = Math.max(now, pace.nextRefusal) + REFUSAL_STEP_MS;
    return pace.nextRefusal - now;
  }

  #pace(principal: PackId): Pace {
    let pace = this.#paces.get(principal);
    if (pace === undefined) {
      pace = { times: [], front: 0, inFlight: 0, refusals: 0, refusalsSince: this.#clock.monotonic(), nextRefusal: 0 };
      this.#paces.set(principal, pace);
    }
    return pace;
  }

  #forgetIdle(): void {
    const old = this.#clock.monotonic() - WINDOW_MS;
    for (const [principal, pace] of this.#paces) {
      if (pace.inFlight === 0 && (pace.times.at(-1) ?? 0) <= old && pace.refusalsSince <= old) this.#paces.delete(principal);
    }
  }
}
