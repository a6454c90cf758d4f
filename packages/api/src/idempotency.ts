import type { Clock, Digest } from "@rumi/core";
import { ApiError } from "./errors.ts";

/** How long a key is remembered. Source: page 40, section 3. */
export const IDEMPOTENCY_MS = 24 * 60 * 60 * 1000;
/** Most keys remembered; the oldest goes first. */
export const MAX_IDEMPOTENCY_KEYS = 10_000;

interface Remembered {
  readonly fingerprint: Digest;
  readonly expiresAt: number;
  readonly answer: Promise<unknown>;
}

/** Gives the same answer to the same request of one token, in memory, for a day. Refusals are not remembered. */
export class IdempotencyKeys {
  readonly #clock: Clock;
  readonly #known = new Map<string, Remembered>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The first caller's answer for (`owner`, `key`). @throws ApiError `request.idempotency_mismatch` when the request differs */
  async once<T>(owner: string, key: string, fingerprint: Digest, act: () => Promise<T>): Promise<T> {
    if (!/^[!-~]{1,255}$/u.test(key)) throw new ApiError("request.invalid", "Idempotency-Key has to be 1 to 255 visible characters");
    const id = `${owner}\n${key}`;
    const now = this.#clock.now();
    const known = this.#known.get(id);
    if (known !== undefined && known.expiresAt > now) {
      if (known.fingerprint !== fingerprint) {
        throw new ApiError("request.idempotency_mismatch", "this Idempotency-Key was used with another request");
      }
      return (await known.answer) as T;
    }
    this.#known.delete(id);
    if (this.#known.size >= MAX_IDEMPOTENCY_KEYS) {
      const oldest = this.#known.keys().next();
      if (oldest.done === false) this.#known.delete(oldest.value);
    }
    const answer = act();
    this.#known.set(id, { fingerprint, expiresAt: now + IDEMPOTENCY_MS, answer });
    try {
      return await answer;
    } catch (error) {
      this.#known.delete(id);
      throw error;
    }
  }
}
