import type { Logger } from "@rumi/core";
import { FolderWatch } from "./folder-watch.ts";

/** Shortest and longest pause between two polls of every folder. The longest: page "Trust", section 5. */
const POLL_MS = 500;
const POLL_MAX_MS = 60_000;

/** A poll may take this share of the time: a slow disk is asked less often. */
const POLL_SHARE = 1 / 50;

/** Touches that come this close together are looked at once. */
const SETTLE_MS = 15;

/** Longest rest between two looks at a pack that is touched all the time: its edits are still heard within a second. */
const REST_MAX_MS = 500;

/** A look that is planned, under way, or about to be made again. */
interface PlannedLook {
  readonly timer: NodeJS.Timeout;
  /** Touched since the look began. */
  again: boolean;
}

export interface LookoutDeps {
  readonly ecosystem: string;
  readonly logger: Logger;
  /** Looks at one pack's folder. */
  readonly look: (pack: string) => Promise<void>;
  /** Looks at every folder. */
  readonly sweep: () => Promise<void>;
}

/** Sees that pack folders are looked at soon after they were touched: by watching them, and by a poll beside it. */
export class Lookout implements AsyncDisposable {
  readonly folders: FolderWatch;
  readonly #deps: LookoutDeps;
  readonly #pollMs: number;
  readonly #looks = new Map<string | null, PlannedLook>();
  readonly #running = new Set<Promise<void>>();
  #poll: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(deps: LookoutDeps, options: { readonly pollMs?: number; readonly platform?: string } = {}) {
    this.#deps = deps;
    this.#pollMs = options.pollMs ?? POLL_MS;
    this.folders = new FolderWatch({
      ecosystem: deps.ecosystem,
      logger: deps.logger,
      platform: options.platform ?? process.platform,
      onTouch: (pack) => this.#touch(pack),
    });
  }

  /** Starts the poll. */
  start(): void {
    this.#planPoll(this.#pollMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.folders[Symbol.dispose]();
    for (const { timer } of this.#looks.values()) clearTimeout(timer);
    if (this.#poll !== null) clearTimeout(this.#poll);
    await Promise.all(this.#running);
  }

  #touch(pack: string | null): void {
    if (this.#stopped) return;
    const planned = this.#looks.get(pack);
    if (planned === undefined) this.#plan(pack, SETTLE_MS);
    else planned.again = true;
  }

  /** One look at a time per pack, whatever the others take; touches meanwhile make one more, after as long a rest. */
  #plan(pack: string | null, delayMs: number): void {
    const planned: PlannedLook = { again: false, timer: setTimeout(() => void this.#run(look), delayMs).unref() };
    const look = async (): Promise<void> => {
      planned.again = false;
      const started = performance.now();
      await (pack === null ? this.#deps.sweep() : this.#deps.look(pack)).catch(this.#warn);
      if (planned.again && !this.#stopped) this.#plan(pack, Math.min(REST_MAX_MS, Math.max(SETTLE_MS, performance.now() - started)));
      else this.#looks.delete(pack);
    };
    this.#looks.set(pack, planned);
  }

  #planPoll(delayMs: number): void {
    const poll = async (): Promise<void> => {
      const started = performance.now();
      await this.#deps.sweep().catch(this.#warn);
      const tookMs = performance.now() - started;
      if (!this.#stopped) this.#planPoll(Math.min(POLL_MAX_MS, Math.max(this.#pollMs, tookMs / POLL_SHARE)));
    };
    this.#poll = setTimeout(() => void this.#run(poll), delayMs).unref();
  }

  async #run(work: () => Promise<void>): Promise<void> {
    if (this.#stopped) return;
    const running = work();
    this.#running.add(running);
    await running;
    this.#running.delete(running);
  }

  readonly #warn = (cause: unknown): void => {
    this.#deps.logger.log("error", "pack folders could not be looked at", { cause: String(cause) });
  };
}
