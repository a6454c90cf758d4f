import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import type { StoreId } from "@rumi/core";
import { temporaryFolder } from "@rumi/testkit";
import { describe, expect, test } from "vitest";
import { SqliteKvStore } from "./sqlite-kv-store.ts";
import { openTestRegistry } from "./testing/index.ts";

const shelf = "shelf" as StoreId;
const TERMS = { max_bytes: 10_000_000, max_keys: 10_000 };
const all = { prefix: "", after: null, limit: 5000 };

test("the file is for this user alone, and what was written is there after a restart", async () => {
  await using home = await temporaryFolder();
  const path = join(home.path, "user_data", "stores", "stores.db");
  {
    await using kv = new SqliteKvStore(path);
    await kv.create(shelf, TERMS);
    await kv.set(shelf, "k", { a: [1, "日"] });
    for (const suffix of ["", "-wal", "-shm"]) expect((await stat(path + suffix)).mode & 0o777, suffix).toBe(0o600);
    expect((await stat(join(home.path, "user_data", "stores"))).mode & 0o777).toBe(0o700);
  }
  await using kv = new SqliteKvStore(path);
  expect(await kv.get(shelf, "k")).toEqual({ a: [1, "日"] });
  expect(await kv.stores()).toMatchObject([{ store_id: "shelf", keys: 1, ...TERMS }]);
});

test("a closed store refuses, and closing ends the writes that were asked for", async () => {
  await using home = await temporaryFolder();
  const path = join(home.path, "stores.db");
  const kv = new SqliteKvStore(path);
  await kv.create(shelf, TERMS);
  const writes = Array.from({ length: 500 }, (_, n) => kv.set(shelf, `k${n}`, n));
  await kv[Symbol.asyncDispose]();
  await Promise.all(writes);
  await expect(kv.get(shelf, "k1")).rejects.toMatchObject({ code: "store.unavailable" });
  await using again = new SqliteKvStore(path);
  expect(await again.usage(shelf)).toMatchObject({ keys: 500 });
});

test("what a dropped store held goes, also when the daemon ended in between", async () => {
  await using home = await temporaryFolder();
  const path = join(home.path, "stores.db");
  {
    await using kv = new SqliteKvStore(path);
    await kv.create(shelf, TERMS);
    await kv.setAll(
      shelf,
      Array.from({ length: 5000 }, (_, n) => [`k${n}`, n]),
    );
    await kv.drop(shelf);
  }
  {
    await using kv = new SqliteKvStore(path);
    expect(await kv.stores()).toEqual([]);
    for (let left = 1; left > 0; left = count(path, "dropped")) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(count(path, "items")).toBe(0);
});

function count(path: string, table: "items" | "dropped"): number {
  const db = new DatabaseSync(path);
  try {
    return Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.["n"]);
  } finally {
    db.close();
  }
}

