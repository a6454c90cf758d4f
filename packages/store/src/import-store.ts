import { MAX_RESPONSE_BYTES, RumiError } from "@rumi/core";
import type { AuditSink, JsonValue } from "@rumi/core";
import { FolderHandle, readJsonFile, SafeFilesError } from "@rumi/safe-files";
import { StoreError, storeNotFound } from "./errors.ts";
import type { KvStore, StoreRecord } from "./ports.ts";
import { auditRefusals, storeEvent } from "./store-events.ts";
import { checkStoreKey } from "./store-key.ts";
import { parseStoreId } from "./store-names.ts";
import { entryBytes } from "./value.ts";

/** What a file must end in; its path without it is the key. */
const SUFFIX = ".json";
/** A folder that holds this is a unit, not data. */
const UNIT_FILE = "unit.json";
/** Deepest folder that is looked into. */
const MAX_DEPTH = 32;
/** Faults that an answer tells. */
const MAX_ERRORS = 1000;

/** What an operator asks to be imported. */
export interface ImportAsk {
  readonly store_id: string;
  /** A real folder of this host. */
  readonly folder: string;
  readonly overwrite?: boolean | undefined;
  readonly actor: string;
}

/** What came of an import. `path` is below the folder. At most 1,000 errors are told. */
export interface ImportAnswer {
  readonly imported: number;
  readonly skipped: number;
  readonly errors: readonly { readonly path: string; readonly code: string; readonly error: string }[];
}

/**
 * Puts every `*.json` below a folder into a store under its path without the suffix, in one transaction; a file that cannot
 * be taken is told and left out. Hidden names, links and folders of units are left out silently. The files stay. Nobody
 * vouches for the folder: no link in it is followed, also when somebody swaps one in meanwhile.
 * @throws StoreError `store.not_found` `store.quota_exceeded`, SafeFilesError when the folder itself cannot be read: nothing
 * was written
 */
export function importStore(deps: { readonly kv: KvStore; readonly audit: AuditSink }, ask: ImportAsk): Promise<ImportAnswer> {
  const { store_id: name, actor, overwrite = false } = ask;
  const act = { category: "system", action: "store_import", details: { store_id: name, actor } } as const;
  return auditRefusals(deps.audit, act, async () => {
    const store_id = parseStoreId(name);
    const record = (await deps.kv.stores()).find((each) => each.store_id === store_id);
    if (record === undefined) throw storeNotFound(store_id);
    const reading = new FolderReading(record);
    await reading.read(ask.folder);
    const { written, kept } = await deps.kv.setAll(store_id, reading.entries, { overwrite });
    const counts = { imported: written, skipped: kept };
    await deps.audit.record(storeEvent("store_import", { store_id, ...counts, errors: reading.faults, overwrite, actor }, record.owner));
    return { ...counts, errors: reading.errors };
  });
}

/** One walk over a folder, within what the store may hold. */
class FolderReading {
  readonly entries: (readonly [key: string, value: JsonValue])[] = [];
  readonly errors: { path: string; code: string; error: string }[] = [];
  faults = 0;
  readonly #record: StoreRecord;
  #bytes = 0;

  constructor(record: StoreRecord) {
    this.#record = record;
  }

  async read(folder: string): Promise<void> {
    await using root = await openRoot(folder);
    await this.#folder(root, 1);
  }

  async #folder(folder: FolderHandle, depth: number): Promise<void> {
    const children = (await folder.list()).map((child) => ({ name: child.name.toString(), child })).sort(byName);
    if (children.some(({ name }) => name === UNIT_FILE)) return;
    for (const { name, child } of children) {
      if (name.startsWith(".")) continue;
      const path = folder.childPath(name);
      if (child.isFile() && name.endsWith(SUFFIX)) await this.#attempt(path, () => this.#file(folder.at(name), path));
      else if (child.isDirectory()) await this.#attempt(path, () => this.#inside(folder, name, depth));
    }
    await folder.assertUnmoved();
  }

  async #inside(folder: FolderHandle, name: string, depth: number): Promise<void> {
    if (depth >= MAX_DEPTH) throw new SafeFilesError("safe_files.too_deep", `folders are nested deeper than ${MAX_DEPTH}`);
    await using inside = await folder.openFolder(name);
    await this.#folder(inside, depth + 1);
  }

  async #file(location: string, path: string): Promise<void> {
    const key = path.slice(0, -SUFFIX.length);
    const rule = checkStoreKey(key);
    if (rule !== null) throw new StoreError("store.invalid_key", rule);
    // A larger value could never be answered to a pack.
    const value = await readJsonFile(location, { maxBytes: MAX_RESPONSE_BYTES });
    this.#bytes += entryBytes(key, JSON.stringify(value));
    const { max_bytes, max_keys } = this.#record;
    if (this.#bytes > max_bytes || this.entries.length >= max_keys) {
      throw new StoreError("store.quota_exceeded", `the folder holds more than the ${max_keys} keys or ${max_bytes} bytes of the store`);
    }
    this.entries.push([key, value]);
  }

  /** A fault of one file or folder is told; a full store ends the walk. */
  async #attempt(path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof RumiError) || error.code === "store.quota_exceeded") throw error;
      this.faults += 1;
      if (this.errors.length < MAX_ERRORS) this.errors.push({ path, code: error.code, error: error.message });
    }
  }
}

async function openRoot(folder: string): Promise<FolderHandle> {
  try {
    return await FolderHandle.open(folder);
  } catch (cause) {
    const absent = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    if (absent) throw new SafeFilesError("safe_files.not_found", "the folder is not there", { cause });
    throw new SafeFilesError("safe_files.not_a_folder", "a real folder that can be read is expected here", { cause });
  }
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}
