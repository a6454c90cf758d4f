import { SandboxError } from "@rumi/sandbox";
import type { Instance } from "@rumi/sandbox";
import type { OpenGateway } from "./gateway/ports.ts";
import type { InstanceSeed, Timers } from "./ports.ts";

/** An instance in service and its counts. Only the pool changes it. */
export interface LiveInstance {
  readonly seat: Seat;
  readonly instance: Instance;
  /** Its sockets; null when it has none. */
  readonly gateway: OpenGateway | null;
  state: "idle" | "busy" | "paused" | "draining";
  busy: number;
  calls: number;
  readonly startedAt: number;
  lastUsedAt: number;
  /** Resolves when nothing of it is left; null while it is not being removed. */
  removal: Promise<void> | null;
  stopTimer: (() => void) | null;
  /** Settles when a pause has taken hold; null while not paused. */
  pausing: Promise<boolean> | null;
}

/** A slot that is taken for a call that waited. */
export interface SlotGrant {
  readonly live: LiveInstance;
  readonly start: "warm" | "cold";
}

interface Waiter {
  readonly grant: (grant: SlotGrant) => void;
  readonly cancel: () => void;
  readonly refuse: (error: Error) => void;
}

/** The key of a seed: what must be equal for two calls to meet in one instance. */
export function seatKey(seed: InstanceSeed): string {
  return `${seed.pack_id}\n${seed.digest}\n${seed.runtime}\n${seed.authority}`;
}

/** The place of one key: its instance in service, those that drain, and the calls that wait, in their order. */
export class Seat {
  readonly key: string;
  readonly seed: InstanceSeed;
  readonly slots: number;
  current: LiveInstance | null = null;
  /** Set from the moment a start is wanted until it has ended. */
  starting: AbortController | null = null;
  dropped = false;
  /** What an instance is made from changed while this start was under way: its instance serves nobody. */
  outdated = false;
  readonly #draining = new Set<LiveInstance>();
  readonly #waiters: Waiter[] = [];

  constructor(key: string, seed: InstanceSeed, slots: number) {
    this.key = key;
    this.seed = seed;
    this.slots = slots;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** Calls that run on the instance in service or wait for it. */
  get inUse(): number {
    return (this.current?.busy ?? 0) + this.#waiters.length;
  }

  /** All instances, the one in service first. */
  instances(): LiveInstance[] {
    return this.current === null ? [...this.#draining] : [this.current, ...this.#draining];
  }

  /** A slot is free and nobody waits. */
  get hasRoom(): boolean {
    return this.current !== null && this.current.busy < this.slots && this.#waiters.length === 0;
  }

  /** Takes a slot when one is free and nobody waits; null otherwise. */
  takeSlot(): LiveInstance | null {
    const live = this.current;
    if (live === null || !this.hasRoom) return null;
    live.busy += 1;
    return live;
  }

  /**
   * Waits in line for a slot. Null when cancelled.
   * @throws SandboxError `sandbox.busy` after `maxMs`; whatever the start threw
   */
  wait(signal: AbortSignal, timers: Timers, maxMs: number): Promise<SlotGrant | null> {
    if (signal.aborted) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        const index = this.#waiters.indexOf(waiter);
        if (index >= 0) this.#waiters.splice(index, 1);
        stopTimer();
        signal.removeEventListener("abort", onAbort);
      };
      const waiter: Waiter = {
        grant: (grant) => {
          leave();
          resolve(grant);
        },
        cancel: () => {
          leave();
          resolve(null);
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      const onAbort = (): void => waiter.cancel();
      signal.addEventListener("abort", onAbort, { once: true });
      const stopTimer = timers.after(maxMs, () => {
        waiter.refuse(new SandboxError("sandbox.busy", `no free slot of pack "${this.seed.pack_id}" in ${maxMs / 1000} s`));
      });
      this.#waiters.push(waiter);
    });
  }

  /** Gives free slots to the first in line. */
  grantWaiting(start: SlotGrant["start"] = "warm"): void {
    const live = this.current;
    if (live === null) return;
    while (live.busy < this.slots) {
      const next = this.#waiters[0];
      if (next === undefined) return;
      live.busy += 1;
      next.grant({ live, start });
    }
  }

  /** Ends the wait of all with an error. */
  refuseWaiting(error: Error): void {
    for (const waiter of [...this.#waiters]) waiter.refuse(error);
  }

  /** Ends the wait of all as cancelled. */
  cancelWaiting(): void {
    for (const waiter of [...this.#waiters]) waiter.cancel();
  }

  /** The instance takes no new call, but ends those it has. */
  retire(live: LiveInstance): void {
    if (this.current === live) this.current = null;
    this.#draining.add(live);
  }

  /** The instance is out of service. */
  forget(live: LiveInstance): void {
    if (this.current === live) this.current = null;
    this.#draining.delete(live);
  }
}
