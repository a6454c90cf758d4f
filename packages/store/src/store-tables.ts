import type { SqliteFile } from "@rumi/safe-files";
import type { JsonValue, StoreId } from "@rumi/core";
import { StoreError, storeNotFound } from "./errors.ts";
import { EXACT_COUNT } from "./limits.ts";
import type { KeyPage, StoreQuota, StoreRecord, StoreTerms } from "./ports.ts";
import { entryBytes, usageAfter } from "./value.ts";

/** Past every character a key may hold, and every prefix of one. */
const AFTER_ALL = "\u007f";
/** Items of a dropped store that go in one write. */
const PURGE_ITEMS = 500;
/** Counts of prefixes that are remembered. */
const MAX_COUNTS = 256;

interface StoreRow {
  readonly id: number;
  readonly max_bytes: number;
  readonly max_keys: number;
  readonly keys: number;
  readonly bytes: number;
}

/** How one entry was met by a write. */
export type PutOutcome = "written" | "kept";

/** The tables of the database, in the words of stores. Writes are for inside a transaction; nothing here waits. */
export class StoreTables {
  readonly #sql: ReturnType<typeof statements>;
  /** Number of keys by store and prefix, with the number of writes of the store when they were counted. */
  readonly #counts = new Map<string, { readonly writes: number; readonly count: number }>();
  readonly #writes = new Map<number, number>();

  constructor(database: SqliteFile) {
    this.#sql = statements(database);
  }

