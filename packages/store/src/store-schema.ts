import type { SqliteSchema } from "@rumi/safe-files";

/**
 * Ordinary tables with a row id: one of `WITHOUT ROWID` would spill values of a kilobyte into overflow pages. Ids of stores
 * are never used twice, so what is left of a dropped one never becomes another's.
 */
export const STORE_TABLES: SqliteSchema = {
  version: 1,
  sql: `
CREATE TABLE IF NOT EXISTS stores (
  id INTEGER PRIMARY KEY AUTOINCREMENT, store_id TEXT NOT NULL UNIQUE, owner TEXT, root_path TEXT, created_at TEXT,
  max_bytes INTEGER NOT NULL, max_keys INTEGER NOT NULL, keys INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS items (
  id INTEGER PRIMARY KEY, store INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (store, key)
) STRICT;
CREATE TABLE IF NOT EXISTS dropped (store INTEGER PRIMARY KEY) STRICT`,
};
