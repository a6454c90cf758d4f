import { join } from "node:path";
import type { PackApprovals } from "@rumi/approval";
import { isoTime } from "@rumi/core";
import type { Clock, JsonObject, Logger } from "@rumi/core";
import { writeFileAtomic } from "@rumi/safe-files";
import type { Timers } from "./ports.ts";

/** Version of the file's shape. Source: page "Trust", section 15. */
const VERSION = "1.0";
/** A change is in the file within a second: several at once are written together. */
const WRITE_DELAY_MS = 200;

export interface PendingExportDeps {
  readonly approvals: Pick<PackApprovals, "list">;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
}

/** Keeps `pending/summary.json`: what waits for the operator, at most a second old, never half written. */
export class PendingExport implements AsyncDisposable {
  readonly #deps: PendingExportDeps;
  readonly #path: string;
  #stopTimer: (() => void) | null = null;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(deps: PendingExportDeps, options: { readonly userData: string }) {
    this.#deps = deps;
    this.#path = join(options.userData, "pending", "summary.json");
  }

  /** The counts now. A section that fails stands as `{error}`. */
  summary(): JsonObject {
    return { version: VERSION, ts: isoTime(this.#deps.clock.now()), packs: this.#packs() };
  }

  /** Writes the file now. Answers its path below `user_data`. */
  async write(): Promise<string> {
    this.#stopTimer?.();
    this.#stopTimer = null;
    const next = this.#writing.then(() => writeFileAtomic(this.#path, `${JSON.stringify(this.summary(), null, 2)}\n`));
    this.#writing = next.catch(() => undefined);
    await next;
    return "pending/summary.json";
  }

  /** Something changed: the file follows soon. */
  touch(): void {
    this.#stopTimer ??= this.#deps.timers.after(WRITE_DELAY_MS, () => {
      this.write().catch((cause: unknown) =>
        this.#deps.logger.log("warn", "pending/summary.json could not be written", { error: String(cause) }),
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopTimer?.();
    this.#stopTimer = null;
    await this.#writing;
  }

  #packs(): JsonObject {
    try {
      const packs = this.#deps.approvals.list();
      const ids = (...wanted: string[]): string[] => packs.filter((pack) => wanted.includes(pack.status)).map((pack) => pack.pack_id);
      const sections = { pending: ids("installed", "modified"), modified: ids("modified"), blocked: ids("blocked"), error: ids("error") };
      const result: Record<string, number | string[]> = {};
      for (const [name, list] of Object.entries(sections)) {
        result[`${name}_count`] = list.length;
        result[`${name}_ids`] = list;
      }
      return result;
    } catch (cause) {
      return { error: cause instanceof Error ? cause.name : "failed" };
    }
  }
}
