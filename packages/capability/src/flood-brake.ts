import type { Clock } from "@rumi/core";
import { RateLimiter } from "./rate-limiter.ts";

/** Refusals of one principal in a minute that are answered at once. As the egress proxy has it. */
const QUICK_REFUSALS = 600;

/** How late further ones are answered, ms: a loop of refused calls costs the daemon, and so its neighbours, no more than that. */
const SLOW_REFUSAL_MS = 100;

/** Slows down whoever makes a habit of calls that are refused for their rate or shape. Others are not held up. */
export class FloodBrake {
  readonly #clock: Clock;
  readonly #refusals = new RateLimiter();

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** Counts a refusal; resolves when it may be answered, or when nobody waits for it any more. */
  async hold(principal: string, signal: AbortSignal): Promise<void> {
    if (this.#refusals.take(principal, QUICK_REFUSALS, this.#clock.monotonic()) || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", go);
        resolve();
      };
      const timer = setTimeout(go, SLOW_REFUSAL_MS);
      signal.addEventListener("abort", go, { once: true });
    });
  }
}
