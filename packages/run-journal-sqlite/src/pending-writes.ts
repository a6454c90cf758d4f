import type { Logger } from "@rumi/core";
import type { SqliteFile } from "@rumi/safe-files";
import { journalFailure } from "./errors.ts";
import type { RunJournalError } from "./errors.ts";

interface Write {
  readonly run_id: string;
  readonly work: () => void;
}

/**
 * What is to be written, gathered until somebody needs it kept, or the event loop turns: a step's end and the next step's start
 * are one commit, and so are many small steps. A run whose writes were lost is told so with every further one.
 */
export class PendingWrites implements Disposable {
  readonly #file: SqliteFile;
  readonly #logger: Logger;
  /** Runs of which something could not be written, until they end. */
  readonly #lost = new Map<string, RunJournalError>();
  #writes: Write[] = [];
  #turn: NodeJS.Immediate | null = null;

  constructor(file: SqliteFile, logger: Logger) {
    this.#file = file;
    this.#logger = logger;
  }

  /** @throws RunJournalError when earlier writes of this run were lost */
  add(runId: string, work: () => void): void {
    this.#assertKept(runId);
    this.#writes.push({ run_id: runId, work });
    this.#turn ??= setImmediate(() => this.writeAll());
  }

  /** Writes all that is pending, in its order, as one commit. @throws RunJournalError when what this run asked for was lost */
  write(runId: string): void {
    this.writeAll();
    this.#assertKept(runId);
  }

  /** As `write`, for nobody in particular: runs that lost something hear of it when they ask again. */
  writeAll(): void {
    if (this.#turn !== null) clearImmediate(this.#turn);
    this.#turn = null;
    const writes = this.#writes;
    this.#writes = [];
    if (writes.length === 0) return;
    try {
      this.#file.transaction(() => {
        for (const { work } of writes) work();
      });
    } catch (cause) {
      const failure = journalFailure(cause);
      this.#logger.log("error", "steps of runs could not be kept; the runs end", { writes: writes.length, error: failure.message });
      for (const { run_id: id } of writes) this.#lost.set(id, failure);
    }
  }

  /** The run ends: what it lost is no reason to lose its end, too. */
  forgive(runId: string): void {
    this.#lost.delete(runId);
  }

  [Symbol.dispose](): void {
    this.writeAll();
  }

  #assertKept(runId: string): void {
    const failure = this.#lost.get(runId);
    if (failure !== undefined) throw failure;
  }
}
