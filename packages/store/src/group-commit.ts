import { setImmediate } from "node:timers/promises";
import type { SqliteFile } from "@rumi/safe-files";
import { StoreError } from "./errors.ts";
import { storageFailure } from "./storage-failure.ts";

/** Most writes in one transaction, and most bytes of new values: what others may have to wait for. */
const MAX_GROUP_WRITES = 256;
const MAX_GROUP_BYTES = 4 * 1024 * 1024;

/** Bytes in the log after which it is moved into the file at the next quiet moment, and, quiet or not, between two groups. */
const QUIET_CHECKPOINT_BYTES = 1024 * 1024;
const FORCED_CHECKPOINT_BYTES = 16 * 1024 * 1024;
/** Nobody wrote for so long: quiet. */
const QUIET_MS = 25;
/** What a small write adds to the log, about: the pages of its value and key. */
const WRITE_BYTES = 2 * 4096;

/** What a commit needs of the database. */
export type CommitTarget = Pick<SqliteFile, "transaction" | "changes" | "sync" | "checkpoint">;

interface Waiting {
  readonly store: string;
  readonly bytes: number;
  readonly work: () => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Writes one after the other. Those that wait together share one transaction and one sync to the disk; each resolves when it
 * is there. `work` that throws a `StoreError` must have changed nothing, and fails alone.
 */
export class GroupCommit {
  readonly #database: CommitTarget;
  #waiting: Waiting[] = [];
  #running: Promise<void> | null = null;
  /** Stores with commits that are not on the disk yet, and when they are. */
  #unsynced: ReadonlySet<string> = new Set();
  #synced: Promise<void> = Promise.resolve();
  /** Set for good when the disk lost a commit: nobody knows what is on it. */
  #broken: StoreError | null = null;
  #logBytes = 0;
  #quiet: NodeJS.Timeout | null = null;

  constructor(database: CommitTarget) {
    this.#database = database;
  }

  /** @param bytes of new values, about */
  write<T>(store: string, bytes: number, work: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ store, bytes, work, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /**
   * Null when all that a read of `store` (null: of all) can see is on the disk; else when it will be.
   * @throws StoreError `store.unavailable`
   */
  settled(store: string | null): Promise<void> | null {
    if (this.#broken !== null) throw this.#broken;
    const waits = store === null ? this.#unsynced.size > 0 : this.#unsynced.has(store);
    return waits ? this.#synced : null;
  }

  /** Waits for every write asked for so far. */
  async drained(): Promise<void> {
    while (this.#running !== null) await this.#running;
    if (this.#quiet !== null) clearTimeout(this.#quiet);
  }

  async #run(): Promise<void> {
    // Whoever asks in the same breath joins; later ones gather while the disk works.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const synced = await this.#commit(this.#takeGroup());
      // Without a wait for the disk nobody else would get a turn.
      if (!synced) await setImmediate();
      if (this.#logBytes > FORCED_CHECKPOINT_BYTES) {
        await setImmediate();
        this.#checkpoint();
      }
    }
    this.#running = null;
    this.#checkpointWhenQuiet();
  }

  #takeGroup(): readonly Waiting[] {
    let bytes = 0;
    const size = this.#waiting.findIndex((write, index) => {
      bytes += write.bytes;
      return index > 0 && (index >= MAX_GROUP_WRITES || bytes > MAX_GROUP_BYTES);
    });
    return this.#waiting.splice(0, size === -1 ? this.#waiting.length : size);
  }

  /** True when it waited for the disk. */
  async #commit(group: readonly Waiting[]): Promise<boolean> {
    const ends: (() => void)[] = [];
    let changed = false;
    try {
      if (this.#broken !== null) throw this.#broken;
      const before = this.#database.changes;
      this.#database.transaction(() => {
        for (const { work, resolve, reject } of group) {
          try {
            const value = work() as never;
            ends.push(() => resolve(value));
          } catch (error) {
            if (!(error instanceof StoreError)) throw error;
            ends.push(() => reject(error));
          }
        }
      });
      changed = this.#database.changes !== before;
      if (changed) await this.#sync(group);
    } catch (cause) {
      const error = storageFailure(cause);
      for (const { reject } of group) reject(error);
      return false;
    }
    for (const end of ends) end();
    return changed;
  }

  async #sync(group: readonly Waiting[]): Promise<void> {
    for (const { bytes } of group) this.#logBytes += bytes + WRITE_BYTES;
    this.#unsynced = new Set(group.map(({ store }) => store));
    this.#synced = this.#database.sync().catch((cause: unknown) => {
      this.#broken = storageFailure(cause);
      throw this.#broken;
    });
    try {
      await this.#synced;
    } finally {
      this.#unsynced = new Set();
    }
  }

  #checkpointWhenQuiet(): void {
    if (this.#logBytes < QUIET_CHECKPOINT_BYTES) return;
    if (this.#quiet !== null) {
      this.#quiet.refresh();
      return;
    }
    this.#quiet = setTimeout(() => {
      this.#quiet = null;
      if (this.#running === null) this.#checkpoint();
    }, QUIET_MS);
    this.#quiet.unref();
  }

  #checkpoint(): void {
    this.#logBytes = 0;
    try {
      this.#database.checkpoint();
    } catch {
      // The log keeps all; the next one tries again, and a lasting fault meets the next write.
    }
  }
}
