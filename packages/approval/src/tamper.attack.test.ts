import { execFile } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { chmod, link, mkdir, open, readFile, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { digestHex } from "@rumi/core";
import type { PackId } from "@rumi/core";
import { hashTree } from "@rumi/safe-files";
import { temporaryFolder } from "@rumi/testkit";
import { describe, expect, test } from "vitest";
import type { PackChange } from "./change-board.ts";
import { openTestApprovals } from "./testing/open-test-approvals.ts";
import type { TestApprovals } from "./testing/open-test-approvals.ts";

const actor = "token:test";
const p = "p" as PackId;
const hello = { "blocks/hello.py": "def run(input_data):\n    return 1\n" };

/** Resolves with the first change that `wanted` takes. */
function nextChange(home: TestApprovals, wanted: (change: PackChange) => boolean): Promise<PackChange> {
  return new Promise((resolve) => {
    const stop = home.approvals.onChange((change) => {
      if (!wanted(change)) return;
      stop();
      resolve(change);
    });
  });
}

async function flipBit(path: string, byte: number, bit: number): Promise<void> {
  await using file = await open(path, "r+");
  const buffer = Buffer.alloc(1);
  await file.read(buffer, 0, 1, byte);
  buffer[0] = (buffer[0] ?? 0) ^ (1 << bit);
  await file.write(buffer, 0, 1, byte);
}

describe("edits under ecosystem/", () => {
  test(
    "T19 10,000 random bit flips: none has the approved digest, the gate refuses, the snapshot keeps the approved bytes",
    { timeout: 180_000 },
    async () => {
      await using folder = await temporaryFolder();
      await using home = await openTestApprovals(folder.path, { pollMs: 3_600_000 });
      const root = await home.putPack("p", {});
      await mkdir(join(root, "blocks"));
      await writeFile(join(root, "blocks/b.py"), randomBytes(3000));
      const files = ["ecosystem.json", "blocks/b.py"];
      const sizes = new Map<string, number>();
      for (const file of files) sizes.set(file, (await readFile(join(root, file))).length);
      const { digest } = await home.approvals.approve("p", { actor });
      const snapshot = join(home.userData, "packs/p/snapshots", digestHex(digest));
      const unseen: string[] = [];
      for (let flip = 0; flip < 10_000; flip += 1) {
        const file = files[randomInt(files.length)] ?? "ecosystem.json";
        const byte = randomInt(sizes.get(file) ?? 1);
        const bit = randomInt(8);
        await flipBit(join(root, file), byte, bit);
        if ((await hashTree(root)).digest === digest) unseen.push(`${file} ${byte} ${bit}`);
        const whole = flip % 50 === 0;
        if (whole) {
          const { status } = await home.approvals.status("p");
          if (status !== "modified" || home.approvals.gate(p).allowed || home.approvals.gate(p, digest).allowed)
            unseen.push(`gate ${flip}`);
        }
        await flipBit(join(root, file), byte, bit);
        if (whole && (await home.approvals.approve("p", { actor })).digest !== digest) unseen.push(`approve ${flip}`);
      }
      expect(unseen).toEqual([]);
      expect((await hashTree(snapshot)).digest).toBe(digest);
    },
  );

  test("an edit closes the gate by itself, and listeners hear of it", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path, { pollMs: 3_600_000 });
    const root = await home.putPack("p", hello);
    await home.approvals.approve("p", { actor });
    const heard = nextChange(home, (change) => change.status === "modified");
    await flipBit(join(root, "blocks/hello.py"), 3, 1);
    expect(await heard).toEqual({ pack_id: "p", status: "modified", digest: null, reason: "changed" });
    expect(home.approvals.gate(p)).toMatchObject({ allowed: false, code: "approval.modified", remedy: "rumi pack review p" });
    expect(home.actions("approval")).toEqual(["approve", "modified"]);
  });

  test("an edit in a folder made after the approval, or of a pack put in later, is heard too", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path, { pollMs: 3_600_000 });
    const heard = nextChange(home, (change) => change.pack_id === "late" && change.status === "installed");
    const root = await home.putPack("late", hello);
    expect((await heard).status).toBe("installed");
    await home.approvals.approve("late", { actor });
    const closed = nextChange(home, (change) => change.pack_id === "late" && change.status === "modified");
    await mkdir(join(root, "a/b/c"), { recursive: true });
    await closed;
    await home.approvals.approve("late", { actor });
    const again = nextChange(home, (change) => change.pack_id === "late" && change.status === "modified");
    await writeFile(join(root, "a/b/c/d.py"), "");
    await again;
    expect(home.approvals.gate("late" as PackId).allowed).toBe(false);
  });

  test("what no watch reports is seen by the poll", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path, { pollMs: 20 });
    const root = await home.putPack("p", hello);
    await home.approvals.approve("p", { actor });
    const heard = nextChange(home, (change) => change.status === "modified");
    // A second name outside, then a write through it: no event names the pack's folder.
    await link(join(root, "blocks/hello.py"), join(folder.path, "outside.py"));
    await writeFile(join(folder.path, "outside.py"), "evil");
    expect((await heard).reason).toBe("tree_unsafe");
  });

  test("T20 a file swapped while approvals run: every snapshot holds exactly the bytes of its digest", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path, { pollMs: 3_600_000 });
    const root = await home.putPack("p", {
      ...hello,
      ...Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`lib/${index}.py`, "x".repeat(2000)])),
    });
    let swapping = true;
    const swapper = (async (): Promise<void> => {
      for (let turn = 0; swapping; turn += 1) {
        await writeFile(join(folder.path, "next.py"), `turn ${turn}`);
        await rename(join(folder.path, "next.py"), join(root, `lib/${turn % 40}.py`));
      }
    })();
    for (let round = 0; round < 15; round += 1) {
      await home.approvals.approve("p", { actor }).catch((error: unknown) => expect(error).toMatchObject({ code: "approval.tree_unsafe" }));
    }
    swapping = false;
    await swapper;
    await home.approvals.approve("p", { actor });
    const snapshots = join(home.userData, "packs/p/snapshots");
    const names = (await readdir(snapshots)).filter((name) => !name.endsWith(".json"));
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect((await hashTree(join(snapshots, name))).digest).toBe(`sha256:${name}`);
  });
});