describe("trouble with the file", () => {
  test("no database, a damaged one, a folder or a link in its place: each use says so, nothing else breaks", async () => {
    await using home = await temporaryFolder();
    const good = join(home.path, "elsewhere.db");
    {
      await using kv = new SqliteKvStore(good);
      await kv.create(shelf, TERMS);
    }
    const garbage = join(home.path, "garbage.db");
    await writeFile(garbage, "this is no database, and it is longer than the head of one would be".repeat(100));
    const header = join(home.path, "header.db");
    await writeFile(header, Buffer.concat([(await readFile(good)).subarray(0, 100), Buffer.alloc(8000, 0xff)]));
    const link = join(home.path, "link.db");
    await symlink(good, link);
    for (const path of [garbage, header, link, home.path, join(garbage, "stores.db")]) {
      await using kv = new SqliteKvStore(path);
      for (let attempt = 0; attempt < 2; attempt += 1) {
        const ends = await Promise.allSettled([kv.get(shelf, "k"), kv.set(shelf, "k", 1), kv.stores(), kv.create(shelf, TERMS)]);
        const failures = ends.map((end) => (end.status === "rejected" ? (end.reason as { code: string; message: string }) : null));
        expect(
          failures.map((failure) => failure?.code),
          path,
        ).toEqual(Array.from({ length: 4 }, () => "store.unavailable"));
        for (const failure of failures) expect(failure?.message).not.toContain(home.path);
      }
    }
    expect(await readFile(garbage, "utf8")).toContain("this is no database");
  });

  test("a registry over a damaged file reports it, refuses every access, and holds again once it is mended", async () => {
    await using home = await temporaryFolder();
    const path = join(home.path, "user_data", "stores", "stores.db");
    {
      await using kv = new SqliteKvStore(path);
      const { registry } = await openTestRegistry(home.path, kv);
      await registry.declare("a" as never, [{ store_id: "s" }]);
      await registry.share({ provider_pack_id: "a", consumer_pack_id: "b", store_id: "a__s", actor: "t" });
    }
    const kept = await readFile(path);
    await writeFile(path, "garbage".repeat(1000));
    await using kv = new SqliteKvStore(path);
    const { registry, diagnostics } = await openTestRegistry(home.path, kv);
    expect(diagnostics.reports).toMatchObject([{ kind: "store", status: "failed", code: "store.unavailable", remedy: "rumi doctor" }]);
    expect(registry.access("a" as never, "a__s", "read")).toMatchObject({ allowed: false, code: "store.unavailable" });
    await expect(registry.list()).rejects.toMatchObject({ code: "store.unavailable" });
    await expect(registry.create({ store_id: "x", actor: "t" })).rejects.toMatchObject({ code: "store.unavailable" });
    expect(registry.shares()).toHaveLength(1);
    await writeFile(path, kept);
    expect(await registry.list()).toMatchObject([{ store_id: "a__s" }]);
    expect(registry.access("b" as never, "a__s", "read").allowed).toBe(true);
    expect(diagnostics.reports.at(-1)).toMatchObject({ kind: "store", status: "ok" });
  });

  test("pages overwritten under a running store fail what needs them", async () => {
    await using home = await temporaryFolder();
    const path = join(home.path, "stores.db");
    {
      await using kv = new SqliteKvStore(path);
      await kv.create(shelf, TERMS);
      await kv.setAll(
        shelf,
        Array.from({ length: 2000 }, (_, n) => [`k${n}`, "x".repeat(500)]),
      );
    }
    const bytes = await readFile(path);
    bytes.fill(0xff, 40_000, bytes.length - 40_000);
    await writeFile(path, bytes);
    await using kv = new SqliteKvStore(path);
    await expect(
      kv.batchGet(
        shelf,
        Array.from({ length: 2000 }, (_, n) => `k${n}`),
      ),
    ).rejects.toMatchObject({ code: "store.unavailable" });
    expect(await kv.stores()).toHaveLength(1);
  });

  test("a database that another process holds gives a clear error, and works again afterwards", async () => {
    await using home = await temporaryFolder();
    const path = join(home.path, "stores.db");
    await using kv = new SqliteKvStore(path);
    await kv.create(shelf, TERMS);
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    await expect(kv.set(shelf, "k", 1)).rejects.toMatchObject({
      code: "store.unavailable",
      message: "the store database is held by another process",
    });
    expect(await kv.get(shelf, "k")).toBeUndefined();
    {
      await using late = new SqliteKvStore(path);
      await expect(late.stores()).rejects.toMatchObject({ code: "store.unavailable" });
      other.exec("ROLLBACK");
      expect(await late.stores()).toHaveLength(1);
    }
    other.close();
    await kv.set(shelf, "k", 1);
    expect(await kv.get(shelf, "k")).toBe(1);
  });

  test("two handles on one file keep the quotas exact together", async () => {
    await using home = await temporaryFolder();
    const path = join(home.path, "stores.db");
    await using one = new SqliteKvStore(path);
    await using two = new SqliteKvStore(path);
    await one.create(shelf, { max_bytes: 10_000, max_keys: 20 });
    const handles = [one, two];
    await Promise.allSettled(Array.from({ length: 60 }, (_, n) => handles[n % 2]?.set(shelf, `k${n}`, n)));
    expect((await two.list(shelf, all)).keys).toHaveLength(20);
    expect(await one.usage(shelf)).toMatchObject({ keys: 20 });
    await two.drop(shelf);
    await expect(one.get(shelf, "k0")).rejects.toMatchObject({ code: "store.not_found" });
    await expect(one.set(shelf, "k0", 1)).rejects.toMatchObject({ code: "store.not_found" });
  });

  test("a file of a later form is left alone", async () => {
    await using home = await temporaryFolder();
    const path = join(home.path, "stores.db");
    const db = new DatabaseSync(path);
    db.exec("PRAGMA user_version = 99");
    db.close();
    await using kv = new SqliteKvStore(path);
    await expect(kv.stores()).rejects.toMatchObject({
      code: "store.unavailable",
      message: expect.stringContaining("later version") as string,
    });
  });
});

/** Writes without an end and says each key once it was told that it is kept. */
const WRITER = `
import { SqliteKvStore } from ${JSON.stringify(new URL("./sqlite-kv-store.ts", import.meta.url).href)};
const kv = new SqliteKvStore(process.argv[1]);
await kv.create("shelf", { max_bytes: 1e9, max_keys: 1e6 });
const lane = async (lane) => {
  for (let n = 0; ; n += 1) {
    const key = lane + "/" + n;
    await kv.set("shelf", key, { key, pad: "x".repeat(n % 3000) });
    process.stdout.write(key + "\\n");
    if (n % 5 === 4) {
      process.stdout.write("?" + lane + "/" + (n - 2) + "\\n");
      await kv.delete("shelf", lane + "/" + (n - 2));
      process.stdout.write("-" + lane + "/" + (n - 2) + "\\n");
    }
  }
};
await Promise.all(["a", "b", "c", "d"].map(lane));
`;

test("kill -9 in the middle of writes loses none that was told, tears none, and keeps the usage exact", async () => {
  for (const after of [1, 40, 300, 1500]) {
    await using home = await temporaryFolder();
    const path = join(home.path, "stores.db");
    const args = ["--conditions=rumi-source", "--input-type=module", "--eval", WRITER, path];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const told = new Set<string>();
    const leaving = new Set<string>();
    const removed = new Set<string>();
    let lines = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith("?")) leaving.add(line.slice(1));
      else if (line.startsWith("-")) removed.add(line.slice(1));
      else told.add(line);
      if (++lines === after) child.kill("SIGKILL");
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    await using kv = new SqliteKvStore(path);
    const keys: string[] = [];
    for (let last: string | null = null; ;) {
      const page = await kv.list(shelf, { ...all, after: last });
      keys.push(...page.keys);
      if (!page.has_more) break;
      last = page.keys.at(-1) ?? null;
    }
    const there = new Set(keys);
    expect([...told].filter((key) => !there.has(key) && !leaving.has(key))).toEqual([]);
    expect([...removed].filter((key) => there.has(key))).toEqual([]);
    let bytes = 0;
    for (const key of keys) {
      const value = await kv.get(shelf, key);
      expect(value).toMatchObject({ key });
      bytes += Buffer.byteLength(key + JSON.stringify(value));
    }
    expect(await kv.usage(shelf)).toEqual({ keys: keys.length, bytes });
  }
});
