import { sha256 } from "@rumi/core";
import type { PackId } from "@rumi/core";
import { ManualClock } from "@rumi/core/testing";
import { readPack } from "@rumi/pack-manifest";
import { temporaryFolder } from "@rumi/testkit";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { decideGate } from "./approval-gate.ts";
import type { PackEntry } from "./approval-gate.ts";
import { approvedRecord } from "./approval-record.ts";

async function approvedEntry(id: string, more: object): Promise<PackEntry> {
  await using folder = await temporaryFolder();
  const pack_identity = `local:${id}`;
  await writeFile(join(folder.path, "ecosystem.json"), JSON.stringify({ pack_id: id, pack_identity, ...more }));
  const read = await readPack(folder.path, id);
  if (!read.ok) throw new Error("the manifest of this test is wrong");
  const digest = sha256(id);
  const facts = { digest, pack_identity, version: "1.0.0", by: "test", origin: "operator", notes: null, modifiers: [] } as const;
  const record = { ...approvedRecord(id as PackId, null, facts, new ManualClock()), rule_digest: digest };
  const listing = { digest, entries: [], total_bytes: 0 };
  const open = { pack_id: id as PackId, digest, root: folder.path, subdir: "", listing, pack: read.pack };
  return { id, live: null, record, tampered: null, lookalike: null, open };
}

test("a rule pack that is switched off gives its runtime to nobody", async () => {
  const rule = await approvedEntry("rule", { pack_type: "rule", provides_runtime: ["lua"] });
  const user = await approvedEntry("user", { runtime_type: "lua" });
  const entries = new Map([rule, user].map((entry) => [entry.id, entry]));
  const gate = (off: string[]): unknown => decideGate(entries, { all: false, ids: new Set(off) }, "user" as PackId);
  expect(gate([])).toMatchObject({ allowed: true });
  expect(gate(["rule"])).toMatchObject({ allowed: false, code: "approval.rule_not_approved" });
});
