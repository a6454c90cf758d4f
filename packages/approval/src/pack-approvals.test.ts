import { chmod, mkdir, readFile, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestHex, RumiError } from "@rumi/core";
import type { Digest, PackId } from "@rumi/core";
import { hashTree } from "@rumi/safe-files";
import { temporaryFolder } from "@rumi/testkit";
import { describe, expect, test } from "vitest";
import type { PackChange } from "./change-board.ts";
import { openTestApprovals } from "./testing/open-test-approvals.ts";

const actor = "token:test";
const p = "p" as PackId;
const hello = { "blocks/hello.py": "def run(input_data):\n    return 1\n" };

describe("approving", () => {
  test("T93 a folder just put in is approved, or seen as installed, without a scan", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    await home.putPack("p", hello);
    await home.putPack("q", hello);
    expect(await home.approvals.status("q")).toMatchObject({ status: "installed", enabled: true, approved_digest: null });
    expect(await home.approvals.approve("p", { actor })).toMatchObject({ pack_id: "p", status: "approved" });
    await home.putPack("r", hello);
    expect((await home.approvals.pending()).map((pack) => pack.pack_id)).toEqual(["q", "r"]);
    await home.putPack("s", hello);
    expect(await home.approvals.reject("s", { actor, reason: "no" })).toEqual({ pack_id: "s", status: "blocked", reason: "no" });
    expect(home.actions("approval")).toEqual(["approve", "reject"]);
  });

  test("an approved pack runs from a read-only copy, and from these bytes only", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const live = await home.putPack("p", {
      "backend/ecosystem.json": JSON.stringify({ pack_id: "p", pack_identity: "github:a/p", runtime: { reuse: true } }),
      "backend/blocks/a.py": "1",
    });
    expect(home.approvals.gate(p)).toMatchObject({ allowed: false, code: "approval.pack_not_found" });
    await home.approvals.status("p");
    expect(home.approvals.gate(p)).toMatchObject({
      allowed: false,
      code: "approval.not_approved",
      reason: "Pack is not approved",
      remedy: "rumi pack review p",
    });

    const { digest } = await home.approvals.approve("p", { actor });
    const gate = home.approvals.gate(p, digest);
    if (!gate.allowed) throw new Error(gate.reason);
    expect(gate).toMatchObject({
      digest,
      subdir: "backend",
      root: join(home.userData, "packs/p/snapshots", digestHex(digest)),
      pack: { reuse: true },
    });
    expect((await hashTree(live)).digest).toBe(digest);
    expect((await hashTree(gate.root)).digest).toBe(digest);
    expect(gate.listing.entries.map((entry) => entry.path)).toContain("backend/blocks/a.py");
    expect(home.approvals.gate(p, `sha256:${"0".repeat(64)}` as Digest)).toMatchObject({ allowed: false, code: "approval.digest_moved" });
    expect(await home.approvals.verifySnapshot(p, digest)).toEqual({ allowed: true });
    expect(home.approvals.approved().map((pack) => pack.pack_id)).toEqual(["p"]);
  });

  test("T3 a folder p declaring q is an error and never runs", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    await home.putPack("p", { "ecosystem.json": JSON.stringify({ pack_id: "q", pack_identity: "github:a/q" }) });
    expect(await home.approvals.status("p")).toMatchObject({ status: "error", reason: "pack_manifest.id_mismatch" });
    await expect(home.approvals.approve("p", { actor })).rejects.toMatchObject({
      code: "pack_manifest.id_mismatch",
      remedy: "rumi pack validate",
    });
    expect(home.approvals.gate(p)).toMatchObject({ allowed: false, code: "approval.not_approved", because: "error" });
    expect(home.actions("security")).toEqual(["pack_manifest.id_mismatch"]);
  });

  test("T4 folders with names that are no pack id are errors, others load", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    for (const id of ["core_x", "KERNEL", "a__", "a___b", "a b", "a\n", "x".repeat(65), "fine"]) await home.putPack(id, hello);
    await home.approvals.scan();
    const status = new Map(home.approvals.list().map((pack) => [pack.pack_id, pack.status]));
    expect(status.size).toBe(8);
    expect([...status].filter(([, state]) => state !== "error")).toEqual([["fine", "installed"]]);
    await expect(home.approvals.approve("KERNEL", { actor })).rejects.toMatchObject({ code: "pack_manifest.reserved" });
    await expect(home.approvals.reject("a b", { actor })).rejects.toMatchObject({ code: "pack_manifest.invalid_pack_id" });
    await expect(home.approvals.review("a b")).rejects.toMatchObject({ code: "pack_manifest.invalid_pack_id" });
  });

  test("T5 My-Pack beside an approved my_pack is a look-alike, the old one runs on", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    await home.putPack("my_pack", hello);
    await home.approvals.approve("my_pack", { actor });
    await home.putPack("My-Pack", hello);
    expect(await home.approvals.status("My-Pack")).toMatchObject({ status: "error", reason: "pack_manifest.lookalike" });
    await expect(home.approvals.approve("My-Pack", { actor })).rejects.toMatchObject({ code: "pack_manifest.lookalike" });
    expect(home.approvals.gate("my_pack" as PackId)).toMatchObject({ allowed: true });
    await home.approvals.reject("My-Pack", { actor });
    await expect(home.approvals.approve("My-Pack", { actor, unblock: true })).rejects.toMatchObject({ code: "pack_manifest.lookalike" });
    await writeFile(join(home.ecosystem, "my_pack/new.txt"), "");
    expect(await home.approvals.approve("my_pack", { actor })).toMatchObject({ status: "approved" });
  });

  test("T21 a stale expected_digest is digest_moved and changes nothing", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const live = await home.putPack("p", hello);
    const { digest } = await home.approvals.review("p");
    await writeFile(join(live, "blocks/hello.py"), "evil");
    await expect(home.approvals.approve("p", { actor, expected_digest: digest })).rejects.toMatchObject({
      code: "approval.digest_moved",
      remedy: "rumi pack review p",
    });
    expect(await home.approvals.status("p")).toMatchObject({ status: "installed", approved_digest: null });
    expect(await readdir(join(home.userData, "packs/p/snapshots"))).toEqual([]);
    const fresh = await home.approvals.review("p");
    expect(await home.approvals.approve("p", { actor, expected_digest: fresh.digest })).toMatchObject({ digest: fresh.digest });
  });

  test("approving the same bytes again is a no-op; approving other bytes moves the digest", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const live = await home.putPack("p", hello);
    const first = await home.approvals.approve("p", { actor });
    expect((await home.approvals.approve("p", { actor })).digest).toBe(first.digest);
    expect(home.actions("approval")).toEqual(["approve"]);
    await writeFile(join(live, "blocks/hello.py"), "2");
    const second = await home.approvals.approve("p", { actor, notes: "looked at it" });
    expect(second.digest).not.toBe(first.digest);
    expect(home.approvals.gate(p, first.digest)).toMatchObject({ allowed: false, code: "approval.digest_moved" });
    expect(home.approvals.gate(p, second.digest)).toMatchObject({ allowed: true });
  });

  test("without audit nothing changes: no approval, no rejection, no switch", async () => {
    await using folder = await temporaryFolder();
    let broken = true;
    const record = (): Promise<void> => (broken ? Promise.reject(new RumiError("audit.unavailable", "disk full")) : Promise.resolve());
    await using home = await openTestApprovals(folder.path, { deps: { audit: { record } } });
    await home.putPack("p", hello);
    await expect(home.approvals.approve("p", { actor })).rejects.toMatchObject({ code: "audit.unavailable" });
    await expect(home.approvals.reject("p", { actor })).rejects.toMatchObject({ code: "audit.unavailable" });
    await expect(home.approvals.disable("p", actor)).rejects.toMatchObject({ code: "audit.unavailable" });
    expect(await home.approvals.status("p")).toMatchObject({ status: "installed", enabled: true });
    expect(await readdir(join(home.userData, "packs/p/snapshots"))).toEqual([]);
    expect(await readdir(join(home.userData, "permissions"))).not.toContain("disabled_packs.json");
    broken = false;
    expect(await home.approvals.approve("p", { actor })).toMatchObject({ status: "approved" });
  });

  test("T25 a blocked or changed parent refuses its child; an absent parent only groups", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const child = "a__b" as PackId;
    await home.putPack("a__b", hello);
    await home.approvals.approve("a__b", { actor });
    expect(home.approvals.gate(child)).toMatchObject({ allowed: true });
    await home.putPack("a", hello);
    await home.approvals.status("a");
    expect(home.approvals.gate(child)).toMatchObject({
      allowed: false,
      code: "approval.ancestor_not_approved",
      remedy: "rumi pack review a",
    });
    const changes: PackChange[] = [];
    home.approvals.onChange((change) => void changes.push(change));
    await home.approvals.approve("a", { actor });
    expect(home.approvals.gate(child)).toMatchObject({ allowed: true });
    expect(changes).toMatchObject([
      { pack_id: "a", status: "approved" },
      { pack_id: "a__b", status: "approved", reason: "ancestor" },
    ]);
    await home.approvals.reject("a", { actor });
    expect(changes.slice(2)).toMatchObject([
      { pack_id: "a", status: "blocked", digest: null },
      { pack_id: "a__b", status: "approved", digest: null },
    ]);
    expect(home.approvals.gate(child)).toMatchObject({ allowed: false, code: "approval.ancestor_not_approved", because: "ancestor" });
    expect(await home.approvals.status("a__b")).toMatchObject({ status: "approved" });
    await rm(join(home.ecosystem, "a"), { recursive: true });
    await home.approvals.pending();
    expect(home.approvals.gate(child)).toMatchObject({ allowed: false, code: "approval.ancestor_not_approved" });
  });

  test("a disabled pack keeps its digest and is refused until it is enabled", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    await home.putPack("p", hello);
    const { digest } = await home.approvals.approve("p", { actor });
    const changes: PackChange[] = [];
    home.approvals.onChange((change) => void changes.push(change));
    expect(await home.approvals.disable("p", actor)).toEqual({ enabled: false });
    expect(changes).toEqual([{ pack_id: "p", status: "approved", reason: "disable", digest: null }]);
    expect(home.approvals.gate(p)).toMatchObject({ allowed: false, code: "approval.disabled", remedy: "rumi pack enable p" });
    expect(await home.approvals.status("p")).toMatchObject({ status: "approved", enabled: false, approved_digest: digest });
    expect(home.approvals.approved()).toEqual([]);
    expect(await home.approvals.enable("p", actor)).toEqual({ enabled: true });
    expect(home.approvals.gate(p)).toMatchObject({ allowed: true });
    await expect(home.approvals.disable("none", actor)).rejects.toMatchObject({ code: "approval.pack_not_found" });
    expect(home.actions("approval")).toEqual(["approve", "disable", "enable", "disable"]);
  });

  test("a runtime of its own needs the yes of a rule pack", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    await home.putPack("p", { "ecosystem.json": JSON.stringify({ pack_id: "p", pack_identity: "github:a/p", runtime_type: "ruby" }) });
    await home.approvals.approve("p", { actor });
    expect(home.approvals.gate(p)).toMatchObject({ allowed: false, code: "approval.rule_not_approved" });
  });

  test("two approvals of one pack at once end in one of the two, whole", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    await home.putPack("p", hello);
    const answers = await Promise.all([
      home.approvals.approve("p", { actor }),
      home.approvals.approve("p", { actor }),
      home.approvals.review("p"),
    ]);
    expect(new Set(answers.map((answer) => answer.digest)).size).toBe(1);
    expect(home.approvals.gate(p)).toMatchObject({ allowed: true });
  });
});

