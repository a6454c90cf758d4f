import type { JsonValue, StoreId } from "@rumi/core";
import { SqliteFile } from "@rumi/safe-files";
import { StoreError } from "./errors.ts";
import { GroupCommit } from "./group-commit.ts";
import type { CasOutcome, Expected, KeyPage, KvStore, StoreQuota, StoreRecord, StoreTerms, StoreUsage } from "./ports.ts";
import { storageFailure } from "./storage-failure.ts";
import { STORE_TABLES } from "./store-schema.ts";
import { parseText, StoreTables } from "./store-tables.ts";
import { sameJson, upTo, valueText } from "./value.ts";

/** What stands while the file is open. */
interface Opened {
  readonly database: SqliteFile;
  readonly tables: StoreTables;
  readonly commits: GroupCommit;
}

/**
 * Stores in one SQLite file, opened at first use. A file that cannot be opened fails each use with `store.unavailable` and is
 * tried again at the next one.
 */
export class SqliteKvStore implements KvStore {
  readonly #path: string;
  #opened: Opened | null = null;
  #opening: Promise<Opened> | null = null;
  #closed = false;
  readonly #purging = new Set<Promise<void>>();

  /** @param path the database file; made with its folder, both for this user alone */
  constructor(path: string) {
    this.#path = path;
  }

  create(store: StoreId, terms: StoreTerms): Promise<void> {
    return this.#write(store, 0, ({ tables }) => tables.create(store, terms));
  }

  requota(store: StoreId, quota: StoreQuota): Promise<void> {
    return this.#write(store, 0, ({ tables }) => tables.requota(store, quota));
  }

  async drop(store: StoreId): Promise<void> {
    const id = await this.#write(store, 0, ({ tables }) => tables.drop(store));
    if (this.#opened !== null) this.#purge(this.#opened, id);
  }

  stores(): Promise<readonly StoreRecord[]> {
    return this.#read(null, (tables) => tables.all());
  }

  async usage(store: StoreId): Promise<StoreUsage> {
    return await this.#read(store, (tables) => {
      const { keys, bytes } = tables.row(store);
      return { keys, bytes };
    });
  }

  async get(store: StoreId, key: string): Promise<JsonValue | undefined> {
    return parseText(await this.#read(store, (tables) => tables.get(store, key)));
  }

  async set(store: StoreId, key: string, value: JsonValue): Promise<void> {
    const text = valueText(value);
    await this.#write(store, text.length, ({ tables }) => tables.put(store, key, text, true));
  }

  async setAll(
    store: StoreId,
    entries: readonly (readonly [key: string, value: JsonValue])[],
    options: { readonly overwrite?: boolean } = {},
  ): Promise<{ readonly written: number; readonly kept: number }> {
    const texts = entries.map(([key, value]) => [key, valueText(value)] as const);
    const bytes = texts.reduce((sum, [, text]) => sum + text.length, 0);
    return await this.#write(store, bytes, ({ database, tables }) => {
      tables.row(store);
      return database.nested(() => {
        let written = 0;
        for (const [key, text] of texts) if (tables.put(store, key, text, options.overwrite ?? false) === "written") written += 1;
        return { written, kept: texts.length - written };
      });
    });
  }

  delete(store: StoreId, key: string): Promise<boolean> {
    return this.#write(store, 0, ({ tables }) => tables.delete(store, key));
  }

  list(store: StoreId, range: { readonly prefix: string; readonly after: string | null; readonly limit: number }): Promise<KeyPage> {
    return this.#read(store, (tables) => tables.list(store, range));
  }

  async batchGet(
    store: StoreId,
    keys: readonly string[],
    options: { readonly max_bytes?: number } = {},
  ): Promise<readonly (JsonValue | undefined)[]> {
    const texts = await this.#read(store, (tables) => upTo(options.max_bytes, keys, (key) => tables.get(store, key)));
    return texts.map(parseText);
  }

  async cas(store: StoreId, key: string, expected: Expected, next: JsonValue): Promise<CasOutcome> {
    const text = valueText(next);
    return await this.#write(store, text.length, ({ tables }): CasOutcome => {
      tables.row(store);
      const current = parseText(tables.get(store, key));
      const meets = expected.kind === "absent" ? current === undefined : current !== undefined && sameJson(current, expected.value);
      if (!meets) return { swapped: false, current };
      tables.put(store, key, text, true);
      return { swapped: true };
    });
  }

  /** Ends the writes asked for, then closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const opened = this.#opened ?? (await this.#opening?.catch(() => null)) ?? null;
    this.#opened = null;
    if (opened === null) return;
    await Promise.all(this.#purging);
    await opened.commits.drained();
    await opened.database[Symbol.asyncDispose]();
  }

  async #read<T>(store: StoreId | null, work: (tables: StoreTables) => T): Promise<T> {
    const { tables, commits } = this.#opened ?? (await this.#open());
    const settled = commits.settled(store);
    if (settled !== null) await settled;
    return attempt(() => work(tables));
  }

  async #write<T>(store: StoreId, bytes: number, work: (opened: Opened) => T): Promise<T> {
    const opened = this.#opened ?? (await this.#open());
    return await opened.commits.write(store, bytes, () => work(opened));
  }

  async #open(): Promise<Opened> {
    if (this.#closed) throw new StoreError("store.unavailable", "the stores are closed");
    this.#opening ??= this.#openFile().finally(() => {
      this.#opening = null;
    });
    return await this.#opening;
  }

  async #openFile(): Promise<Opened> {
    const database = await SqliteFile.open(this.#path, STORE_TABLES).catch((cause: unknown) => {
      throw storageFailure(cause);
    });
    try {
      const tables = new StoreTables(database);
      const opened = { database, tables, commits: new GroupCommit(database) };
      for (const id of tables.dropped()) this.#purge(opened, id);
      this.#opened = opened;
      return opened;
    } catch (cause) {
      await database[Symbol.asyncDispose]();
      throw storageFailure(cause);
    }
  }

  /** Removes what a dropped store held, a little at a time. What is left at a stop goes after the next start. */
  #purge({ tables, commits }: Opened, id: number): void {
    const work = async (): Promise<void> => {
      let done = false;
      while (!done && !this.#closed) done = await commits.write("", 0, () => tables.purge(id));
    };
    const purging = work()
      .catch(() => undefined)
      .finally(() => this.#purging.delete(purging));
    this.#purging.add(purging);
  }
}

function attempt<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw storageFailure(cause);
  }
}
