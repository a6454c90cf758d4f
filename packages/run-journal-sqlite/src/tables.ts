import type { SqliteSchema } from "@rumi/safe-files";

/**
 * Ordinary tables with a row id: rows of `WITHOUT ROWID` with values of a kilobyte would spill into overflow pages. Values are
 * JSON text, or sealed text where they held a live secret.
 */
export const RUN_TABLES: SqliteSchema = {
  version: 1,
  sql: `
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, flow_id TEXT NOT NULL, digest TEXT NOT NULL, trigger TEXT NOT NULL,
  caller TEXT NOT NULL, inputs TEXT NOT NULL, daemon_inputs TEXT NOT NULL, timeout_ms INTEGER NOT NULL, started_at TEXT NOT NULL,
  state TEXT NOT NULL, code TEXT, reason TEXT, result TEXT, truncated INTEGER NOT NULL DEFAULT 0, failed_steps TEXT, warnings TEXT,
  execution_mode TEXT, active_ms INTEGER NOT NULL DEFAULT 0, resumes INTEGER NOT NULL DEFAULT 0, finished_at TEXT,
  events INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS runs_by_flow ON runs (flow_id, id);
CREATE INDEX IF NOT EXISTS runs_by_state ON runs (state, id);
CREATE TABLE IF NOT EXISTS steps (
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL, path TEXT NOT NULL, step_id TEXT NOT NULL, type TEXT NOT NULL, flow_id TEXT NOT NULL,
  status TEXT NOT NULL, attempts INTEGER NOT NULL, child_digest TEXT, origin TEXT, value TEXT, writes TEXT, failure TEXT, reason TEXT,
  abort TEXT, ms REAL, started_at TEXT, finished_at TEXT, UNIQUE (run, path)
) STRICT;
CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, ts TEXT NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL,
  UNIQUE (run, seq)
) STRICT;
CREATE TABLE IF NOT EXISTS schedules (
  flow_id TEXT PRIMARY KEY, spec_hash TEXT NOT NULL, registered_at INTEGER NOT NULL, last_fire_at INTEGER, last_run_id TEXT,
  skipped_overlap INTEGER NOT NULL DEFAULT 0, enabled INTEGER NOT NULL DEFAULT 1
) STRICT`,
};
