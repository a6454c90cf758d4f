import type { Logger } from "@rumi/core";
import { FolderWatch } from "./folder-watch.ts";

/** Shortest and longest pause between two polls of every folder. The longest: page "Trust", section 5. */
const POLL_MS = 500;
const POLL_MAX_MS = 60_000;

/** A poll may take this share of the time: a slow disk is asked less often. */
const POLL_SHARE = 1 / 50;

/** Touches that come this close together are looked at once. */
const SETTLE_MS = 15;

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
  readonly #touched = new Set<string | null>();
  #settle: NodeJS.Timeout | null = null;
  #poll: NodeJS.Timeout | null = null;
  #background: Promise<void> = Promise.resolve();
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
    if (this.#settle !== null) clearTimeout(this.#settle);
    if (this.#poll !== null) clearTimeout(this.#poll);
    await this.#background;
  }

  #touch(pack: string | null): void {
    this.#touched.add(pack);
    if (this.#settle !== null || this.#stopped) return;
    this.#settle = setTimeout(() => {
      this.#settle = null;
      const touched = [...this.#touched];
      this.#touched.clear();
      this.#inBackground(async () => {
        if (touched.includes(null)) await this.#deps.sweep();
        else for (const id of touched) if (id !== null) await this.#deps.look(id);
      });
    }, SETTLE_MS);
    this.#settle.unref();
  }

  #planPoll(delayMs: number): void {
    if (this.#stopped) return;
    this.#poll = setTimeout(() => {
      this.#inBackground(async () => {
        const started = performance.now();
        try {
          await this.#deps.sweep();
        } finally {
          const tookMs = performance.now() - started;
          this.#planPoll(Math.min(POLL_MAX_MS, Math.max(this.#pollMs, tookMs / POLL_SHARE)));
        }
      });
    }, delayMs);
    this.#poll.unref();
  }

  #inBackground(work: () => Promise<void>): void {
    this.#background = this.#background.then(async () => {
      if (this.#stopped) return;
      await work().catch((cause: unknown) => {
        this.#deps.logger.log("error", "pack folders could not be looked at", { cause: String(cause) });
      });
    });
  }
}
