import { constants } from "node:fs";
import { lstat, open, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { ensureFolder, PRIVATE_FILE_MODE, syncFolder } from "@rumi/safe-files";
import { StoreError } from "./errors.ts";
import { storageFailure } from "./storage-failure.ts";

/** The form of the tables; a file of a later form is left alone. */
const SCHEMA_VERSION = 1;
/** How long a statement waits for another process, ms. It holds up the whole daemon, and nobody else should be there. */
const BUSY_TIMEOUT_MS = 50;

/**
 * Ordinary tables with a row id: one of `WITHOUT ROWID` would spill values of a kilobyte into overflow pages. Ids of stores
 * are never used twice, so what is left of a dropped one never becomes another's.
 */
const SCHEMA = `
CREATE TABLE IF NOT EXISTS stores (
  id INTEGER PRIMARY KEY AUTOINCREMENT, store_id TEXT NOT NULL UNIQUE, owner TEXT, root_path TEXT, created_at TEXT,
  max_bytes INTEGER NOT NULL, max_keys INTEGER NOT NULL, keys INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS items (
  id INTEGER PRIMARY KEY, store INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (store, key)
) STRICT;
CREATE TABLE IF NOT EXISTS dropped (store INTEGER PRIMARY KEY) STRICT;
PRAGMA user_version = ${SCHEMA_VERSION};
`;

/**
 * The database file of all stores. Commits go to the write-ahead log at once and to the disk with `sync`, outside the event
 * loop: what `synchronous = FULL` does inside of it. No commit may be told to anybody before the `sync` that follows it.
 */
export class StoreDatabase implements AsyncDisposable {
  readonly #db: DatabaseSync;
  readonly #log: FileHandle;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #changes: StatementSync;

  private constructor(db: DatabaseSync, log: FileHandle) {
    this.#db = db;
    this.#log = log;
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#commit = db.prepare("COMMIT");
    this.#changes = db.prepare("SELECT total_changes() AS n");
  }

  /** Opens the file, making it and its folder when they are not there. @throws StoreError `store.unavailable` */
  static async open(path: string): Promise<StoreDatabase> {
    let db: DatabaseSync | null = null;
    try {
      await ensureFolder(dirname(path));
      await makeFile(path);
      db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
      prepareTables(db);
      const log = await open(`${path}-wal`, constants.O_RDWR | constants.O_NOFOLLOW);
      await log.datasync();
      await syncFolder(dirname(path));
      return new StoreDatabase(db, log);
    } catch (cause) {
      db?.close();
      throw storageFailure(cause);
    }
  }

  prepare(sql: string): StatementSync {
    return this.#db.prepare(sql);
  }

  /** Runs `work` as one transaction; undone when it throws. True when anything changed. @throws StoreError `store.unavailable` */
  transaction(work: () => void): boolean {
    try {
      this.#begin.run();
      const before = this.#count();
      work();
      const changed = this.#count() !== before;
      this.#commit.run();
      return changed;
    } catch (cause) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw storageFailure(cause);
    }
  }

  /** Runs `work` inside a transaction; what it changed is undone alone when it throws. */
  nested<T>(work: () => T): T {
    this.#db.exec("SAVEPOINT nested");
    try {
      return work();
    } catch (error) {
      this.#db.exec("ROLLBACK TO nested");
      throw error;
    } finally {
      this.#db.exec("RELEASE nested");
    }
  }

  /** Waits until every commit so far is on the disk. */
  async sync(): Promise<void> {
    await this.#log.datasync();
  }

  /** Moves what the log holds into the file. Holds up the event loop: for moments when nobody waits. */
  checkpoint(): void {
    this.#db.exec("PRAGMA wal_checkpoint(PASSIVE)");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#log.close();
    this.#db.close();
  }

  #count(): unknown {
    return this.#changes.get()?.["n"];
  }
}

/** SQLite would make it readable for everybody, and follow a link. */
async function makeFile(path: string): Promise<void> {
  try {
    await (await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, PRIVATE_FILE_MODE)).close();
  } catch (cause) {
    // One that is there is not opened: closing it would drop the locks that SQLite holds on it in this process.
    if (!(cause instanceof Error && "code" in cause && cause.code === "EEXIST")) throw cause;
    if (!(await lstat(path)).isFile()) throw new StoreError("store.unavailable", "the store database is no regular file");
  }
}

function prepareTables(db: DatabaseSync): void {
  const [{ user_version: version }] = db.prepare("PRAGMA user_version").all() as [{ user_version: number }];
  if (version > SCHEMA_VERSION) {
    throw new StoreError("store.unavailable", "the store database was written by a later version", { details: { version } });
  }
  // A checkpoint syncs log and file by itself in NORMAL; when it happens is decided here, not in the middle of a write.
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; PRAGMA trusted_schema = OFF");
  // A write even where the tables stand: the log is there afterwards.
  db.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT`);
}