describe("trees that cannot be approved", () => {
  const spoil: Record<string, (root: string, outside: string) => Promise<unknown>> = {
    link: (root) => symlink("/etc/passwd", join(root, "x")),
    "folder link": (root) => symlink("/etc", join(root, "etc")),
    fifo: (root) => promisify(execFile)("mkfifo", [join(root, "pipe")]),
    "outside hard link": (root, outside) => link(outside, join(root, "hard")),
    "colliding names": async (root) => {
      await writeFile(join(root, "A"), "");
      await writeFile(join(root, "a"), "");
    },
    "decomposed name": (root) => writeFile(join(root, "e\u0301"), ""),
  };
  test.each(Object.keys(spoil))("T18 a %s is tree_unsafe, before and after an approval", async (name) => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const outside = join(folder.path, "outside");
    await writeFile(outside, "");
    const fresh = await home.putPack("fresh", hello);
    const old = await home.putPack("old", hello);
    await home.approvals.approve("old", { actor });
    for (const root of [fresh, old]) await spoil[name]?.(root, outside);
    expect(await home.approvals.status("fresh")).toMatchObject({ status: "error", reason: "approval.tree_unsafe" });
    await expect(home.approvals.approve("fresh", { actor })).rejects.toMatchObject({
      code: "approval.tree_unsafe",
      remedy: "rumi pack validate",
    });
    await expect(home.approvals.review("fresh")).rejects.toMatchObject({ code: "approval.tree_unsafe" });
    expect(await home.approvals.status("old")).toMatchObject({ status: "modified", reason: "tree_unsafe" });
    await expect(home.approvals.approve("old", { actor })).rejects.toMatchObject({ code: "approval.tree_unsafe" });
    expect(home.approvals.gate("old" as PackId).allowed).toBe(false);
    expect(await readdir(join(home.userData, "packs/fresh/snapshots"))).toEqual([]);
  });

  test("a pack folder that is a link is no pack", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    const real = await home.putPack("p", hello);
    await rename(real, join(folder.path, "p"));
    await symlink(join(folder.path, "p"), real);
    await expect(home.approvals.approve("p", { actor })).rejects.toMatchObject({ code: "approval.pack_not_found" });
    await home.approvals.scan();
    expect(home.diagnostics.reports).toMatchObject([{ kind: "pack_folder", id: "p", code: "pack_manifest.link_ignored" }]);
  });
});

