import { mkdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { SqliteFile } from "./sqlite-file.ts";

const SCHEMA = { version: 2, sql: "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT" };
const failed = expect.objectContaining({ code: "safe_files.database_failed" });

test("the file and its log are for this user alone, and what was committed is there again", async () => {
  await using home = await temporaryFolder();
  const path = join(home.path, "state", "a.db");
  {
    await using file = await SqliteFile.open(path, SCHEMA);
    file.transaction(() => file.prepare("INSERT INTO t (v) VALUES (?)").run("x"));
    await Promise.all([file.sync(), file.sync(), file.sync()]);
    for (const suffix of ["", "-wal", "-shm"]) expect((await stat(path + suffix)).mode & 0o777).toBe(0o600);
  }
  await using file = await SqliteFile.open(path, SCHEMA);
  expect(file.prepare("SELECT v FROM t").all()).toEqual([{ v: "x" }]);
  file.checkpoint();
  await file[Symbol.asyncDispose]();
});

test("a transaction that throws changes nothing, and says what it was", async () => {
  await using home = await temporaryFolder();
  await using file = await SqliteFile.open(join(home.path, "a.db"), SCHEMA);
  const insert = file.prepare("INSERT INTO t (id, v) VALUES (?, ?)");
  expect(() =>
    file.transaction(() => {
      insert.run(1, "a");
      throw Object.assign(new Error("own"), { code: "x.own" });
    }),
  ).toThrow("own");
  expect(() =>
    file.transaction(() => {
      insert.run(1, "a");
      insert.run(1, "b");
    }),
  ).toThrow(failed);
  expect(file.prepare("SELECT count(*) AS n FROM t").get()).toEqual({ n: 0 });
});

test("a part of a transaction can be undone alone, and what changed is counted", async () => {
  await using home = await temporaryFolder();
  await using file = await SqliteFile.open(join(home.path, "a.db"), SCHEMA);
  const insert = file.prepare("INSERT INTO t (v) VALUES (?)");
  const before = file.changes;
  file.transaction(() => {
    insert.run("kept");
    expect(() =>
      file.nested(() => {
        insert.run("undone");
        throw new Error("no");
      }),
    ).toThrow("no");
  });
  expect(file.prepare("SELECT v FROM t").all()).toEqual([{ v: "kept" }]);
  expect(file.changes).toBeGreaterThan(before);
});

test("a flush that waits for one under way covers what was committed since", async () => {
  await using home = await temporaryFolder();
  await using file = await SqliteFile.open(join(home.path, "a.db"), SCHEMA);
  const order: number[] = [];
  const first = file.sync().then(() => order.push(1));
  file.transaction(() => file.prepare("INSERT INTO t (v) VALUES ('x')").run());
  const second = file.sync().then(() => order.push(2));
  await Promise.all([first, second]);
  expect(order).toEqual([1, 2]);
});

test("no database, a later form, a folder or a link in its place is refused without a host path", async () => {
  await using home = await temporaryFolder();
  const good = join(home.path, "good.db");
  await (await SqliteFile.open(good, { ...SCHEMA, version: 3 }))[Symbol.asyncDispose]();
  await expect(SqliteFile.open(good, SCHEMA)).rejects.toThrow(failed);
  await writeFile(join(home.path, "garbage.db"), "garbage".repeat(1000));
  await symlink(good, join(home.path, "link.db"));
  await mkdir(join(home.path, "folder.db"));
  for (const name of ["garbage.db", "link.db", "folder.db"]) {
    const refused = await SqliteFile.open(join(home.path, name), SCHEMA).then(
      () => null,
      (error: unknown) => error,
    );
    expect(refused, name).toEqual(failed);
    expect(String(refused), name).not.toContain(home.path);
  }
});
