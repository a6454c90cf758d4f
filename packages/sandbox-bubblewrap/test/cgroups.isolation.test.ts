import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { contractFile, inScene, testId } from "@rumi/sandbox/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { FolderCgroups, layoutV2 } from "../src/cgroup-folders.ts";
import { findCgroups } from "../src/find-cgroups.ts";
import { bubblewrapHarness } from "./bubblewrap-harness.ts";

const ROOT = "/sys/fs/cgroup";

/** Where this machine shows version 2: alone, or beside version 1. */
const V2 = existsSync(join(ROOT, "cgroup.controllers")) ? ROOT : join(ROOT, "unified");

const LIMITS = { memory_bytes: 64 * 1024 * 1024, cpus: 0.5, pids: 20, tmp_bytes: 0 };

test("X19 the limits of an instance stand in its control group: memory with swap, processes, processor time", async () => {
  const harness = await bubblewrapHarness();
  await inScene(
    () => Promise.resolve(harness),
    async (s) => {
      const instance = await s.start("python", { limits: { ...LIMITS, tmp_bytes: 1024 * 1024 } });
      const groups = await harness.groups();
      const read = async (name: string): Promise<string[]> => {
        const texts = await Promise.all(groups.map((folder) => readFile(join(folder, name), "latin1").catch(() => null)));
        return texts.filter((text) => text !== null).map((text) => text.trim());
      };
      expect(await s.value(instance, contractFile("echo", "python"), 1)).toEqual({ input: 1, run_id: null });
      expect([...(await read("memory.max")), ...(await read("memory.limit_in_bytes"))]).toContain("67108864");
      expect(await read("pids.max")).toContain("21");
      expect([...(await read("cpu.max")), ...(await read("cpu.cfs_quota_us"))].map((text) => text.split(" ")[0])).toContain("50000");
    },
  );
});

test("a group of version 2 freezes, thaws, and ends with everything in it", async () => {
  const base = join(V2, `rumi-test-${testId()}`);
  await mkdir(base);
  try {
    const groups = new FolderCgroups(layoutV2(base, ["memory", "pids", "cpu", "swap"]));
    const id = testId();
    const group = await groups.create(id, LIMITS);
    const child = spawn("/bin/sh", ["-c", 'echo $$ > "$1"; sleep 60 & wait', "sh", group.joinFiles[0] ?? ""], { stdio: "ignore" });
    const ended = new Promise((resolve) => child.once("exit", (_code, signal) => resolve(signal)));
    while ((await group.pids()).length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await groups.held()).toEqual([id]);
    await group.freeze();
    expect(await readFile(join(base, id, "cgroup.freeze"), "latin1")).toBe("1\n");
    await group.thaw();
    expect(await readFile(join(base, id, "cgroup.freeze"), "latin1")).toBe("0\n");
    await group.freeze();
    expect(await groups.open(id).remove()).toBe(true);
    expect(await ended).toBe("SIGKILL");
    expect(await groups.held()).toEqual([]);
  } finally {
    await rmdir(base);
  }
});

test("X85 a folder that is none of the kernel's limits nothing, and is told so", async () => {
  await using folder = await temporaryFolder();
  for (const place of [folder.path, join(folder.path, "absent")]) {
    const groups = await findCgroups({ root: place, installation: testId(), own: null, user: null });
    expect(groups.missing).toEqual(expect.arrayContaining(["memory", "pids", "cpu"]));
    expect((await groups.create(testId(), LIMITS)).joinFiles).toEqual([]);
  }
});