describe("after an approval", () => {
  test("T17 an added file, folder, cache or executable bit is a modification", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const edits: ((root: string) => Promise<unknown>)[] = [
      (root) => writeFile(join(root, "x.pyc"), ""),
      async (root) => {
        await mkdir(join(root, ".git"));
        await writeFile(join(root, ".git/x"), "");
      },
      (root) => mkdir(join(root, "empty")),
      (root) => chmod(join(root, "blocks/hello.py"), 0o755),
      (root) => rm(join(root, "blocks/hello.py")),
      (root) => rename(join(root, "blocks/hello.py"), join(root, "blocks/Hello.py")),
    ];
    for (const [index, edit] of edits.entries()) {
      const id = `p${index}`;
      const root = await home.putPack(id, hello);
      await home.approvals.approve(id, { actor });
      await edit(root);
      expect(await home.approvals.status(id)).toMatchObject({ status: "modified", reason: "changed" });
      expect(home.approvals.gate(id as PackId)).toMatchObject({ allowed: false, code: "approval.modified" });
    }
  });

  test("T22 bytes that come back stay modified; a new approval uses the same snapshot again", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const root = await home.putPack("p", hello);
    const { digest } = await home.approvals.approve("p", { actor });
    await writeFile(join(root, "blocks/hello.py"), "evil");
    expect(await home.approvals.status("p")).toMatchObject({ status: "modified" });
    await writeFile(join(root, "blocks/hello.py"), hello["blocks/hello.py"]);
    expect(await home.approvals.status("p")).toMatchObject({ status: "modified", live_digest: digest, approved_digest: digest });
    expect(home.approvals.gate(p)).toMatchObject({ allowed: false, code: "approval.modified" });
    expect((await home.approvals.approve("p", { actor })).digest).toBe(digest);
    expect(home.approvals.gate(p, digest)).toMatchObject({ allowed: true });
    expect((await readdir(join(home.userData, "packs/p/snapshots"))).sort()).toEqual([
      digestHex(digest),
      `${digestHex(digest)}.files.json`,
    ]);
  });

  test("a touch that leaves every byte as it was changes nothing", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const root = await home.putPack("p", hello);
    await home.approvals.approve("p", { actor });
    await writeFile(join(root, "blocks/hello.py"), hello["blocks/hello.py"]);
    expect(await home.approvals.status("p")).toMatchObject({ status: "approved" });
  });

  test("T23 a blocked pack stays blocked after an edit and a restart; only unblock approves it", async () => {
    await using folder = await temporaryFolder();
    {
      await using home = await openTestApprovals(folder.path);
      const root = await home.putPack("p", hello);
      await home.approvals.reject("p", { actor, reason: "phones home" });
      await writeFile(join(root, "blocks/hello.py"), "other");
      expect(await home.approvals.status("p")).toMatchObject({ status: "blocked", reason: "phones home" });
    }
    await using home = await openTestApprovals(folder.path);
    expect(await home.approvals.status("p")).toMatchObject({ status: "blocked", reason: "phones home" });
    expect(home.approvals.gate(p)).toMatchObject({ allowed: false, code: "approval.blocked", remedy: "rumi pack approve p --unblock" });
    await expect(home.approvals.approve("p", { actor })).rejects.toMatchObject({
      code: "approval.blocked",
      remedy: "rumi pack approve p --unblock",
    });
    await rm(join(home.ecosystem, "p"), { recursive: true });
    expect(await home.approvals.status("p")).toMatchObject({ status: "blocked" });
    await home.putPack("p", hello);
    expect(await home.approvals.approve("p", { actor, unblock: true })).toMatchObject({ status: "approved" });
    expect(home.actions("approval")).toEqual(["approve", "unblock", "approve"]);
  });

  test("T24 a modified pack is not approved; approved again it is allowed, also after a restart", async () => {
    await using folder = await temporaryFolder();
    {
      await using home = await openTestApprovals(folder.path);
      const root = await home.putPack("p", hello);
      await home.approvals.approve("p", { actor });
      await writeFile(join(root, "blocks/hello.py"), "2");
      await home.approvals.status("p");
    }
    {
      await using home = await openTestApprovals(folder.path);
      const gate = home.approvals.gate(p);
      expect(gate).toMatchObject({ allowed: false, code: "approval.modified" });
      expect(gate.allowed ? "" : gate.reason).toMatch(/^Pack is not approved/u);
      await home.approvals.approve("p", { actor });
    }
    await using home = await openTestApprovals(folder.path);
    expect(home.approvals.gate(p)).toMatchObject({ allowed: true });
  });

  test("an edit made while nothing ran is found at the start", async () => {
    await using folder = await temporaryFolder();
    {
      await using home = await openTestApprovals(folder.path);
      await home.putPack("p", hello);
      await home.approvals.approve("p", { actor });
    }
    await writeFile(join(folder.path, "ecosystem/p/blocks/hello.py"), "x");
    await using home = await openTestApprovals(folder.path);
    expect(home.approvals.gate(p)).toMatchObject({ allowed: false, code: "approval.modified" });
    expect(home.actions("approval")).toEqual(["modified"]);
  });

  test("a folder that goes is modified `missing` when it was approved, and forgotten when it was not", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    await home.putPack("p", hello);
    await home.putPack("q", hello);
    await home.approvals.approve("p", { actor });
    await home.approvals.scan();
    for (const id of ["p", "q"]) await rename(join(home.ecosystem, id), join(folder.path, id));
    expect(await home.approvals.status("p")).toMatchObject({ status: "modified", reason: "missing" });
    await expect(home.approvals.status("q")).rejects.toMatchObject({ code: "approval.pack_not_found", remedy: "rumi pack list" });
    await expect(home.approvals.approve("p", { actor })).rejects.toMatchObject({ code: "approval.pack_not_found" });
  });

  test("T27 the current snapshot, three earlier ones and one in use stay; the fifth unused goes", async () => {
    await using folder = await temporaryFolder();
    const used = new Set<Digest>();
    await using home = await openTestApprovals(folder.path, { deps: { facts: { digestsInUse: () => used } } });
    const root = await home.putPack("p", hello);
    const digests: Digest[] = [];
    for (let version = 0; version < 6; version += 1) {
      await writeFile(join(root, "v"), `${version}`);
      digests.push((await home.approvals.approve("p", { actor })).digest);
      if (version === 0) for (const digest of digests) used.add(digest);
    }
    const folders = (await readdir(join(home.userData, "packs/p/snapshots"))).filter((name) => !name.endsWith(".json"));
    const expected = digests.filter((_, index) => index !== 1).map(digestHex);
    expect(folders.sort()).toEqual(expected.sort());
    expect(home.actions("system")).toEqual(["gc"]);
  });

  test("T27 what a stopped daemon left half made is removed at the start", async () => {
    await using folder = await temporaryFolder();
    {
      await using home = await openTestApprovals(folder.path);
      await home.putPack("p", hello);
      await home.approvals.approve("p", { actor });
      await mkdir(join(home.userData, "packs/p/snapshots/.staging-0"), { mode: 0o700 });
    }
    await using home = await openTestApprovals(folder.path);
    expect((await readdir(join(home.userData, "packs/p/snapshots"))).some((name) => name.startsWith("."))).toBe(false);
    expect(home.approvals.gate(p)).toMatchObject({ allowed: true });
  });
});

