import type { Clock } from "@rumi/core";
import { MAX_IN_FLIGHT, MAX_QUEUED, MAX_REQUESTS_PER_SECOND } from "./limits.ts";

const SECOND_MS = 1_000;

export interface RequestGateOptions {
  readonly maxInFlight?: number;
  readonly maxQueued?: number;
  readonly maxPerSecond?: number;
}

/** Lets so many requests of one instance be served at once, first come first served, and so many wait. */
export class RequestGate {
  readonly #clock: Clock;
  readonly #maxInFlight: number;
  readonly #maxQueued: number;
  readonly #maxPerSecond: number;
  readonly #waiting = new Set<() => void>();
  #inFlight = 0;
  #secondStart = 0;
  #thisSecond = 0;

  constructor(clock: Clock, options: RequestGateOptions = {}) {
    this.#clock = clock;
    this.#maxInFlight = options.maxInFlight ?? MAX_IN_FLIGHT;
    this.#maxQueued = options.maxQueued ?? MAX_QUEUED;
    this.#maxPerSecond = options.maxPerSecond ?? MAX_REQUESTS_PER_SECOND;
  }

  /** Milliseconds that the next request has to wait, because too many came in this second; mostly 0. */
  pace(): number {
    const now = this.#clock.monotonic();
    if (now - this.#secondStart >= SECOND_MS) {
      this.#secondStart = now;
      this.#thisSecond = 0;
    }
    this.#thisSecond += 1;
    return this.#thisSecond <= this.#maxPerSecond ? 0 : this.#secondStart + SECOND_MS - now;
  }

  /** True: goes on now. A promise: has to wait, and goes on if it says true. False: too many wait. Each true needs one `leave`. */
  enter(signal: AbortSignal): boolean | Promise<boolean> {
    if (this.#inFlight < this.#maxInFlight) {
      this.#inFlight += 1;
      return true;
    }
    if (this.#waiting.size >= this.#maxQueued || signal.aborted) return false;
    return new Promise((resolve) => {
      const go = (): void => {
        signal.removeEventListener("abort", giveUp);
        resolve(true);
      };
      const giveUp = (): void => {
        this.#waiting.delete(go);
        resolve(false);
      };
      signal.addEventListener("abort", giveUp, { once: true });
      this.#waiting.add(go);
    });
  }

  /** A request is over: the one that waits longest takes its place. */
  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#inFlight -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
