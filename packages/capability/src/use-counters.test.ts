import { readdir, rm, stat, writeFile } from "node:fs/promises";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { PackId, PermissionId } from "@rumi/core";
import { MemoryDiagnostics } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import { afterAll, describe, expect, test } from "vitest";
import { SqliteUseCounters } from "./sqlite-use-counters.ts";
import { useCountersContract } from "./testing/use-counters-contract.ts";
import { MemoryUseCounters } from "./use-counters.ts";

const A = "a" as PackId;
const READ = "fs.read" as PermissionId;
const NOON = Date.UTC(2026, 0, 1, 12);
const ONCE = [{ principal: A, max_uses: 1 }];

const base = mkdtempSync(join(tmpdir(), "rumi-uses-"));
afterAll(() => rm(base, { recursive: true, force: true }));
let opened = 0;

describe("in memory", () => {
  useCountersContract(() => new MemoryUseCounters());
});
describe("in SQLite", () => {
  useCountersContract(() => SqliteUseCounters.open(join(base, `${opened++}`, "uses.db"), new MemoryDiagnostics()));
});

test("a use is on disk when it is given, and the last use when the counters are closed", async () => {
  await using home = await temporaryFolder();
  const path = join(home.path, "permissions", "uses.db");
  const diagnostics = new MemoryDiagnostics();
  {
    using counters = SqliteUseCounters.open(path, diagnostics);
    counters.begin(A, READ);
    expect(counters.take(ONCE, READ, NOON)).toBe(true);
    counters.note(A, READ, NOON);
    counters.note(A, READ, NOON + 5);
    using other = new DatabaseSync(path, { readOnly: true });
    expect(other.prepare("SELECT total FROM uses").get()).toEqual({ total: 1 });
    for (const name of await readdir(join(path, ".."))) expect((await stat(join(path, "..", name))).mode & 0o777, name).toBe(0o600);
  }
  using again = SqliteUseCounters.open(path, diagnostics);
  expect([again.take(ONCE, READ, NOON), again.lastUsedAt(A, READ)]).toEqual([false, NOON + 5]);
  expect(diagnostics.reports).toEqual([]);
});

test("a file that is gone, emptied or no database: every limited grant is used up, others hold", async () => {
  await using home = await temporaryFolder();
  const path = join(home.path, "uses.db");
  const attacks = [
    () => rm(path),
    () => writeFile(path, ""),
    () => writeFile(path, "no database, but long enough to be read as one".repeat(99)),
  ];
  for (const attack of attacks) {
    {
      using counters = SqliteUseCounters.open(path, new MemoryDiagnostics());
      counters.begin(A, READ);
    }
    await rm(`${path}-wal`, { force: true });
    await attack();
    const diagnostics = new MemoryDiagnostics();
    using counters = SqliteUseCounters.open(path, diagnostics);
    expect(counters.take([{ principal: A, max_uses: 1000 }], READ, NOON)).toBe(false);
    expect(counters.take([{ principal: A, rate_per_minute: 1 }], READ, NOON)).toBe(true);
    await rm(path, { force: true });
  }
});

test("a damaged file is told; nothing throws, also after the counters are closed", async () => {
  await using home = await temporaryFolder();
  const path = join(home.path, "uses.db");
  await writeFile(path, "x".repeat(8192));
  const diagnostics = new MemoryDiagnostics();
  const counters = SqliteUseCounters.open(path, diagnostics);
  expect(diagnostics.reports).toMatchObject([{ kind: "grants", id: "uses.db", status: "failed", code: "capability.limit_reached" }]);
  counters.begin(A, READ);
  counters.note(A, READ, NOON);
  counters.forget(A, READ);
  counters[Symbol.dispose]();
  counters[Symbol.dispose]();
  expect(counters.take(ONCE, READ, NOON)).toBe(false);
});
