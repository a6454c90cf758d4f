import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { PackSummary } from "@rumi/approval";
import { silentLogger } from "@rumi/core/testing";
import { ensureFolder } from "@rumi/safe-files";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { PendingExport } from "./pending-export.ts";
import { ManualTimers } from "./testing/manual-timers.ts";

const pack = (id: string, status: PackSummary["status"]): PackSummary => ({
  pack_id: id,
  status,
  enabled: true,
  version: null,
  pack_identity: null,
  digest: null,
});

test("the summary counts and names packs by what they wait for; a change is written within a second", async () => {
  await using folder = await temporaryFolder();
  await ensureFolder(join(folder.path, "pending"));
  const timers = new ManualTimers();
  const packs = [pack("a", "installed"), pack("b", "modified"), pack("c", "blocked"), pack("d", "error"), pack("e", "approved")];
  await using pending = new PendingExport(
    { approvals: { list: () => packs }, clock: timers, timers, logger: silentLogger },
    { userData: folder.path },
  );
  const read = async () => JSON.parse(await readFile(join(folder.path, "pending/summary.json"), "utf8")) as { packs: object };
  expect(await pending.write()).toBe("pending/summary.json");
  expect((await read()).packs).toEqual({
    pending_count: 2,
    pending_ids: ["a", "b"],
    modified_count: 1,
    modified_ids: ["b"],
    blocked_count: 1,
    blocked_ids: ["c"],
    error_count: 1,
    error_ids: ["d"],
  });
  packs.splice(0, 4);
  pending.touch();
  pending.touch();
  await timers.advance(999);
  await expect.poll(async () => (await read()).packs).toMatchObject({ pending_count: 0, blocked_count: 0 });
});

test("a section that fails stands as an error, the summary does not", async () => {
  const timers = new ManualTimers();
  const failing = {
    list: () => {
      throw new TypeError("broken");
    },
  };
  const pending = new PendingExport({ approvals: failing, clock: timers, timers, logger: silentLogger }, { userData: "/nowhere" });
  expect(pending.summary()).toEqual({ version: "1.0", ts: "2026-01-01T00:00:00.000Z", packs: { error: "TypeError" } });
});
