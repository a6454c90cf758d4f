import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PackId } from "@rumi/core";
import { temporaryFolder } from "@rumi/testkit";
import { describe, expect, test } from "vitest";
import { isDevApprovalOn, mayApproveItself, NO_DEV_APPROVAL } from "./dev-approval.ts";
import type { DevApproval } from "./dev-approval.ts";
import { openTestApprovals } from "./testing/open-test-approvals.ts";

const actor = "token:test";
const devHome: DevApproval = { ...NO_DEV_APPROVAL, devHome: true };
const development: DevApproval = { development: true, autoApproveLocal: true, permissive: true, devHome: false };
const local = (id: string): Record<string, string> => ({ "ecosystem.json": JSON.stringify({ pack_id: id, pack_identity: `local:${id}` }) });

describe("packs that approve themselves", () => {
  test("T29 only in development with its variable and permissive mode, or in a dev home", () => {
    expect(isDevApprovalOn(NO_DEV_APPROVAL)).toBe(false);
    expect(isDevApprovalOn(devHome)).toBe(true);
    expect(isDevApprovalOn(development)).toBe(true);
    for (const missing of ["development", "autoApproveLocal", "permissive"] as const) {
      expect(isDevApprovalOn({ ...development, [missing]: false })).toBe(false);
    }
  });

  test("T29 never one that is foreign, imported, blocked, in error or tampered with", () => {
    const fine = { status: "installed", reason: null, pack_identity: "local:p", imported: false };
    expect(mayApproveItself(devHome, fine)).toBe(true);
    expect(mayApproveItself(devHome, { ...fine, status: "modified", reason: "changed" })).toBe(true);
    for (const wrong of [
      { pack_identity: "github:x/p" },
      { imported: true },
      { status: "blocked" },
      { status: "error" },
      { status: "modified", reason: "record_tampered" },
      { status: "modified", reason: "snapshot_corrupt" },
    ]) {
      expect(mayApproveItself(devHome, { ...fine, ...wrong })).toBe(false);
    }
    expect(mayApproveItself({ ...development, permissive: false }, fine)).toBe(false);
  });

  test("T29 packs that may not, wait for the operator", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path, {
      dev: development,
      deps: { facts: { isImported: (id) => id === "imported" } },
    });
    await home.putPack("imported", local("imported"));
    await home.putPack("foreign", {});
    await home.approvals.reject("imported", { actor });
    await home.putPack("fine", local("fine"));
    expect(await home.approvals.status("imported")).toMatchObject({ status: "blocked" });
    expect(await home.approvals.status("foreign")).toMatchObject({ status: "installed" });
    expect(await home.approvals.status("fine")).toMatchObject({ status: "approved", origin: "dev" });
  });

  test("T29 an edit is approved again by itself; without the rule at the next start the approval is void", async () => {
    await using folder = await temporaryFolder();
    {
      await using home = await openTestApprovals(folder.path, { dev: devHome });
      const root = await home.putPack("p", local("p"));
      const first = await home.approvals.status("p");
      await writeFile(join(root, "b.py"), "");
      const second = await home.approvals.status("p");
      expect(second).toMatchObject({ status: "approved", origin: "dev" });
      expect(second.approved_digest).not.toBe(first.approved_digest);
      expect(home.actions("approval")).toEqual(["dev_auto_approve", "modified", "dev_auto_approve"]);
      await home.putPack("q", local("q"));
      await rm(join(home.ecosystem, "q"), { recursive: true });
    }
    await using home = await openTestApprovals(folder.path);
    expect(await home.approvals.status("p")).toMatchObject({ status: "modified", reason: "dev_approval_void" });
    expect(home.approvals.gate("p" as PackId).allowed).toBe(false);
  });

  test("T27 of many versions approved by themselves only the current and three earlier snapshots stay", async () => {
    await using folder = await temporaryFolder();
    await using home = await openTestApprovals(folder.path, { dev: devHome });
    for (let n = 0; n < 7; n += 1) {
      await home.putPack("p", { ...local("p"), "a.py": String(n) });
      await home.approvals.scan();
    }
    const names = await readdir(join(home.userData, "packs/p/snapshots"));
    expect(names.filter((name) => /^[0-9a-f]{64}$/u.test(name))).toHaveLength(4);
  });

  test("T102 a local pack is approved in a dev home, in strict too; in another home it is installed", async () => {
    await using dev = await temporaryFolder();
    await using other = await temporaryFolder();
    await using devApprovals = await openTestApprovals(dev.path, { dev: devHome });
    await using approvals = await openTestApprovals(other.path);
    for (const home of [devApprovals, approvals]) await home.putPack("p", local("p"));
    expect(await devApprovals.approvals.status("p")).toMatchObject({ status: "approved" });
    expect(await approvals.approvals.status("p")).toMatchObject({ status: "installed" });
  });
});