describe("edits under user_data/", () => {
  test("T26 a changed byte in the snapshot is snapshot_corrupt: found before an instance starts, and at the start", async () => {
    await using folder = await temporaryFolder();
    const spoilSnapshot = async (root: string): Promise<void> => {
      await chmod(join(root, "blocks/hello.py"), 0o644);
      await flipBit(join(root, "blocks/hello.py"), 0, 0);
      await chmod(join(root, "blocks/hello.py"), 0o444);
    };
    {
      await using home = await openTestApprovals(folder.path);
      await home.putPack("p", hello);
      const { digest } = await home.approvals.approve("p", { actor });
      const gate = home.approvals.gate(p);
      if (!gate.allowed) throw new Error(gate.reason);
      await spoilSnapshot(gate.root);
      const heard = nextChange(home, (change) => change.status === "modified");
      expect(await home.approvals.verifySnapshot(p, digest)).toMatchObject({
        allowed: false,
        code: "approval.snapshot_corrupt",
        remedy: "rumi pack review p",
      });
      expect(await heard).toMatchObject({ reason: "snapshot_corrupt" });
      expect(home.approvals.gate(p)).toMatchObject({ allowed: false, code: "approval.snapshot_corrupt" });
      expect(await home.approvals.approve("p", { actor })).toMatchObject({ digest });
      expect((await hashTree(gate.root)).digest).toBe(digest);
      await spoilSnapshot(gate.root);
    }
    await using home = await openTestApprovals(folder.path);
    expect(await home.approvals.status("p")).toMatchObject({ status: "modified", reason: "snapshot_corrupt" });
    expect(home.approvals.gate(p).allowed).toBe(false);
  });

  test("T26 damage found while an approval mends the snapshot does not close the mended pack", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path, { pollMs: 3_600_000 });
    const root = await home.putPack("p", hello);
    const { digest } = await home.approvals.approve("p", { actor });
    const file = join(home.userData, "packs/p/snapshots", digestHex(digest), "blocks/hello.py");
    await chmod(file, 0o644);
    await writeFile(file, "evil");
    await writeFile(join(root, "new"), "");
    await home.approvals.status("p");
    await rm(join(root, "new"));
    const [answer] = await Promise.all([home.approvals.approve("p", { actor }), home.approvals.verifySnapshot(p, digest)]);
    expect(answer).toMatchObject({ status: "approved", digest });
    expect(home.approvals.gate(p, digest)).toMatchObject({ allowed: true });
    expect(await home.approvals.verifySnapshot(p, digest)).toEqual({ allowed: true });
  });

  test("T26 a snapshot without its signed list, or without its folder, is corrupt", async () => {
    await using folder = await temporaryFolder();
    {
      await using home = await openTestApprovals(folder.path);
      for (const id of ["p", "q"]) await home.putPack(id, hello);
      const { digest } = await home.approvals.approve("p", { actor });
      await rm(join(home.userData, "packs/p/snapshots", `${digestHex(digest)}.files.json`));
      const other = await home.approvals.approve("q", { actor });
      await rename(join(home.userData, "packs/q/snapshots", digestHex(other.digest)), join(folder.path, "taken"));
    }
    await using home = await openTestApprovals(folder.path);
    for (const id of ["p", "q"]) expect(await home.approvals.status(id)).toMatchObject({ status: "modified", reason: "snapshot_corrupt" });
    expect(await home.approvals.approve("p", { actor })).toMatchObject({ status: "approved" });
    expect(await home.approvals.verifySnapshot(p, (await home.approvals.status("p")).approved_digest ?? ("" as never))).toEqual({
      allowed: true,
    });
  });

  test("T12 the deleted record of a blocked pack is tampered, not new", async () => {
    await using folder = await temporaryFolder();
    {
      await using home = await openTestApprovals(folder.path);
      await home.putPack("p", hello);
      await home.approvals.reject("p", { actor });
      await rm(join(home.userData, "permissions/approvals/p.json"));
    }
    await using home = await openTestApprovals(folder.path);
    expect(await home.approvals.status("p")).toMatchObject({ status: "modified", reason: "record_tampered" });
    expect(home.audit.events).toMatchObject([{ category: "security", severity: "critical", action: "record_tampered", owner_pack: "p" }]);
    expect(home.approvals.gate(p)).toMatchObject({ allowed: false, code: "approval.modified" });
  });

  test("T12 the deleted record of a blocked parent, its folder gone too, still closes its child and keeps the bundled example out", async () => {
    await using folder = await temporaryFolder();
    {
      await using home = await openTestApprovals(folder.path);
      await home.putPack("p", hello);
      await home.putPack("p__child", hello);
      await home.approvals.approve("p__child", { actor });
      await home.approvals.reject("p", { actor });
      await rm(join(home.userData, "permissions/approvals/p.json"));
      await rm(join(home.ecosystem, "p"), { recursive: true });
    }
    await using home = await openTestApprovals(folder.path);
    expect(home.approvals.gate("p__child" as PackId)).toMatchObject({ allowed: false, code: "approval.ancestor_not_approved" });
    expect(home.approvals.list()).toMatchObject([
      { pack_id: "p", status: "modified" },
      { pack_id: "p__child", status: "approved" },
    ]);
  });

  test("T104 deleting every record makes no fresh home: the bundled example stays installed", async () => {
    await using folder = await temporaryFolder();
    {
      await using home = await openTestApprovals(folder.path);
      await home.putPack("p", hello);
      await home.approvals.reject("p", { actor });
      await rm(join(home.userData, "permissions/approvals"), { recursive: true });
      await rm(join(home.ecosystem, "p"), { recursive: true });
    }
    await using home = await openTestApprovals(folder.path);
    const root = await home.putPack("example", hello);
    const { digest } = await hashTree(root);
    await expect(home.approvals.approveBundled("example", digest)).rejects.toMatchObject({ code: "approval.not_approved" });
  });

  test("T13 a blocked record without its signature is modified, and never approves itself", async () => {
    await using folder = await temporaryFolder();
    const record = join(folder.path, "user_data/permissions/approvals/p.json");
    {
      await using home = await openTestApprovals(folder.path);
      await home.putPack("p", { "ecosystem.json": JSON.stringify({ pack_id: "p", pack_identity: "local:p" }) });
      await home.approvals.reject("p", { actor });
      const { _sig, ...unsigned } = JSON.parse(await readFile(record, "utf8")) as Record<string, unknown>;
      expect(_sig).toBeDefined();
      await writeFile(record, JSON.stringify(unsigned));
    }
    await using home = await openTestApprovals(folder.path, {
      dev: { development: false, autoApproveLocal: false, permissive: false, devHome: true },
    });
    expect(await home.approvals.status("p")).toMatchObject({ status: "modified", reason: "record_tampered" });
    expect(await home.approvals.approve("p", { actor })).toMatchObject({ status: "approved" });
    expect(home.actions("approval")).toEqual(["approve"]);
  });

  test("T11 an approved record put back after a rejection counts for nothing", async () => {
    await using folder = await temporaryFolder();
    {
      await using home = await openTestApprovals(folder.path);
      await home.putPack("p", hello);
      await home.approvals.approve("p", { actor });
      const record = join(home.userData, "permissions/approvals/p.json");
      const old = await readFile(record);
      await home.approvals.reject("p", { actor });
      await writeFile(record, old);
    }
    await using home = await openTestApprovals(folder.path);
    expect(await home.approvals.status("p")).toMatchObject({ status: "modified", reason: "record_tampered" });
    expect(home.approvals.gate(p).allowed).toBe(false);
  });

  test("a record spoiled while the daemon runs closes the pack at the next scan", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path);
    await home.putPack("p", hello);
    await home.approvals.approve("p", { actor });
    await rm(join(home.userData, "permissions/approvals/p.json"));
    expect(await home.approvals.scan()).toMatchObject({ scanned: 1, changed: ["p"] });
    expect(home.approvals.gate(p)).toMatchObject({ allowed: false, code: "approval.modified" });
    expect(await home.approvals.approve("p", { actor })).toMatchObject({ status: "approved" });
  });

  test("T105 the deleted list of disabled packs disables every pack, until one is enabled", async () => {
    await using folder = await temporaryFolder();
    {
      await using home = await openTestApprovals(folder.path);
      for (const id of ["p", "q", "r"]) {
        await home.putPack(id, hello);
        await home.approvals.approve(id, { actor });
      }
      await home.approvals.disable("q", actor);
      await rm(join(home.userData, "permissions/disabled_packs.json"));
    }
    await using home = await openTestApprovals(folder.path);
    expect(home.approvals.list().map((pack) => pack.enabled)).toEqual([false, false, false]);
    expect(home.approvals.approved()).toEqual([]);
    expect(home.approvals.gate(p)).toMatchObject({ allowed: false, code: "approval.disabled" });
    await home.approvals.enable("p", actor);
    expect(home.approvals.list().map((pack) => pack.enabled)).toEqual([true, false, false]);
  });
});
