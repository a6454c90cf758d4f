import { link, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { StoreId } from "@rumi/core";
import { MemoryAudit } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { importStore } from "./import-store.ts";
import { SqliteKvStore } from "./sqlite-kv-store.ts";

const shelf = "shelf" as StoreId;

async function put(root: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
}

async function open(folder: string, quota = { max_bytes: 100_000, max_keys: 100 }) {
  const kv = new SqliteKvStore(join(folder, "stores.db"));
  await kv.create(shelf, quota);
  const audit = new MemoryAudit();
  const source = join(folder, "source");
  await mkdir(source);
  const run = (overwrite?: boolean) => importStore({ kv, audit }, { store_id: "shelf", folder: source, overwrite, actor: "t" });
  return { kv, audit, source, run, [Symbol.asyncDispose]: () => kv[Symbol.asyncDispose]() };
}

test("every JSON file comes in under its path; what is there stays unless told otherwise; the files stay", async () => {
  await using home = await temporaryFolder();
  await using place = await open(home.path);
  await put(place.source, {
    "a.json": '{"n":1}',
    "deep/er/b.json": "null",
    "deep/c.d.json": '"x"',
    "notes.txt": "no",
    ".hidden.json": "1",
  });
  await place.kv.set(shelf, "a", "old");
  expect(await place.run()).toEqual({ imported: 2, skipped: 1, errors: [] });
  expect(await place.kv.batchGet(shelf, ["a", "deep/er/b", "deep/c.d"])).toEqual(["old", null, "x"]);
  expect(await place.run(true)).toEqual({ imported: 3, skipped: 0, errors: [] });
  expect(await place.kv.get(shelf, "a")).toEqual({ n: 1 });
  expect(await readdir(place.source)).toHaveLength(4);
  expect(place.audit.events.at(-1)).toMatchObject({
    category: "system",
    action: "store_import",
    success: true,
    details: { store_id: "shelf", imported: 3, skipped: 0, errors: 0, overwrite: true, actor: "t" },
  });
});

test("hidden folders, links and folders of units are left out", async () => {
  await using home = await temporaryFolder();
  await using place = await open(home.path);
  await put(home.path, { "outside/secret.json": "1" });
  await put(place.source, { ".git/x.json": "1", "unit/unit.json": "{}", "unit/data/y.json": "1", "real/z.json": "1" });
  await symlink(join(home.path, "outside"), join(place.source, "folder"));
  await symlink(join(home.path, "outside", "secret.json"), join(place.source, "file.json"));
  expect(await place.run()).toEqual({ imported: 1, skipped: 0, errors: [] });
  expect((await place.kv.list(shelf, { prefix: "", after: null, limit: 10 })).keys).toEqual(["real/z"]);
});

test("a file that cannot be taken is told and left out", async () => {
  await using home = await temporaryFolder();
  await using place = await open(home.path);
  await put(place.source, {
    "bad.json": "{",
    "proto.json": '{"__proto__":{"a":1}}',
    "deep.json": `${"[".repeat(100)}${"]".repeat(100)}`,
    "a b.json": "1",
    "fine.json": "1",
  });
  await link(join(place.source, "fine.json"), join(place.source, "second-name.json"));
  const { imported, errors } = await place.run();
  expect(imported).toBe(2);
  expect(errors.map(({ path, code }) => [path, code])).toEqual([
    ["a b.json", "store.invalid_key"],
    ["bad.json", "safe_files.invalid_json"],
    ["deep.json", "safe_files.too_deep"],
    ["proto.json", "safe_files.forbidden_key"],
  ]);
  expect(JSON.stringify(errors)).not.toContain(home.path);
});

test("a folder that does not fit changes nothing", async () => {
  await using home = await temporaryFolder();
  await using place = await open(home.path, { max_bytes: 100, max_keys: 3 });
  await put(place.source, { "a.json": "1", "b.json": JSON.stringify("x".repeat(200)) });
  await expect(place.run()).rejects.toMatchObject({ code: "store.quota_exceeded" });
  await put(place.source, { "b.json": "2", "c.json": "3", "d.json": "4" });
  await expect(place.run()).rejects.toMatchObject({ code: "store.quota_exceeded" });
  await place.kv.setAll(shelf, [
    ["x", 1],
    ["y", 1],
  ]);
  expect(await place.kv.usage(shelf)).toEqual({ keys: 2, bytes: 4 });
  expect(place.audit.events.map(({ category, action }) => `${category} ${action}`)).toEqual([
    "system store_import",
    "security store.quota_exceeded",
    "system store_import",
    "security store.quota_exceeded",
  ]);
});

test("a store or a folder that is not there is refused", async () => {
  await using home = await temporaryFolder();
  await using place = await open(home.path);
  const { kv, audit, source } = place;
  const run = (store_id: string, folder: string): Promise<unknown> => importStore({ kv, audit }, { store_id, folder, actor: "t" });
  await expect(run("gone", source)).rejects.toMatchObject({ code: "store.not_found" });
  await expect(run("a b", source)).rejects.toMatchObject({ code: "store.invalid_id" });
  await expect(run("shelf", join(home.path, "none"))).rejects.toMatchObject({ code: "safe_files.not_found" });
  await writeFile(join(home.path, "file"), "");
  await symlink(source, join(home.path, "link"));
  for (const folder of ["file", "link"]) {
    await expect(run("shelf", join(home.path, folder))).rejects.toMatchObject({ code: "safe_files.not_a_folder" });
  }
});
