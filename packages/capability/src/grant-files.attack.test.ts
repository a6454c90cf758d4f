import { copyFile, mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { AuditEvent, AuditSink, PackId, PermissionId } from "@rumi/core";
import { RumiError } from "@rumi/core";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { openTestGrants, type TestGrants } from "./testing/open-test-grants.ts";

const READ = "fs.read" as PermissionId;
const NETWORK = { allowed_domains: ["x.com"], allowed_ports: [443] };

function fileOf(home: string, principal: string, folder = "capabilities"): string {
  return join(home, "user_data", "permissions", folder, `${principal}.json`);
}

function holds(opened: TestGrants, principal: string): boolean {
  return opened.grants.effective(principal as PackId, READ).allowed;
}

/** `a` and `b` hold fs.read; then the home is attacked and opened again. */
async function attacked(home: string, attack: (file: string) => Promise<void>): Promise<TestGrants> {
  const before = await openTestGrants(home);
  await before.give("a", "fs.read");
  await before.give("b", "fs.read");
  await attack(fileOf(home, "a"));
  return openTestGrants(home);
}

const EDITS: readonly [string, (file: string) => Promise<void>][] = [
  ["one value changed", async (file) => writeFile(file, (await readFile(file, "utf8")).replace('"operator"', '"operators"'))],
  ["one grant more", (file) => edit(file, (value) => (value.grants as unknown[]).push((value.grants as unknown[])[0]))],
  ["another principal inside", (file) => edit(file, (value) => (value.principal_id = "b"))],
  ["the signature taken off", (file) => edit(file, (value) => delete value._sig)],
  ["the signature of another kind", (file) => edit(file, (value) => (value._sig = { alg: "none" }))],
  ["the revision raised", (file) => edit(file, (value) => (value._rev = 99))],
  ["half written", async (file) => truncate(file, 40)],
  ["emptied", async (file) => truncate(file, 0)],
  ["removed", (file) => rm(file)],
  ["no JSON", (file) => writeFile(file, "not json")],
  ["a list", (file) => writeFile(file, "[]")],
  ["null", (file) => writeFile(file, "null")],
  ["__proto__ inside", async (file) => writeFile(file, (await readFile(file, "utf8")).replace("{", '{"__proto__":{"x":1},'))],
  ["a key twice", async (file) => writeFile(file, (await readFile(file, "utf8")).replace("{", '{"principal_id":"a",'))],
  ["a folder in its place", (file) => replaceByFolder(file)],
  ["b's file over it", (file) => copyFile(join(dirname(file), "b.json"), file)],
];

async function replaceByFolder(file: string): Promise<void> {
  await rm(file);
  await mkdir(file);
}

async function edit(file: string, change: (value: Record<string, unknown>) => void): Promise<void> {
  const value = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
  change(value);
  await writeFile(file, JSON.stringify(value));
}

test.each(EDITS)("a file of grants with %s gives nothing to its principal, and others keep theirs", async (_what, attack) => {
  await using home = await temporaryFolder();
  const opened = await attacked(home.path, attack);
  expect([holds(opened, "a"), holds(opened, "b")]).toEqual([false, true]);
  expect(opened.grants.tampered()).toEqual([{ principal_id: "a", folder: "capabilities" }]);
  expect(opened.events("security")).toMatchObject([{ action: "record_tampered", severity: "critical", success: false, owner_pack: "a" }]);
  expect(opened.diagnostics.reports).toMatchObject([
    { kind: "grants", id: "capabilities/a", status: "failed", code: "safe_files.record_tampered", remedy: "rumi grant reset a" },
  ]);
});

test("a re-indented file is the same file", async () => {
  await using home = await temporaryFolder();
  const opened = await attacked(home.path, async (file) =>
    writeFile(file, JSON.stringify(JSON.parse(await readFile(file, "utf8")), null, 7)),
  );
  expect([holds(opened, "a"), opened.grants.tampered()]).toEqual([true, []]);
});

test("T10 a's grants copied to another principal, or into the other folder, count for nothing there", async () => {
  await using home = await temporaryFolder();
  const opened = await attacked(home.path, async (file) => {
    await copyFile(file, fileOf(home.path, "c"));
    await copyFile(file, fileOf(home.path, "a__b"));
    const network = fileOf(home.path, "a", "network");
    await mkdir(dirname(network), { recursive: true });
    await copyFile(file, network);
  });
  expect(["a", "b", "c", "a__b"].map((id) => holds(opened, id))).toEqual([true, true, false, false]);
  expect(opened.grants.tampered().map(({ principal_id, folder }) => `${folder}/${principal_id}`)).toEqual([
    "capabilities/a__b",
    "capabilities/c",
    "network/a",
  ]);
  await expect(opened.give("a", "network.egress", NETWORK)).rejects.toMatchObject({ code: "safe_files.record_tampered" });
});

test("T10 a network grant copied to another pack reaches nothing", async () => {
  await using home = await temporaryFolder();
  const before = await openTestGrants(home.path);
  await before.give("a", "network.egress", NETWORK);
  await copyFile(fileOf(home.path, "a", "network"), fileOf(home.path, "b", "network"));
  const after = await openTestGrants(home.path);
  expect(after.network.check("a", "x.com", 443).reason).toBe("Access granted");
  expect(after.network.check("b", "x.com", 443).reason).toBe("No network grant for this pack");
});

test("T11 grant, revoke, the old file put back: tampered and denied; so is an older, wider grant", async () => {
  await using home = await temporaryFolder();
  const before = await openTestGrants(home.path);
  await before.give("a", "fs.read", { wide: true });
  await copyFile(fileOf(home.path, "a"), join(home.path, "kept.json"));
  await before.give("a", "fs.read", { wide: false });
  await before.grants.revoke({ principal_id: "a", permission_id: "fs.read", actor: "operator" });
  for (const back of [1, 2]) {
    await copyFile(join(home.path, "kept.json"), fileOf(home.path, "a"));
    const after = await openTestGrants(home.path);
    expect([holds(after, "a"), after.grants.tampered().length], `try ${back}`).toEqual([false, 1]);
  }
});

test("a tampered principal holds nothing until it is reset, and then only what is granted anew", async () => {
  await using home = await temporaryFolder();
  const opened = await attacked(home.path, (file) => edit(file, (value) => (value.principal_id = "b")));
  const { grants } = opened;
  const tampered = { code: "safe_files.record_tampered", remedy: "rumi grant reset a" };
  await expect(opened.give("a", "fs.read")).rejects.toMatchObject(tampered);
  await expect(grants.revoke({ principal_id: "a", permission_id: "*", actor: "o" })).rejects.toMatchObject(tampered);
  await expect(grants.reset("b", "o")).rejects.toMatchObject({ code: "capability.grant_not_found" });
  await expect(grants.reset("../a", "o")).rejects.toMatchObject({ code: "capability.invalid_config" });
  expect(await grants.reset("a", "admin")).toEqual({ principal_id: "a", reset: ["capabilities"] });
  expect([grants.tampered(), holds(opened, "a")]).toEqual([[], false]);
  expect(opened.events("permission").at(-1)).toMatchObject({
    action: "reset",
    success: true,
    details: { principal_id: "a", actor: "admin" },
  });
  expect(opened.diagnostics.reports.at(-1)).toMatchObject({ id: "capabilities/a", status: "ok" });
  const again = await openTestGrants(home.path);
  expect([again.grants.tampered(), holds(again, "a")]).toEqual([[], false]);
  await again.give("a", "fs.read");
  expect(holds(await openTestGrants(home.path), "a")).toBe(true);
});

test("files that no principal can have are left alone", async () => {
  await using home = await temporaryFolder();
  const opened = await attacked(home.path, async (file) => {
    for (const name of ["__proto__", "a__", "a b", ".hidden", "x".repeat(65)]) await copyFile(file, join(dirname(file), `${name}.json`));
    await writeFile(join(dirname(file), "notes.txt"), "hello");
  });
  expect([holds(opened, "a"), opened.grants.tampered()]).toEqual([true, []]);
});

/** Refuses what `refuses` says. */
class FailingAudit implements AuditSink {
  refuses = false;

  record(_event: AuditEvent): Promise<void> {
    return this.refuses ? Promise.reject(new RumiError("audit.unavailable", "full")) : Promise.resolve();
  }
}

test("T91 without an audit log nothing is granted and nothing revoked", async () => {
  await using home = await temporaryFolder();
  const audit = new FailingAudit();
  const opened = await openTestGrants(home.path, { audit });
  await opened.give("a", "fs.read");
  audit.refuses = true;
  await expect(opened.give("b", "fs.read")).rejects.toMatchObject({ code: "audit.unavailable" });
  await expect(opened.grants.revoke({ principal_id: "a", permission_id: "*", actor: "o" })).rejects.toMatchObject({
    code: "audit.unavailable",
  });
  expect([holds(opened, "a"), holds(opened, "b")]).toEqual([true, false]);
  const again = await openTestGrants(home.path);
  expect([holds(again, "a"), holds(again, "b")]).toEqual([true, false]);
});

test("a grant is in the audit log before it is on disk, and on disk before it holds", async () => {
  await using home = await temporaryFolder();
  const seen: unknown[] = [];
  const look: { held: () => boolean } = { held: () => false };
  const audit: AuditSink = {
    record: async (event) => {
      const onDisk = await readFile(fileOf(home.path, "a"), "utf8").catch(() => "");
      seen.push([event.action, onDisk.includes("fs.read"), look.held()]);
    },
  };
  const opened = await openTestGrants(home.path, { audit });
  look.held = () => holds(opened, "a");
  await opened.give("a", "fs.read");
  await opened.grants.revoke({ principal_id: "a", permission_id: "fs.read", actor: "o" });
  expect(seen).toEqual([
    ["grant", false, false],
    ["revoke", true, true],
  ]);
  expect(holds(opened, "a")).toBe(false);
});

test("acts that come at once do not lose each other", async () => {
  await using home = await temporaryFolder();
  const opened = await openTestGrants(home.path);
  await Promise.all(["c", "d", "e", "f", "g", "h", "i", "j"].map((letter) => opened.give("a", `fs.${letter}`)));
  expect(opened.grants.list("a").a).toHaveLength(8);
  expect((await openTestGrants(home.path)).grants.list("a").a).toHaveLength(8);
});
