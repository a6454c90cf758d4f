import type { PackId } from "@rumi/core";

/** Calls of one pack's functions by other packs that run at once: of an instance's four slots one stays the pack's own. */
const MAX_FOREIGN = 3;

interface Gate {
  running: number;
  readonly waiting: Set<() => void>;
}

/** Keeps other packs from taking every slot of a pack whose functions they call. First come first served. */
export class ForeignCalls {
  readonly #gates = new Map<PackId, Gate>();

  /** True: goes on, and needs one `leave`. False: aborted while it waited. */
  async enter(provider: PackId, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    const gate = this.#gates.get(provider) ?? { running: 0, waiting: new Set() };
    this.#gates.set(provider, gate);
    if (gate.running < MAX_FOREIGN) {
      gate.running += 1;
      return true;
    }
    return await new Promise((resolve) => {
      const go = (): void => {
        signal.removeEventListener("abort", stop);
        resolve(true);
      };
      const stop = (): void => {
        gate.waiting.delete(go);
        resolve(false);
      };
      gate.waiting.add(go);
      signal.addEventListener("abort", stop, { once: true });
    });
  }

  leave(provider: PackId): void {
    const gate = this.#gates.get(provider);
    if (gate === undefined) return;
    const [next] = gate.waiting;
    if (next !== undefined) {
      // Its place goes to the next in line.
      gate.waiting.delete(next);
      next();
      return;
    }
    gate.running -= 1;
    if (gate.running === 0) this.#gates.delete(provider);
  }
}
