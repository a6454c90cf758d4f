import type { Digest, Logger } from "@rumi/core";
import type { PackStatus } from "./approval-state.ts";

/** What an act did to one pack. `gone`: nothing is left of a pack that was never decided on. */
export interface PackMove {
  readonly pack_id: string;
  readonly status: PackStatus | "gone";
  readonly reason: string | null;
}

/** Something moved. */
export interface PackChange extends PackMove {
  /** The only bytes of the pack that may run from now on; null: none may, also when it is approved but switched off, or its parent is closed. */
  readonly digest: Digest | null;
}

/** Hears of changes. */
export type PackListener = (change: PackChange) => void | Promise<void>;

/** Tells every listener of every change; a listener that fails is logged and hinders nobody. */
export class ChangeBoard {
  readonly #listeners = new Set<PackListener>();
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Answers how to stop listening. */
  listen(listener: PackListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls every listener with every change, in order, without waiting in between; resolves when all are done. */
  async tell(changes: readonly PackChange[]): Promise<void> {
    const told = changes.flatMap((change) => [...this.#listeners].map((listener) => this.#tellOne(listener, change)));
    await Promise.all(told);
  }

  async #tellOne(listener: PackListener, change: PackChange): Promise<void> {
    try {
      await listener(change);
    } catch (cause) {
      this.#logger.log("error", "a listener of pack changes failed", { pack_id: change.pack_id, cause: String(cause) });
    }
  }

  clear(): void {
    this.#listeners.clear();
  }
}
