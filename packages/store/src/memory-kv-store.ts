import type { JsonValue, StoreId } from "@rumi/core";
import { StoreError, storeNotFound } from "./errors.ts";
import type { CasOutcome, Expected, KeyPage, KvStore, StoreQuota, StoreRecord, StoreTerms, StoreUsage } from "./ports.ts";
import { entryBytes, sameJson, upTo, usageAfter, valueText } from "./value.ts";

interface Shelf {
  record: StoreRecord;
  /** Values as text: nobody shares an object with the store. */
  readonly texts: Map<string, string>;
}

/** Stores that live as long as the process. */
export class MemoryKvStore implements KvStore {
  readonly #shelves = new Map<StoreId, Shelf>();

  async create(store: StoreId, terms: StoreTerms): Promise<void> {
    if (this.#shelves.has(store)) throw new StoreError("store.exists", `there is a store ${store} already`);
    const record = { owner: null, root_path: null, created_at: null, ...terms, store_id: store, keys: 0, bytes: 0 };
    this.#shelves.set(store, { record, texts: new Map() });
  }

  async requota(store: StoreId, quota: StoreQuota): Promise<void> {
    const shelf = this.#shelf(store);
    shelf.record = { ...shelf.record, max_bytes: quota.max_bytes, max_keys: quota.max_keys };
  }

  async drop(store: StoreId): Promise<void> {
    this.#shelf(store);
    this.#shelves.delete(store);
  }

  async stores(): Promise<readonly StoreRecord[]> {
    return [...this.#shelves.values()].map(({ record }) => record).sort((a, b) => (a.store_id < b.store_id ? -1 : 1));
  }

  async usage(store: StoreId): Promise<StoreUsage> {
    const { keys, bytes } = this.#shelf(store).record;
    return { keys, bytes };
  }

  async get(store: StoreId, key: string): Promise<JsonValue | undefined> {
    return parse(this.#shelf(store).texts.get(key));
  }

  async set(store: StoreId, key: string, value: JsonValue): Promise<void> {
    put(this.#shelf(store), [[key, value]], true);
  }

  async setAll(
    store: StoreId,
    entries: readonly (readonly [key: string, value: JsonValue])[],
    options: { readonly overwrite?: boolean } = {},
  ): Promise<{ readonly written: number; readonly kept: number }> {
    return put(this.#shelf(store), entries, options.overwrite ?? false);
  }

  async delete(store: StoreId, key: string): Promise<boolean> {
    const shelf = this.#shelf(store);
    const text = shelf.texts.get(key);
    if (text === undefined) return false;
    shelf.record = { ...shelf.record, ...usageAfter(shelf.record, { keys: -1, bytes: -entryBytes(key, text) }, shelf.record) };
    return shelf.texts.delete(key);
  }

  async list(store: StoreId, range: { readonly prefix: string; readonly after: string | null; readonly limit: number }): Promise<KeyPage> {
    const all = [...this.#shelf(store).texts.keys()].filter((key) => key.startsWith(range.prefix)).sort();
    const rest = range.after === null ? all : all.filter((key) => key > (range.after ?? ""));
    return { keys: rest.slice(0, range.limit), has_more: rest.length > range.limit, total_estimate: all.length };
  }

  async batchGet(
    store: StoreId,
    keys: readonly string[],
    options: { readonly max_bytes?: number } = {},
  ): Promise<readonly (JsonValue | undefined)[]> {
    const { texts } = this.#shelf(store);
    return upTo(options.max_bytes, keys, (key) => texts.get(key)).map(parse);
  }

  async cas(store: StoreId, key: string, expected: Expected, next: JsonValue): Promise<CasOutcome> {
    const shelf = this.#shelf(store);
    const current = parse(shelf.texts.get(key));
    const meets = expected.kind === "absent" ? current === undefined : current !== undefined && sameJson(current, expected.value);
    if (!meets) return { swapped: false, current };
    put(shelf, [[key, next]], true);
    return { swapped: true };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#shelves.clear();
  }

  #shelf(store: StoreId): Shelf {
    const shelf = this.#shelves.get(store);
    if (shelf === undefined) throw storeNotFound(store);
    return shelf;
  }
}

/** All entries or, when one is refused, none. */
function put(
  shelf: Shelf,
  entries: readonly (readonly [key: string, value: JsonValue])[],
  overwrite: boolean,
): { readonly written: number; readonly kept: number } {
  const written = new Map<string, string>();
  let usage: StoreUsage = shelf.record;
  let kept = 0;
  for (const [key, value] of entries) {
    const old = written.get(key) ?? shelf.texts.get(key);
    if (old !== undefined && !overwrite) {
      kept += 1;
      continue;
    }
    const text = valueText(value);
    const change = { keys: old === undefined ? 1 : 0, bytes: entryBytes(key, text) - (old === undefined ? 0 : entryBytes(key, old)) };
    usage = usageAfter(usage, change, shelf.record);
    written.set(key, text);
  }
  for (const [key, text] of written) shelf.texts.set(key, text);
  shelf.record = { ...shelf.record, keys: usage.keys, bytes: usage.bytes };
  return { written: entries.length - kept, kept };
}

function parse(text: string | undefined): JsonValue | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as JsonValue);
}
