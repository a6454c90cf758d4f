import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { openTestGrants, type TestGrants } from "./testing/open-test-grants.ts";
import { TrustStore } from "./trust-store.ts";

const OLD = "1".repeat(64);
const NEW = "2".repeat(64);
const BINARY = { os: "linux", arch: "x64", sha256: "3".repeat(64) };
const CODE = { pack_id: "p", slug: "fs_read_v1", permission_id: "fs.read" };

async function open(home: string): Promise<TestGrants & { trust: TrustStore }> {
  const opened = await openTestGrants(home);
  const trust = new TrustStore(opened);
  await trust.load();
  return { ...opened, trust };
}

test("T41 two trusted digests: the pack goes back and forth and runs without a new yes", async () => {
  await using home = await temporaryFolder();
  const { trust } = await open(home.path);
  await trust.add("fs_read", { ...CODE, sha256: OLD }, "operator");
  await trust.add("fs_read", { ...CODE, sha256: NEW, note: "new" }, "operator");
  await trust.add("fs_read", { ...CODE, sha256: NEW, note: "again" }, "operator");
  const again = (await open(home.path)).trust;
  expect(again.trusted("fs_read").map((entry) => [entry.sha256, entry.note])).toEqual([
    [OLD, ""],
    [NEW, "again"],
  ]);
  for (const sha256 of [OLD, NEW, OLD]) expect(again.decide({ handler_id: "fs_read", ...CODE, sha256 })).toMatchObject({ allowed: true });
});

test("T40 other bytes, another pack, slug, permission or handler, another machine's binary: not trusted", async () => {
  await using home = await temporaryFolder();
  const { trust } = await open(home.path);
  await trust.add("fs_read", { ...CODE, sha256: OLD, artifacts: [BINARY] }, "operator");
  const ask = { handler_id: "fs_read", ...CODE, sha256: OLD, artifact: BINARY };
  expect(trust.decide(ask)).toMatchObject({ allowed: true });
  const others = [{ sha256: NEW }, { pack_id: "q" }, { slug: "other" }, { permission_id: "fs.write" }, { handler_id: "toString" }];
  const machines = [{ os: "darwin" }, { arch: "arm64" }, { sha256: OLD }].map((other) => ({ artifact: { ...BINARY, ...other } }));
  for (const other of [...others, ...machines]) {
    expect(trust.decide({ ...ask, ...other }), JSON.stringify(other)).toMatchObject({ allowed: false, code: "capability.trust_denied" });
  }
});

test("trust is taken by digest or whole, and each change is recorded", async () => {
  await using home = await temporaryFolder();
  const { trust, events } = await open(home.path);
  await trust.add("fs_read", { ...CODE, sha256: OLD }, "operator");
  await trust.add("fs_read", { ...CODE, sha256: NEW }, "operator");
  expect(await trust.remove("fs_read", OLD, "operator")).toEqual({ removed: 1 });
  await expect(trust.remove("fs_read", OLD, "operator")).rejects.toMatchObject({ code: "capability.grant_not_found" });
  expect(await trust.remove("fs_read", undefined, "operator")).toEqual({ removed: 1 });
  expect(trust.trusted("fs_read")).toEqual([]);
  expect(events("permission").map(({ action, success, details }) => [action, success, details?.permission_type])).toEqual([
    ["grant", true, "handler_trust"],
    ["grant", true, "handler_trust"],
    ["revoke", true, "handler_trust"],
    ["revoke", false, "handler_trust"],
    ["revoke", true, "handler_trust"],
  ]);
});

test("what is no handler, digest or pack is refused, and the file stays readable", async () => {
  await using home = await temporaryFolder();
  const { trust } = await open(home.path);
  const good = { ...CODE, sha256: OLD };
  for (const id of ["__proto__", "constructor", "", "a b", "x".repeat(129)]) {
    await expect(trust.add(id, good, "operator"), id).rejects.toMatchObject({ code: "capability.invalid_config" });
  }
  for (const wrong of [
    { sha256: "x" },
    { sha256: `sha256:${OLD}` },
    { pack_id: "a b" },
    { slug: "../x" },
    { permission_id: "Fs" },
    { artifacts: [{ os: "linux" }] },
  ]) {
    await expect(trust.add("fs_read", { ...good, ...wrong } as never, "operator")).rejects.toMatchObject({
      code: "capability.invalid_config",
    });
  }
  await trust.add("fs_read", good, "operator");
  expect((await open(home.path)).trust.trusted("fs_read")).toHaveLength(1);
});

test("an edited trust file trusts nothing", async () => {
  await using home = await temporaryFolder();
  const { trust, userData } = await open(home.path);
  await trust.add("fs_read", { ...CODE, sha256: OLD }, "operator");
  const path = join(userData, "capabilities", "trust", "trusted_handlers.json");
  await writeFile(path, (await readFile(path, "utf8")).replace(OLD, NEW));
  const again = await open(home.path);
  expect([OLD, NEW].map((sha256) => again.trust.decide({ handler_id: "fs_read", ...CODE, sha256 }).allowed)).toEqual([false, false]);
  expect(again.diagnostics.reports).toMatchObject([{ id: "trusted_handlers", status: "failed", code: "safe_files.record_tampered" }]);
});
