import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import type { DiagnosticsSink, PackId, PermissionId } from "@rumi/core";
import { PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE } from "@rumi/safe-files";
import { isCounted, LevelRates, nextCount, useKey } from "./use-counters.ts";
import type { UseCount, UseCounters, UseLevel } from "./use-counters.ts";

/** How long notes for the listings may stay in memory. */
const NOTE_MS = 60_000;

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS uses (
    principal TEXT NOT NULL,
    permission TEXT NOT NULL,
    total INTEGER NOT NULL DEFAULT 0,
    day TEXT NOT NULL DEFAULT '',
    today INTEGER NOT NULL DEFAULT 0,
    last_used_at INTEGER,
    PRIMARY KEY (principal, permission)
  ) STRICT, WITHOUT ROWID;
`;

interface Statements {
  readonly begin: StatementSync;
  readonly forget: StatementSync;
  readonly read: StatementSync;
  readonly write: StatementSync;
  readonly note: StatementSync;
}

/**
 * Counters in one SQLite file; a use is on disk before it is given. Each grant has its row from the day it was made, so
 * a file or row that is gone, like one that cannot be read, means: limit reached.
 */
export class SqliteUseCounters implements UseCounters, Disposable {
  readonly #diagnostics: DiagnosticsSink;
  readonly #rates = new LevelRates();
  readonly #lastUsed = new Map<string, number>();
  readonly #unsaved = new Map<string, readonly [PackId, PermissionId]>();
  #db: DatabaseSync | null = null;
  #sql: Statements | null = null;
  #savedAt = 0;

  private constructor(diagnostics: DiagnosticsSink) {
    this.#diagnostics = diagnostics;
  }

  /** Opens `path` (`user_data/permissions/uses.db`), making it at first. Never throws: what is wrong becomes a diagnostic. */
  static open(path: string, diagnostics: DiagnosticsSink): SqliteUseCounters {
    const counters = new SqliteUseCounters(diagnostics);
    counters.#guard(() => {
      mkdirSync(dirname(path), { recursive: true, mode: PRIVATE_FOLDER_MODE });
      closeSync(openSync(path, "a", PRIVATE_FILE_MODE));
      counters.#openDatabase(path);
    });
    return counters;
  }

  begin(principal: PackId, permission: PermissionId): void {
    this.#try((sql) => sql.begin.run(principal, permission));
  }

  forget(principal: PackId, permission: PermissionId): void {
    const key = useKey(principal, permission);
    this.#lastUsed.delete(key);
    this.#unsaved.delete(key);
    this.#try((sql) => sql.forget.run(principal, permission));
  }

  take(levels: readonly UseLevel[], permission: PermissionId, nowMs: number): boolean {
    if (!this.#rates.hasRoom(levels, permission, nowMs)) return false;
    const counted = levels.filter(isCounted);
    if (counted.length > 0 && this.#try((sql) => this.#takeCounted(sql, counted, permission, nowMs)) !== true) return false;
    this.#rates.add(levels, permission, nowMs);
    return true;
  }

  note(principal: PackId, permission: PermissionId, nowMs: number): void {
    const key = useKey(principal, permission);
    this.#lastUsed.set(key, nowMs);
    this.#unsaved.set(key, [principal, permission]);
    if (Math.abs(nowMs - this.#savedAt) < NOTE_MS) return;
    this.#savedAt = nowMs;
    this.#saveNotes();
  }

  lastUsedAt(principal: PackId, permission: PermissionId): number | null {
    return this.#lastUsed.get(useKey(principal, permission)) ?? null;
  }

  [Symbol.dispose](): void {
    this.#saveNotes();
    this.#db?.close();
    this.#db = null;
    this.#sql = null;
  }

  #openDatabase(path: string): void {
    const db = new DatabaseSync(path, { timeout: 1000 });
    this.#db = db;
    db.exec(SCHEMA);
    this.#sql = {
      begin: db.prepare("INSERT OR IGNORE INTO uses (principal, permission) VALUES (?, ?)"),
      forget: db.prepare("DELETE FROM uses WHERE principal = ? AND permission = ?"),
      read: db.prepare("SELECT total, day, today FROM uses WHERE principal = ? AND permission = ?"),
      write: db.prepare("UPDATE uses SET total = ?, day = ?, today = ? WHERE principal = ? AND permission = ?"),
      note: db.prepare("UPDATE uses SET last_used_at = ? WHERE principal = ? AND permission = ?"),
    };
    for (const row of db.prepare("SELECT principal, permission, last_used_at FROM uses WHERE last_used_at IS NOT NULL").all()) {
      this.#lastUsed.set(`${String(row.principal)}/${String(row.permission)}`, Number(row.last_used_at));
    }
  }

  #takeCounted(sql: Statements, levels: readonly UseLevel[], permission: PermissionId, nowMs: number): boolean {
    return this.#inTransaction(() => {
      for (const level of levels) {
        const next = nextCount(level, sql.read.get(level.principal, permission) as UseCount | undefined, nowMs);
        if (next === null) return false;
        sql.write.run(next.total, next.day, next.today, level.principal, permission);
      }
      return true;
    });
  }

  #saveNotes(): void {
    const notes = [...this.#unsaved.values()];
    this.#unsaved.clear();
    if (notes.length === 0) return;
    this.#try((sql) =>
      this.#inTransaction(() => {
        for (const [principal, permission] of notes) sql.note.run(this.lastUsedAt(principal, permission), principal, permission);
        return true;
      }),
    );
  }

  /** Keeps what `work` wrote only when it answers true. */
  #inTransaction(work: () => boolean): boolean {
    this.#db?.exec("BEGIN IMMEDIATE");
    let kept = false;
    try {
      kept = work();
    } finally {
      this.#db?.exec(kept ? "COMMIT" : "ROLLBACK");
    }
    return kept;
  }

  /** Null when the file cannot be used. */
  #try<T>(work: (sql: Statements) => T): T | null {
    const sql = this.#sql;
    return sql === null ? null : this.#guard(() => work(sql));
  }

  #guard<T>(work: () => T): T | null {
    try {
      return work();
    } catch {
      this.#diagnostics.report({
        kind: "grants",
        id: "uses.db",
        status: "failed",
        code: "capability.limit_reached",
        message: "the counters of limited grants cannot be used: every grant with a limit counts as used up",
        remedy: "rumi doctor",
      });
      return null;
    }
  }
}
