import { join } from "node:path";
import type { JsonValue, StoreId } from "@rumi/core";
import { temporaryFolder } from "@rumi/testkit";
import type { TemporaryFolder } from "@rumi/testkit";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { MemoryKvStore } from "./memory-kv-store.ts";
import type { KvStore } from "./ports.ts";
import { SqliteKvStore } from "./sqlite-kv-store.ts";
import { kvStoreContract } from "./testing/index.ts";

const folders: TemporaryFolder[] = [];
afterAll(() => Promise.all(folders.map((folder) => folder[Symbol.asyncDispose]())));

kvStoreContract("MemoryKvStore", () => Promise.resolve(new MemoryKvStore()));
kvStoreContract("SqliteKvStore", async () => {
  const folder = await temporaryFolder();
  folders.push(folder);
  return new SqliteKvStore(join(folder.path, "stores", "stores.db"));
});

type Step = (kv: KvStore) => Promise<unknown>;

const store = fc.constantFrom("one" as StoreId, "two" as StoreId);
const key = fc.constantFrom("a", "a/b", "a/c", "a0", "b", "__proto__");
const value = fc.oneof(
  fc.constantFrom<JsonValue>(null, 0, "", "x".repeat(60), { a: 1, b: 2 }, { b: 2, a: 1 }),
  fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<JsonValue>,
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(store, key, value).map(
    ([s, k, v]): Step =>
      (kv) =>
        kv.set(s, k, v),
  ),
  fc.tuple(store, key, value, value).map(
    ([s, k, e, v]): Step =>
      (kv) =>
        kv.cas(s, k, { kind: "value", value: e }, v),
  ),
  fc.tuple(store, key, value).map(
    ([s, k, v]): Step =>
      (kv) =>
        kv.cas(s, k, { kind: "absent" }, v),
  ),
  fc.tuple(store, key).map(
    ([s, k]): Step =>
      (kv) =>
        kv.delete(s, k),
  ),
  fc.tuple(store, key).map(
    ([s, k]): Step =>
      (kv) =>
        kv.get(s, k),
  ),
  fc.tuple(store, fc.array(fc.tuple(key, value), { maxLength: 4 }), fc.boolean()).map(
    ([s, entries, overwrite]): Step =>
      (kv) =>
        kv.setAll(s, entries, { overwrite }),
  ),
  fc.tuple(store, fc.constantFrom("", "a", "a/"), fc.option(key), fc.integer({ min: 1, max: 4 })).map(
    ([s, prefix, after, limit]): Step =>
      (kv) =>
        kv.list(s, { prefix, after, limit }),
  ),
  store.map(
    (s): Step =>
      (kv) =>
        kv.usage(s),
  ),
  fc.tuple(store, fc.integer({ min: 0, max: 200 })).map(
    ([s, n]): Step =>
      (kv) =>
        kv.requota(s, { max_bytes: n, max_keys: 4 }),
  ),
  store.map(
    (s): Step =>
      (kv) =>
        kv.drop(s),
  ),
  store.map(
    (s): Step =>
      (kv) =>
        kv.create(s, { max_bytes: 150, max_keys: 4 }),
  ),
);

test("both adapters answer any row of steps alike, and end in the same state", async () => {
  await using home = await temporaryFolder();
  let files = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), fc.boolean(), async (steps, together) => {
      await using memory = new MemoryKvStore();
      await using sqlite = new SqliteKvStore(join(home.path, `${files++}.db`));
      const run = async (kv: KvStore): Promise<unknown> => {
        await kv.create("one" as StoreId, { max_bytes: 150, max_keys: 4 });
        const ends: PromiseSettledResult<unknown>[] = [];
        for (const each of steps) ends.push(...(await Promise.allSettled([each(kv)])));
        // Asked for at once, writes still happen in their order.
        if (together) await Promise.allSettled(steps.map((each) => each(kv)));
        return ends.map((end) => (end.status === "fulfilled" ? (end.value ?? null) : (end.reason as { code: string }).code));
      };
      const state = async (kv: KvStore): Promise<unknown> => {
        const records = await kv.stores();
        const keys = ["a", "a/b", "a/c", "a0", "b", "__proto__"];
        return await Promise.all(records.map(async (record) => [record, await kv.batchGet(record.store_id, keys)]));
      };
      expect(await run(sqlite)).toEqual(await run(memory));
      expect(await state(sqlite)).toEqual(await state(memory));
    }),
    { numRuns: 60 },
  );
});
