import type { PackId } from "@rumi/core";

/** Calls of one pack's functions by other packs that run at once: of an instance's four slots one stays the pack's own. */
const MAX_FOREIGN = 3;

interface Gate {
  running: number;
  readonly waiting: Set<() => void>;
}

/**
 * Keeps other packs from taking every slot of a pack whose functions they call. First come first served among calls of one
 * depth: whoever waits never waits for a call that waits for it.
 */
export class ForeignCalls {
  readonly #gates = new Map<string, Gate>();

  /** True: goes on, and needs one `leave`. False: aborted while it waited. `depth`: of the call, in its chain. */
  async enter(provider: PackId, depth: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    const key = `${provider}/${depth}`;
    const gate = this.#gates.get(key) ?? { running: 0, waiting: new Set() };
    this.#gates.set(key, gate);
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

  leave(provider: PackId, depth: number): void {
    const key = `${provider}/${depth}`;
    const gate = this.#gates.get(key);
    if (gate === undefined) return;
    const [next] = gate.waiting;
    if (next !== undefined) {
      // Its place goes to the next in line.
      gate.waiting.delete(next);
      next();
      return;
    }
    gate.running -= 1;
    if (gate.running === 0) this.#gates.delete(key);
  }
}
