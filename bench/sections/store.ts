import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { JsonValue, StoreId } from "@rumi/core";
import { SqliteKvStore } from "@rumi/store";
import { temporaryFolder } from "@rumi/testkit";
import { crowd, inTurns } from "../measure.ts";
import type { Ask } from "../measure.ts";
import type { Report } from "../report.ts";

const KEYS = 100_000;
const PAGE = 100;
const SHELF = "bench" as StoreId;
const LOAD = 1000;

/** 100,000 keys in folders of 100, each with a value of about a kilobyte. */
function keyOf(index: number): string {
  return `folder/${String(Math.floor(index / PAGE)).padStart(4, "0")}/item-${String(index % PAGE).padStart(2, "0")}`;
}

function valueOf(index: number): JsonValue {
  return { index, name: "a value of a kilobyte", text: "x".repeat(960) };
}

/** The same table with nothing around it: one statement a call, committed to the disk by SQLite itself. */
class BareSqlite implements Disposable {
  readonly #db: DatabaseSync;
  readonly get: (key: string) => unknown;
  readonly set: (key: string, value: JsonValue) => void;
  readonly list: (from: string, end: string) => readonly unknown[];

  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    this.#db.exec(
      "CREATE TABLE items (id INTEGER PRIMARY KEY, store INTEGER NOT NULL, key TEXT NOT NULL, value TEXT, UNIQUE (store, key))",
    );
    const get = this.#db.prepare("SELECT value FROM items WHERE store = 1 AND key = ?");
    const set = this.#db.prepare(
      "INSERT INTO items (store, key, value) VALUES (1, ?, ?) ON CONFLICT (store, key) DO UPDATE SET value = excluded.value",
    );
    const list = this.#db.prepare("SELECT key FROM items WHERE store = 1 AND key >= ? AND key < ? ORDER BY key LIMIT ?");
    this.get = (key) => JSON.parse(get.get(key)?.["value"] as string) as unknown;
    this.set = (key, value) => void set.run(key, JSON.stringify(value));
    this.list = (from, end) => list.all(from, end, PAGE).map((row) => row["key"]);
  }

  load(from: number): void {
    this.#db.exec("BEGIN");
    for (let index = from; index < from + LOAD; index += 1) this.set(keyOf(index), valueOf(index));
    this.#db.exec("COMMIT");
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

/** `SqliteKvStore` beside bare `node:sqlite`, both with 100,000 keys in one run. */
export async function store(report: Report, scale: number): Promise<void> {
  await using home = await temporaryFolder();
  await using kv = new SqliteKvStore(join(home.path, "stores.db"));
  using bare = new BareSqlite(join(home.path, "bare.db"));
  await kv.create(SHELF, { max_bytes: 2 ** 40, max_keys: 10 * KEYS });
  for (let from = 0; from < KEYS; from += LOAD) {
    bare.load(from);
    await kv.setAll(
      SHELF,
      Array.from({ length: LOAD }, (_, index) => [keyOf(from + index), valueOf(from + index)]),
    );
  }
  let calls = 0;
  // The same keys in the same order on both sides.
  const turns = async (
    id: string,
    what: string,
    ours: (index: number) => Promise<unknown>,
    theirs: (index: number) => unknown,
    count: number,
  ) => {
    const index = (): number => (Math.floor(calls++ / 2) * 7919) % KEYS;
    const ask: Ask = () => ours(index());
    // oxlint-disable-next-line typescript/require-await -- awaited like the other side
    const bareAsk: Ask = async () => theirs(index());
    const [mine, limit] = await inTurns(ask, bareAsk, count * scale);
    report.add(`store.${id}`, `store ${what}`, mine);
    report.add(`store.bare.${id}`, `bare SQLite ${what}`, limit);
  };
  const page = { prefix: "", limit: PAGE };
  const folder = (index: number): string => keyOf(index).slice(0, "folder/0000/".length);
  await turns(
    "get",
    "get",
    (index) => kv.get(SHELF, keyOf(index)),
    (index) => bare.get(keyOf(index)),
    20_000,
  );
  await turns(
    "list",
    `list of ${PAGE} keys in the middle`,
    (index) => kv.list(SHELF, { ...page, after: keyOf(index) }),
    (index) => bare.list(keyOf(index), "folder/\u007f"),
    3000,
  );
  await turns(
    "prefix",
    `list of the ${PAGE} keys of a prefix`,
    (index) => kv.list(SHELF, { ...page, prefix: folder(index), after: null }),
    (index) => bare.list(folder(index), `${folder(index)}\u007f`),
    3000,
  );
  const set = (index: number): Promise<void> => kv.set(SHELF, keyOf(index), valueOf(calls));
  await turns("set", "set, durable", set, (index) => bare.set(keyOf(index), valueOf(calls)), 3000);
  const next: Ask = () => set((calls++ * 7919) % KEYS);
  report.add("store.set.c1", "store set, durable, one caller", await crowd(next, 2000 * scale, 1));
  report.add("store.set.c64", "store set, durable, 64 callers", await crowd(next, 20_000 * scale, 64));
}
