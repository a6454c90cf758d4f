import type { PackId, SecretKey } from "@rumi/core";
import { ManualClock, MemoryAudit } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { BindingWatch } from "./binding-watch.ts";
import { SecretJournal } from "./secret-journal.ts";

const PACK = "pack" as PackId;
const KEY = "TOKEN" as SecretKey;
const HOUR = 60 * 60 * 1000;

interface Watched extends AsyncDisposable {
  readonly watch: BindingWatch;
  readonly clock: ManualClock;
  readonly audit: MemoryAudit;
}

async function watched(): Promise<Watched> {
  const folder = await temporaryFolder();
  const [clock, audit] = [new ManualClock(), new MemoryAudit()];
  const { journal } = await SecretJournal.open(folder.path, clock);
  return {
    watch: new BindingWatch({ journal, audit, clock }),
    clock,
    audit,
    [Symbol.asyncDispose]: async () => {
      await journal[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

test("T67 the fifth piece within 24 hours suspends this pack's binding and no other", async () => {
  await using h = await watched();
  for (let hit = 1; hit <= 4; hit++) expect(await h.watch.note(PACK, KEY)).toBe(false);
  expect(await h.watch.note(PACK, KEY)).toBe(true);
  expect(h.watch.suspended(PACK, KEY)).toBe(true);
  expect(h.watch.suspended("other" as PackId, KEY)).toBe(false);
  expect(h.watch.suspended(PACK, "OTHER" as SecretKey)).toBe(false);
  expect(h.watch.list()).toEqual([{ principal_id: PACK, key: KEY, suspended_at: "2026-01-01T00:00:00.000Z" }]);
  expect(h.audit.events).toMatchObject([
    { category: "security", severity: "critical", action: "secrets.binding_suspended", success: false, owner_pack: PACK },
  ]);
});

test("pieces spread over more than a day do not add up", async () => {
  await using h = await watched();
  for (let hit = 0; hit < 20; hit++) {
    expect(await h.watch.note(PACK, KEY)).toBe(false);
    h.clock.advance(6 * HOUR);
  }
});

test("many at once suspend at once; the suspension holds before it is on disk", async () => {
  await using h = await watched();
  const noted = h.watch.note(PACK, KEY, 1000);
  expect(h.watch.suspended(PACK, KEY)).toBe(true);
  expect(await noted).toBe(true);
});

test("a suspension does not pass by itself; an operator lifts it, and counting begins anew", async () => {
  await using h = await watched();
  await h.watch.note(PACK, KEY, 5);
  h.clock.advance(1000 * HOUR);
  expect(h.watch.suspended(PACK, KEY)).toBe(true);
  expect(await h.watch.lift(PACK, KEY, "token:t1")).toBe(true);
  expect(await h.watch.lift(PACK, KEY, "token:t1")).toBe(false);
  for (let hit = 1; hit <= 4; hit++) expect(await h.watch.note(PACK, KEY)).toBe(false);
});

test("T64 where a secret went is known at once, noted once, and known after a restart", async () => {
  await using folder = await temporaryFolder();
  const [clock, audit] = [new ManualClock(), new MemoryAudit()];
  {
    const { journal } = await SecretJournal.open(folder.path, clock);
    await using _closing = journal;
    const watch = new BindingWatch({ journal, audit, clock });
    const noted = watch.noteSent(PACK, KEY, "api.example.com");
    expect([...watch.sentTo(PACK, "api.example.com")]).toEqual([KEY]);
    await noted;
    await watch.noteSent(PACK, KEY, "api.example.com");
    await watch.noteSent(PACK, KEY, "93.184.216.34");
  }
  const { journal, lines } = await SecretJournal.open(folder.path, clock);
  await using _closing = journal;
  expect(lines.map(({ action, reason }) => [action, reason])).toEqual([
    ["sent", "api.example.com"],
    ["sent", "93.184.216.34"],
  ]);
  const watch = new BindingWatch({ journal, audit, clock }, lines);
  expect([...watch.sentTo(PACK, "93.184.216.34")]).toEqual([KEY]);
  expect([...watch.sentTo("other" as PackId, "93.184.216.34")]).toEqual([]);
});
