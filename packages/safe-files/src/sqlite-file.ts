import { constants } from "node:fs";
import { lstat, open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { PRIVATE_FILE_MODE } from "./atomic-write.ts";
import { SafeFilesError } from "./errors.ts";
import { ensureFolder, syncFolder } from "./folder.ts";

/** How long a statement waits for another process, ms. It holds up the whole daemon, and nobody else should be there. */
const BUSY_TIMEOUT_MS = 50;

/** Primary result codes of SQLite, as words for the operator. */
const SQLITE_WORDS: Readonly<Record<number, string>> = {
  5: "the database is held by another process",
  6: "the database is held by another process",
  8: "the database may not be written",
  10: "the database cannot be read or written",
  11: "the database is damaged",
  13: "the disk of the database is full",
  14: "the database cannot be opened",
  26: "the database is damaged: the file is no database",
};

/** The tables of one database file. */
export interface SqliteSchema {
  /** The form of the tables; a file of a later form is left alone. */
  readonly version: number;
  /** `CREATE ... IF NOT EXISTS` statements. */
  readonly sql: string;
}

/**
 * A database file of this daemon alone (0600, never through a link). Commits go to the write-ahead log at once and to the disk
 * with `sync`, outside the event loop: what `synchronous = FULL` does inside of it. What must outlast a power cut may not be
 * told to anybody before the `sync` that follows its commit.
 */
export class SqliteFile implements AsyncDisposable {
  readonly #db: DatabaseSync;
  readonly #log: FileHandle;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #changes: StatementSync;
  #syncing: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  private constructor(db: DatabaseSync, log: FileHandle) {
    this.#db = db;
    this.#log = log;
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#commit = db.prepare("COMMIT");
    this.#changes = db.prepare("SELECT total_changes() AS n");
  }

  /** Opens the file, making it and its folder when they are not there. @throws SafeFilesError `safe_files.database_failed` */
  static async open(path: string, schema: SqliteSchema): Promise<SqliteFile> {
    let db: DatabaseSync | null = null;
    try {
      await ensureFolder(dirname(path));
      await makeFile(path);
      db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
      prepareTables(db, schema);
      const log = await open(`${path}-wal`, constants.O_RDWR | constants.O_NOFOLLOW);
      await log.datasync();
      await syncFolder(dirname(path));
      return new SqliteFile(db, log);
    } catch (cause) {
      db?.close();
      throw databaseFailure(cause);
    }
  }

  prepare(sql: string): StatementSync {
    return this.#db.prepare(sql);
  }

  /** Runs `work` as one transaction; undone when it throws. @throws what `work` throws; SafeFilesError `safe_files.database_failed` */
  transaction<T>(work: () => T): T {
    try {
      this.#begin.run();
      const value = work();
      this.#commit.run();
      return value;
    } catch (cause) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw databaseFailure(cause);
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

  /** Rows changed since the file was opened: the same number before and after means that nothing was. */
  get changes(): number {
    return Number(this.#changes.get()?.["n"]);
  }

  /** Resolves when every commit so far is on the disk. All that wait at the same time share one flush. */
  sync(): Promise<void> {
    if (this.#syncing === null) return this.#flush();
    this.#next ??= this.#syncing.then(
      () => this.#flush(),
      () => this.#flush(),
    );
    return this.#next;
  }

  /** Moves what the log holds into the file. Holds up the event loop: for moments when nobody waits. */
  checkpoint(): void {
    this.#db.exec("PRAGMA wal_checkpoint(PASSIVE)");
  }

  /** Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#db.isOpen) return;
    await Promise.allSettled([this.#syncing, this.#next]);
    await this.#log.close();
    this.#db.close();
  }

  #flush(): Promise<void> {
    this.#next = null;
    const flush: Promise<void> = this.#log.datasync().then(
      () => this.#flushed(flush),
      (cause: unknown) => {
        this.#flushed(flush);
        throw databaseFailure(cause);
      },
    );
    this.#syncing = flush;
    return flush;
  }

  #flushed(flush: Promise<void>): void {
    if (this.#syncing === flush) this.#syncing = null;
  }
}

/** `cause` as an error of this package, without a host path. Errors with a code of the house stay themselves. */
export function databaseFailure(cause: unknown): Error {
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string" && cause.code.includes(".")) return cause;
  const { words, full } = describe(cause);
  return new SafeFilesError("safe_files.database_failed", words, { cause, remedy: "rumi doctor", details: { full } });
}

function describe(cause: unknown): { readonly words: string; readonly full: boolean } {
  const { errcode, code } = (typeof cause === "object" && cause !== null ? cause : {}) as {
    readonly errcode?: unknown;
    readonly code?: unknown;
  };
  if (code === "ENOSPC" || code === "EDQUOT") return { words: SQLITE_WORDS[13] ?? "", full: true };
  if (typeof errcode !== "number") return { words: "the database cannot be read or written", full: false };
  return { words: SQLITE_WORDS[errcode & 0xff] ?? `the database failed (${errcode})`, full: (errcode & 0xff) === 13 };
}

/** SQLite would make it readable for everybody, and follow a link. */
async function makeFile(path: string): Promise<void> {
  try {
    await (await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, PRIVATE_FILE_MODE)).close();
  } catch (cause) {
    // One that is there is not opened: closing it would drop the locks that SQLite holds on it in this process.
    if (!(cause instanceof Error && "code" in cause && cause.code === "EEXIST")) throw cause;
    if (!(await lstat(path)).isFile()) throw new SafeFilesError("safe_files.database_failed", "the database is no regular file");
  }
}

function prepareTables(db: DatabaseSync, { version, sql }: SqliteSchema): void {
  const [row] = db.prepare("PRAGMA user_version").all() as { readonly user_version: number }[];
  const found = row?.user_version ?? 0;
  if (found > version)
    throw new SafeFilesError("safe_files.database_failed", "the database was written by a later version", { details: { version: found } });
  // A checkpoint syncs log and file by itself in NORMAL; when it happens is decided here, not in the middle of a write.
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; PRAGMA trusted_schema = OFF");
  // A write even where the tables stand: the log is there afterwards.
  db.exec(`BEGIN IMMEDIATE; ${sql}; PRAGMA user_version = ${version}; COMMIT`);
}
