import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { silentLogger } from "@rumi/core/testing";
import { SqliteFile } from "@rumi/safe-files";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { PendingWrites } from "./pending-writes.ts";

async function scene() {
  const home = await temporaryFolder();
  const path = join(home.path, "x.db");
  const file = await SqliteFile.open(path, { version: 1, sql: "CREATE TABLE IF NOT EXISTS t (v INTEGER UNIQUE) STRICT" });
  const insert = file.prepare("INSERT INTO t (v) VALUES (?)");
  const other = new DatabaseSync(path);
  const pending = new PendingWrites(file, silentLogger);
  return {
    pending,
    put: (value: number) => () => void insert.run(value),
    /** What another process would see. */
    seen: (): number[] =>
      other
        .prepare("SELECT v FROM t ORDER BY v")
        .all()
        .map((row) => Number(row["v"])),
    [Symbol.asyncDispose]: async () => {
      other.close();
      await file[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
}

test("what is added is written by the next turn, in one go, or as soon as somebody needs it", async () => {
  await using at = await scene();
  at.pending.add("a", at.put(1));
  at.pending.add("b", at.put(2));
  expect(at.seen()).toEqual([]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(at.seen()).toEqual([1, 2]);
  at.pending.add("a", at.put(3));
  at.pending.write("b");
  expect(at.seen()).toEqual([1, 2, 3]);
  at.pending.add("a", at.put(4));
  at.pending[Symbol.dispose]();
  expect(at.seen()).toEqual([1, 2, 3, 4]);
});

test("when a write fails, every run that had something in it is told with all it asks next; others go on", async () => {
  await using at = await scene();
  at.pending.add("a", at.put(1));
  at.pending.add("b", at.put(1));
  at.pending.add("c", at.put(2));
  await new Promise((resolve) => setImmediate(resolve));
  expect(at.seen()).toEqual([]);
  for (const run of ["a", "b", "c"]) {
    expect(() => at.pending.add(run, at.put(3)), run).toThrow(expect.objectContaining({ code: "state.corrupt" }));
    expect(() => at.pending.write(run), run).toThrow(expect.objectContaining({ code: "state.corrupt" }));
  }
  at.pending.add("d", at.put(4));
  at.pending.forgive("a");
  at.pending.add("a", at.put(5));
  at.pending.write("d");
  expect(at.seen()).toEqual([4, 5]);
});
