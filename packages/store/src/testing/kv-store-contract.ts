import type { JsonValue, StoreId } from "@rumi/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { KvStore, StoreTerms } from "../ports.ts";

const TERMS: StoreTerms = { max_bytes: 1_000_000, max_keys: 20_000 };
const shelf = "shelf" as StoreId;
const other = "other" as StoreId;
const all = { prefix: "", after: null, limit: 5000 };

/** What every `KvStore` keeps to. `open` gives an empty one; it is disposed after each test. */
export function kvStoreContract(name: string, open: () => Promise<KvStore>): void {
  describe(`${name} as a KvStore`, () => {
    let kv: KvStore;
    beforeEach(async () => {
      kv = await open();
      await kv.create(shelf, TERMS);
    });
    afterEach(() => kv[Symbol.asyncDispose]());

    test("any JSON value comes back as it went in", async () => {
      const values: JsonValue[] = [
        null,
        true,
        0,
        -1.5,
        1e300,
        "",
        "日\u0000\u{1F600}",
        "\ud800",
        [],
        {},
        [1, [2]],
        { b: 1, a: null, "": "" },
      ];
      for (const value of values) {
        await kv.set(shelf, "k", value);
        expect(await kv.get(shelf, "k")).toEqual(value);
      }
      await kv.set(shelf, "k", { b: 1, a: 2 });
      expect(JSON.stringify(await kv.get(shelf, "k"))).toBe('{"b":1,"a":2}');
    });

    test("names of prototypes are keys and members like others", async () => {
      const text = '{"__proto__":{"polluted":true},"constructor":{"prototype":1},"a":[{"__proto__":null}]}';
      for (const key of ["__proto__", "constructor", "prototype", "hasOwnProperty", "toString"]) {
        expect(await kv.get(shelf, key)).toBeUndefined();
        await kv.set(shelf, key, JSON.parse(text) as JsonValue);
        expect(JSON.stringify(await kv.get(shelf, key))).toBe(text);
        expect(await kv.cas(shelf, key, { kind: "value", value: {} }, 1)).toMatchObject({ swapped: false });
        expect(await kv.cas(shelf, key, { kind: "value", value: JSON.parse(text) as JsonValue }, 1)).toEqual({ swapped: true });
      }
      expect(await kv.batchGet(shelf, ["__proto__", "valueOf"])).toEqual([1, undefined]);
      expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    });

    test("a kept value shares nothing with the one that was given", async () => {
      const given = { list: [1] };
      await kv.set(shelf, "k", given);
      given.list.push(2);
      const got = (await kv.get(shelf, "k")) as { list: number[] };
      got.list.push(3);
      expect(await kv.get(shelf, "k")).toEqual({ list: [1] });
    });

    test("a value nested too deep, or with a number JSON cannot write, is refused and changes nothing", async () => {
      const nested = (depth: number): JsonValue => JSON.parse(`${"[".repeat(depth)}${"]".repeat(depth)}`) as JsonValue;
      await kv.set(shelf, "k", nested(500));
      for (const bad of [nested(600), nested(20_000), [JSON.parse("1e999") as number]]) {
        await expect(kv.set(shelf, "k", bad)).rejects.toMatchObject({ code: "store.payload_too_large" });
        await expect(kv.cas(shelf, "n", { kind: "absent" }, bad)).rejects.toMatchObject({ code: "store.payload_too_large" });
      }
      expect(await kv.get(shelf, "k")).toEqual(nested(500));
      expect(await kv.usage(shelf)).toMatchObject({ keys: 1 });
    });

    test("T69 cas: absent twice swaps once, then is a conflict; null on an absent key is a conflict", async () => {
      expect(await kv.cas(shelf, "k", { kind: "absent" }, { n: 1 })).toEqual({ swapped: true });
      expect(await kv.cas(shelf, "k", { kind: "absent" }, { n: 2 })).toEqual({ swapped: false, current: { n: 1 } });
      expect(await kv.cas(shelf, "gone", { kind: "value", value: null }, 1)).toEqual({ swapped: false, current: undefined });
      await kv.set(shelf, "null", null);
      expect(await kv.cas(shelf, "null", { kind: "absent" }, 1)).toEqual({ swapped: false, current: null });
      expect(await kv.cas(shelf, "null", { kind: "value", value: null }, 1)).toEqual({ swapped: true });
    });

    test("cas compares as canonical JSON does", async () => {
      await kv.set(shelf, "k", { a: 1, b: [1, { c: "x", d: null }] });
      for (const value of [
        { a: 1 },
        { a: 1, b: [{ c: "x", d: null }, 1] },
        { a: 1, b: [1, { c: "x" }] },
        { a: "1", b: [1, { c: "x", d: null }] },
        [],
      ]) {
        expect(await kv.cas(shelf, "k", { kind: "value", value }, 0)).toMatchObject({ swapped: false });
      }
      expect(await kv.cas(shelf, "k", { kind: "value", value: { b: [1, { d: null, c: "x" }], a: 1 } }, "\ud800")).toEqual({
        swapped: true,
      });
      expect(await kv.cas(shelf, "k", { kind: "value", value: "\ud800" }, 2 ** 60)).toEqual({ swapped: true });
    });

    test("of many cas on one key at once exactly one wins", async () => {
      const ends = await Promise.all(Array.from({ length: 50 }, (_, n) => kv.cas(shelf, "k", { kind: "absent" }, n)));
      expect(ends.filter(({ swapped }) => swapped)).toHaveLength(1);
      const winner = ends.findIndex(({ swapped }) => swapped);
      expect(await kv.get(shelf, "k")).toBe(winner);
    });

    test("delete says whether there was one", async () => {
      await kv.set(shelf, "k", 1);
      expect(await kv.delete(shelf, "k")).toBe(true);
      expect(await kv.delete(shelf, "k")).toBe(false);
      expect(await kv.get(shelf, "k")).toBeUndefined();
      expect(await kv.usage(shelf)).toEqual({ keys: 0, bytes: 0 });
    });

    test("keys come in binary order, by prefix, page by page", async () => {
      const keys = ["a", "a/b", "a/b/c", "a-b", "a.b", "a0", "aZ", "a_b", "az", "b", "A", "a:b"];
      await kv.setAll(
        shelf,
        keys.map((key) => [key, 1]),
      );
      const sorted = [...keys].sort();
      expect(await kv.list(shelf, all)).toEqual({ keys: sorted, has_more: false, total_estimate: 12 });
      const below = sorted.filter((key) => key.startsWith("a/"));
      expect(await kv.list(shelf, { ...all, prefix: "a/" })).toEqual({ keys: below, has_more: false, total_estimate: 2 });
      for (const prefix of ["c", "a/b/c/d", "b_", "\ud800", "a\u0000", "%", "日"]) {
        expect(await kv.list(shelf, { ...all, prefix })).toEqual({ keys: [], has_more: false, total_estimate: 0 });
      }
      const paged: string[] = [];
      for (let after: string | null = null; ;) {
        const page = await kv.list(shelf, { prefix: "a", after, limit: 3 });
        expect(page.total_estimate).toBe(10);
        paged.push(...page.keys);
        if (!page.has_more) break;
        after = page.keys.at(-1) ?? null;
      }
      expect(paged).toEqual(sorted.filter((key) => key.startsWith("a")));
    });

    test("the count of a prefix follows what is written", async () => {
      const count = async (): Promise<number> => (await kv.list(shelf, { prefix: "p/", after: null, limit: 1 })).total_estimate;
      for (const n of [1, 2, 3]) {
        await kv.set(shelf, `p/${n}`, n);
        expect(await count()).toBe(n);
      }
      await kv.set(shelf, "p/1", "other");
      await kv.delete(shelf, "p/2");
      expect(await count()).toBe(2);
    });

    test("T71 12,000 keys paged: each once, while others are written and deleted behind", async () => {
      const keys = Array.from({ length: 12_000 }, (_, n) => `k/${String(n).padStart(5, "0")}`);
      await kv.setAll(
        shelf,
        keys.map((key) => [key, 0]),
      );
      const seen: string[] = [];
      for (let after: string | null = null; ;) {
        const page = await kv.list(shelf, { prefix: "k/", after, limit: 700 });
        expect(page.total_estimate).toBeGreaterThan(10_000);
        seen.push(...page.keys);
        after = page.keys.at(-1) ?? null;
        await kv.delete(shelf, page.keys[0] ?? "");
        await kv.set(shelf, "a-new-one", 1);
        if (!page.has_more) break;
      }
      expect(seen).toEqual(keys);
    });

    test("batch_get answers in the order of the keys, also for one named twice", async () => {
      await kv.setAll(shelf, [
        ["a", 1],
        ["b", null],
      ]);
      expect(await kv.batchGet(shelf, ["b", "x", "a", "a"])).toEqual([null, undefined, 1, 1]);
    });

    test("batch_get ends behind the value that passes the bound", async () => {
      const keys = Array.from({ length: 10 }, (_, n) => `k${n}`);
      await kv.setAll(
        shelf,
        keys.map((key) => [key, "x".repeat(98)]),
      );
      expect(await kv.batchGet(shelf, ["gone", ...keys], { max_bytes: 250 })).toHaveLength(4);
      expect(await kv.batchGet(shelf, keys, { max_bytes: 1000 })).toHaveLength(10);
    });

    test("usage is exact after every kind of write", async () => {
      const size = (entries: Record<string, JsonValue>): { keys: number; bytes: number } => ({
        keys: Object.keys(entries).length,
        bytes: Object.entries(entries).reduce((sum, [key, value]) => sum + Buffer.byteLength(key + JSON.stringify(value)), 0),
      });
      await kv.set(shelf, "a", "日本");
      expect(await kv.usage(shelf)).toEqual(size({ a: "日本" }));
      await kv.set(shelf, "a", { long: "x".repeat(5000) });
      await kv.setAll(shelf, [
        ["b", 1],
        ["a", 2],
      ]);
      expect(await kv.usage(shelf)).toEqual(size({ a: { long: "x".repeat(5000) }, b: 1 }));
      await kv.setAll(
        shelf,
        [
          ["b", [1, 2]],
          ["c", 0],
          ["c", "twice"],
        ],
        { overwrite: true },
      );
      await kv.cas(shelf, "d", { kind: "absent" }, { n: 1 });
      await kv.cas(shelf, "d", { kind: "absent" }, "not taken");
      await kv.delete(shelf, "a");
      expect(await kv.usage(shelf)).toEqual(size({ b: [1, 2], c: "twice", d: { n: 1 } }));
    });

    test("a full store refuses what grows, and takes what shrinks", async () => {
      await kv.create(other, { max_bytes: 20, max_keys: 2 });
      await kv.set(other, "a", "12345678"); // 11 bytes
      await expect(kv.set(other, "b", "12345678")).rejects.toMatchObject({ code: "store.quota_exceeded", details: { limit: "max_bytes" } });
      await kv.set(other, "b", 1);
      await expect(kv.set(other, "c", 1)).rejects.toMatchObject({ code: "store.quota_exceeded", details: { limit: "max_keys" } });
      await expect(kv.cas(other, "c", { kind: "absent" }, 1)).rejects.toMatchObject({ code: "store.quota_exceeded" });
      await expect(
        kv.setAll(
          other,
          [
            ["b", 2],
            ["c", 1],
          ],
          { overwrite: true },
        ),
      ).rejects.toMatchObject({ code: "store.quota_exceeded" });
      expect(await kv.batchGet(other, ["a", "b", "c"])).toEqual(["12345678", 1, undefined]);
      await kv.requota(other, { max_bytes: 5, max_keys: 1 });
      await expect(kv.set(other, "b", 12)).rejects.toMatchObject({ code: "store.quota_exceeded" });
      await kv.set(other, "a", "1");
      await kv.set(other, "b", 2);
      await kv.delete(other, "a");
      await kv.set(other, "b", 12_34);
      expect(await kv.usage(other)).toEqual({ keys: 1, bytes: 5 });
    });

    test("writers at once never pass a quota together, and the refused ones harm no other", async () => {
      await kv.create(other, { max_bytes: 1_000_000, max_keys: 10 });
      const ends = await Promise.allSettled(Array.from({ length: 40 }, (_, n) => kv.set(other, `k${n}`, n)));
      expect(ends.filter(({ status }) => status === "fulfilled")).toHaveLength(10);
      expect((await kv.list(other, all)).keys).toHaveLength(10);
      expect(await kv.usage(other)).toMatchObject({ keys: 10 });
      await kv.requota(other, { max_bytes: 100, max_keys: 100 });
      await Promise.allSettled(Array.from({ length: 40 }, (_, n) => kv.set(other, `n${n}`, "1234567")));
      expect((await kv.usage(other)).bytes).toBeLessThanOrEqual(100);
    });

    test("one transaction of many sets is all or nothing, and keeps what is there unless told otherwise", async () => {
      await kv.set(shelf, "a", "old");
      expect(
        await kv.setAll(shelf, [
          ["a", "new"],
          ["b", 1],
        ]),
      ).toEqual({ written: 1, kept: 1 });
      expect(await kv.get(shelf, "a")).toBe("old");
      expect(await kv.setAll(shelf, [["a", "new"]], { overwrite: true })).toEqual({ written: 1, kept: 0 });
      expect(await kv.get(shelf, "a")).toBe("new");
      const before = await kv.usage(shelf);
      const others = [
        kv.set(shelf, "x", 1),
        kv.setAll(shelf, [
          ["c", 1],
          ["d", "x".repeat(1_000_000)],
        ]),
        kv.set(shelf, "y", 1),
      ];
      expect((await Promise.allSettled(others)).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
      expect(await kv.batchGet(shelf, ["c", "d", "x", "y"])).toEqual([undefined, undefined, 1, 1]);
      expect(await kv.usage(shelf)).toEqual({ keys: before.keys + 2, bytes: before.bytes + 4 });
      expect(await kv.setAll(shelf, [])).toEqual({ written: 0, kept: 0 });
    });

    test("stores know nothing of each other", async () => {
      await kv.create(other, TERMS);
      await kv.set(shelf, "k", 1);
      expect(await kv.get(other, "k")).toBeUndefined();
      expect((await kv.list(other, all)).keys).toEqual([]);
      await kv.set(other, "k", 2);
      await kv.drop(shelf);
      expect(await kv.get(other, "k")).toBe(2);
    });

    test("a store made again after a drop is empty", async () => {
      await kv.setAll(
        shelf,
        Array.from({ length: 1200 }, (_, n) => [`k${n}`, n]),
      );
      await kv.drop(shelf);
      await expect(kv.get(shelf, "k1")).rejects.toMatchObject({ code: "store.not_found" });
      await kv.create(shelf, TERMS);
      expect(await kv.list(shelf, all)).toEqual({ keys: [], has_more: false, total_estimate: 0 });
      expect(await kv.usage(shelf)).toEqual({ keys: 0, bytes: 0 });
      await kv.set(shelf, "k1", "mine");
      expect(await kv.get(shelf, "k1")).toBe("mine");
    });

    test("stores are listed as they were made, with what they hold", async () => {
      const made = { owner: "pack" as never, root_path: "user_data/stores/x", created_at: "2026-01-01T00:00:00.000Z" };
      await kv.create(other, { ...TERMS, ...made });
      await kv.set(other, "k", 1);
      const none = { owner: null, root_path: null, created_at: null };
      expect(await kv.stores()).toEqual([
        { store_id: other, ...TERMS, ...made, keys: 1, bytes: 2 },
        { store_id: shelf, ...TERMS, ...none, keys: 0, bytes: 0 },
      ]);
      await expect(kv.create(other, TERMS)).rejects.toMatchObject({ code: "store.exists" });
    });

    test("a store that was not made is not found, whatever is asked", async () => {
      const asks = [
        kv.get(other, "k"),
        kv.set(other, "k", 1),
        kv.setAll(other, []),
        kv.delete(other, "k"),
        kv.list(other, all),
        kv.batchGet(other, ["k"]),
        kv.cas(other, "k", { kind: "absent" }, 1),
        kv.usage(other),
        kv.drop(other),
        kv.requota(other, TERMS),
      ];
      const ends = await Promise.allSettled(asks);
      const codes = ends.map((end) => (end.status === "rejected" ? (end.reason as { code: string }).code : end.status));
      expect(codes).toEqual(asks.map(() => "store.not_found"));
    });
  });
}