  create(store: StoreId, terms: StoreTerms): void {
    if (this.#sql.findStore.get(store) !== undefined) throw new StoreError("store.exists", `there is a store ${store} already`);
    const { owner = null, root_path = null, created_at = null, max_bytes, max_keys } = terms;
    this.#sql.addStore.run(store, owner, root_path, created_at, max_bytes, max_keys);
  }

  requota(store: StoreId, quota: StoreQuota): void {
    this.#sql.setQuota.run(quota.max_bytes, quota.max_keys, this.row(store).id);
  }

  /** The store is gone at once; its items go with `purge`. Returns what `purge` wants. */
  drop(store: StoreId): number {
    const { id } = this.row(store);
    this.#sql.removeStore.run(id);
    this.#sql.noteDropped.run(id);
    this.#writes.delete(id);
    return id;
  }

  /** Ids of dropped stores that still have items. */
  dropped(): readonly number[] {
    return this.#sql.dropped.all().map((row) => Number(row["store"]));
  }

  /** Removes some items of a dropped store. True when none is left. */
  purge(id: number): boolean {
    if (Number(this.#sql.purge.run(id, PURGE_ITEMS).changes) >= PURGE_ITEMS) return false;
    this.#sql.forgetDropped.run(id);
    return true;
  }

  all(): readonly StoreRecord[] {
    return this.#sql.stores.all().map((row) => ({ ...row }) as unknown as StoreRecord);
  }

  /** @throws StoreError `store.not_found` */
  row(store: StoreId): StoreRow {
    const row = this.#sql.findStore.get(store) as StoreRow | undefined;
    if (row === undefined) throw storeNotFound(store);
    return row;
  }

  /** The text of a value. @throws StoreError `store.not_found` */
  get(store: StoreId, key: string): string | undefined {
    const text = this.#sql.value.get(store, key)?.["value"] as string | undefined;
    if (text === undefined) this.row(store);
    return text;
  }

  /** Puts one value, or keeps the one that is there. @throws StoreError `store.not_found`, `store.quota_exceeded`: nothing changed */
  put(store: StoreId, key: string, text: string, overwrite: boolean): PutOutcome {
    const row = this.row(store);
    const old = this.#sql.item.get(row.id, key) as { id: number; bytes: number } | undefined;
    if (old !== undefined && !overwrite) return "kept";
    // Of an old value the key is counted already.
    const bytes = old === undefined ? entryBytes(key, text) : Buffer.byteLength(text) - old.bytes;
    const usage = usageAfter(row, { keys: old === undefined ? 1 : 0, bytes }, row);
    if (old === undefined) this.#sql.addItem.run(row.id, key, text);
    else this.#sql.setItem.run(text, old.id);
    this.#sql.setUsage.run(usage.keys, usage.bytes, row.id);
    if (old === undefined) this.#noteWrite(row.id);
    return "written";
  }

  delete(store: StoreId, key: string): boolean {
    const row = this.row(store);
    const old = this.#sql.item.get(row.id, key) as { id: number; bytes: number } | undefined;
    if (old === undefined) return false;
    this.#sql.removeItem.run(old.id);
    const usage = usageAfter(row, { keys: -1, bytes: -Buffer.byteLength(key) - old.bytes }, row);
    this.#sql.setUsage.run(usage.keys, usage.bytes, row.id);
    this.#noteWrite(row.id);
    return true;
  }

  list(store: StoreId, range: { readonly prefix: string; readonly after: string | null; readonly limit: number }): KeyPage {
    const row = this.row(store);
    const { prefix, after, limit } = range;
    const end = prefix + AFTER_ALL;
    const found =
      after !== null && after >= prefix
        ? this.#sql.keysAfter.all(row.id, after, end, limit + 1)
        : this.#sql.keysFrom.all(row.id, prefix, end, limit + 1);
    const keys = (found as unknown as readonly (readonly [string])[]).map(([key]) => key);
    const has_more = keys.length > limit;
    if (has_more) keys.length = limit;
    const whole = !has_more && (after === null || after < prefix);
    return { keys, has_more, total_estimate: whole ? keys.length : this.#count(row, prefix, end) };
  }

  #count(row: StoreRow, prefix: string, end: string): number {
    if (prefix === "") return row.keys;
    const name = `${row.id}/${prefix}`;
    const writes = this.#writes.get(row.id) ?? 0;
    const known = this.#counts.get(name);
    if (known?.writes === writes) return known.count;
    const counted = Number(this.#sql.count.get(row.id, prefix, end, EXACT_COUNT + 1)?.["n"]);
    const count = counted > EXACT_COUNT ? row.keys : counted;
    const oldest = this.#counts.size < MAX_COUNTS ? undefined : this.#counts.keys().next().value;
    if (oldest !== undefined) this.#counts.delete(oldest);
    this.#counts.set(name, { writes, count });
    return count;
  }

  #noteWrite(id: number): void {
    this.#writes.set(id, (this.#writes.get(id) ?? 0) + 1);
  }
}

/** A kept text as a value. */
export function parseText(text: string | undefined): JsonValue | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as JsonValue);
}

// oxlint-disable-next-line typescript/explicit-function-return-type -- one type per statement says nothing more
function statements(database: SqliteFile) {
  const sql = {
    findStore: database.prepare("SELECT id, max_bytes, max_keys, keys, bytes FROM stores WHERE store_id = ?"),
    stores: database.prepare(
      "SELECT store_id, owner, root_path, created_at, max_bytes, max_keys, keys, bytes FROM stores ORDER BY store_id",
    ),
    addStore: database.prepare(
      "INSERT INTO stores (store_id, owner, root_path, created_at, max_bytes, max_keys) VALUES (?, ?, ?, ?, ?, ?)",
    ),
    setQuota: database.prepare("UPDATE stores SET max_bytes = ?, max_keys = ? WHERE id = ?"),
    setUsage: database.prepare("UPDATE stores SET keys = ?, bytes = ? WHERE id = ?"),
    removeStore: database.prepare("DELETE FROM stores WHERE id = ?"),
    noteDropped: database.prepare("INSERT INTO dropped (store) VALUES (?)"),
    forgetDropped: database.prepare("DELETE FROM dropped WHERE store = ?"),
    dropped: database.prepare("SELECT store FROM dropped"),
    purge: database.prepare("DELETE FROM items WHERE id IN (SELECT id FROM items WHERE store = ? LIMIT ?)"),
    value: database.prepare("SELECT value FROM items WHERE store = (SELECT id FROM stores WHERE store_id = ?) AND key = ?"),
    item: database.prepare("SELECT id, octet_length(value) AS bytes FROM items WHERE store = ? AND key = ?"),
    addItem: database.prepare("INSERT INTO items (store, key, value) VALUES (?, ?, ?)"),
    setItem: database.prepare("UPDATE items SET value = ? WHERE id = ?"),
    removeItem: database.prepare("DELETE FROM items WHERE id = ?"),
    keysFrom: database.prepare("SELECT key FROM items WHERE store = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"),
    keysAfter: database.prepare("SELECT key FROM items WHERE store = ? AND key > ? AND key < ? ORDER BY key LIMIT ?"),
    count: database.prepare("SELECT count(*) AS n FROM (SELECT 1 FROM items WHERE store = ? AND key >= ? AND key < ? LIMIT ?)"),
  };
  sql.keysFrom.setReturnArrays(true);
  sql.keysAfter.setReturnArrays(true);
  return sql;
}
