import type { Clock, Digest } from "@rumi/core";
import { MIB } from "@rumi/core";
import { ApiError } from "./errors.ts";

/** How long a key is remembered. Source: page 40, section 3. */
export const IDEMPOTENCY_MS = 24 * 60 * 60 * 1000;
/** Most keys remembered; the oldest of the owner with most of them goes first. */
export const MAX_IDEMPOTENCY_KEYS = 10_000;
/** Most bytes of remembered answers, as JSON; the oldest ones then keep only what `shrink` leaves of them. */
export const MAX_IDEMPOTENCY_BYTES = 64 * MIB;

interface Remembered {
  readonly fingerprint: Digest;
  readonly expiresAt: number;
  answer: Promise<unknown>;
}

/** An ended answer that still has its whole size. */
interface Whole {
  readonly bytes: number;
  readonly shrink: () => void;
}

/** Gives the same answer to the same request of one token, in memory, for a day. Refusals are not remembered. */
export class IdempotencyKeys {
  readonly #clock: Clock;
  readonly #owners = new Map<string, Map<string, Remembered>>();
  /** Oldest first. */
  readonly #whole = new Map<Remembered, Whole>();
  #keys = 0;
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Bytes of the answers that are remembered whole. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The first caller's answer for (`owner`, `key`). `shrink` gives what is kept of a large answer when memory is needed.
   * @throws ApiError `request.idempotency_mismatch` when the request differs
   */
  async once<T>(owner: string, key: string, fingerprint: Digest, act: () => Promise<T>, shrink: (answer: T) => T): Promise<T> {
    if (!/^[!-~]{1,255}$/u.test(key)) throw new ApiError("request.invalid", "Idempotency-Key has to be 1 to 255 visible characters");
    const now = this.#clock.now();
    const known = this.#owners.get(owner)?.get(key);
    if (known !== undefined && known.expiresAt > now) {
      if (known.fingerprint !== fingerprint) {
        throw new ApiError("request.idempotency_mismatch", "this Idempotency-Key was used with another request");
      }
      return (await known.answer) as T;
    }
    this.#forget(owner, key);
    if (this.#keys >= MAX_IDEMPOTENCY_KEYS) this.#forgetOldest();
    const remembered: Remembered = { fingerprint, expiresAt: now + IDEMPOTENCY_MS, answer: act() };
    this.#keep(owner, key, remembered);
    try {
      const answer = (await remembered.answer) as T;
      if (this.#owners.get(owner)?.get(key) === remembered) this.#count(remembered, answer, shrink);
      return answer;
    } catch (error) {
      if (this.#owners.get(owner)?.get(key) === remembered) this.#forget(owner, key);
      throw error;
    }
  }

  #count<T>(remembered: Remembered, answer: T, shrink: (answer: T) => T): void {
    const bytes = Buffer.byteLength(JSON.stringify(answer));
    this.#bytes += bytes;
    this.#whole.set(remembered, {
      bytes,
      shrink: () => {
        remembered.answer = Promise.resolve(shrink(answer));
      },
    });
    for (const [oldest, whole] of this.#whole) {
      if (this.#bytes <= MAX_IDEMPOTENCY_BYTES) return;
      whole.shrink();
      this.#uncount(oldest);
    }
  }

  #uncount(remembered: Remembered): void {
    this.#bytes -= this.#whole.get(remembered)?.bytes ?? 0;
    this.#whole.delete(remembered);
  }

  #keep(owner: string, key: string, remembered: Remembered): void {
    const own = this.#owners.get(owner) ?? new Map<string, Remembered>();
    own.set(key, remembered);
    this.#owners.set(owner, own);
    this.#keys += 1;
  }

  #forget(owner: string, key: string): void {
    const own = this.#owners.get(owner);
    const known = own?.get(key);
    if (own === undefined || known === undefined) return;
    own.delete(key);
    if (own.size === 0) this.#owners.delete(owner);
    this.#uncount(known);
    this.#keys -= 1;
  }

  #forgetOldest(): void {
    let most: readonly [string, Map<string, Remembered>] | null = null;
    for (const entry of this.#owners) if (most === null || entry[1].size > most[1].size) most = entry;
    const oldest = most?.[1].keys().next();
    if (most !== null && oldest?.done === false) this.#forget(most[0], oldest.value);
  }
}