describe("the bundled example", () => {
  test("T104 is approved in a fresh home for exactly its digest, audited as bundled", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const root = await home.putPack("p", hello);
    const { digest } = await hashTree(root);
    await expect(home.approvals.approveBundled("p", `sha256:${"1".repeat(64)}` as Digest)).rejects.toMatchObject({
      code: "approval.digest_moved",
    });
    expect(await home.approvals.status("p")).toMatchObject({ status: "installed" });
    expect(await home.approvals.approveBundled("p", digest)).toMatchObject({ status: "approved", digest });
    expect(home.actions("approval")).toEqual(["bundled", "bundled"]);
    expect(home.audit.events.at(-1)).toMatchObject({ action: "bundled", success: true, details: { digest } });
    expect(await home.approvals.status("p")).toMatchObject({ origin: "bundled" });
  });

  test("T104 a home with a record keeps it installed", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const { digest } = await hashTree(await home.putPack("p", hello));
    await home.putPack("q", hello);
    await home.approvals.reject("q", { actor });
    await expect(home.approvals.approveBundled("p", digest)).rejects.toMatchObject({ code: "approval.not_approved" });
    expect(await home.approvals.status("p")).toMatchObject({ status: "installed" });
  });
});

test("a review reads nothing into the home and leaves nothing there", async () => {
  await using folder = await temporaryFolder();
  await using home = await openTestApprovals(folder.path);
  await home.putPack("p", hello);
  await home.approvals.review("p");
  expect(await readdir(join(home.userData, "packs/p/snapshots"))).toEqual([]);
  expect(await readFile(join(home.ecosystem, "p/blocks/hello.py"), "utf8")).toBe(hello["blocks/hello.py"]);
});

test("what is wrong with a folder of packs is reported when it comes and when it goes, not at every look", async () => {
  await using folder = await temporaryFolder();
  await using home = await openTestApprovals(folder.path, { pollMs: 3_600_000 });
  await symlink(folder.path, join(home.ecosystem, "linked"));
  const reports = (): unknown[] => home.diagnostics.reports.filter((report) => report.kind === "pack_folder");
  for (let n = 0; n < 3; n += 1) await home.approvals.pending();
  expect(reports()).toMatchObject([{ id: "linked", status: "degraded" }]);
  await rm(join(home.ecosystem, "linked"));
  for (let n = 0; n < 3; n += 1) await home.approvals.pending();
  expect(reports()).toMatchObject([{ status: "degraded" }, { id: "linked", status: "ok" }]);
});
