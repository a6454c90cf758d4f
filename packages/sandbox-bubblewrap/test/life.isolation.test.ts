import { spawn } from "node:child_process";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { silentLogger } from "@rumi/core/testing";
import { contractFile, inScene, SandboxScene, testId } from "@rumi/sandbox/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { InterpreterRoots } from "../src/interpreter-roots.ts";
import { bubblewrapHarness } from "./bubblewrap-harness.ts";
import type { BubblewrapHarness } from "./bubblewrap-harness.ts";

const ECHO = contractFile("echo", "python");
const HANGS = contractFile("hangs", "python");

function inBubblewrap(
  work: (scene: SandboxScene, harness: BubblewrapHarness) => Promise<void>,
  options: Parameters<typeof bubblewrapHarness>[0] = {},
): () => Promise<void> {
  return async () => {
    let harness: BubblewrapHarness | undefined;
    await inScene(
      async () => (harness = await bubblewrapHarness(options)),
      async (scene) => {
        if (harness !== undefined) await work(scene, harness);
      },
    );
  };
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits until nothing of `pids` is there. */
async function gone(pids: readonly number[]): Promise<void> {
  while (pids.some(isThere)) await new Promise((resolve) => setTimeout(resolve, 10));
}

test(
  "this machine is told with its version, its control groups and its interpreters",
  inBubblewrap(async (_s, { sandbox }) => {
    await sandbox.prepare(["python"]);
    const probe = await sandbox.probe({ fresh: true });
    expect(probe).toMatchObject({ available: true, adapter: "bubblewrap", isolation: "container", transport: "socket", weaknesses: [] });
    expect(probe.engine?.version).toMatch(/^\d+\.\d+/u);
    expect(probe.engine?.api).toMatch(/^cgroup v[12]$/u);
    expect(probe.runtimes.python).toMatchObject({ present: true, image_id: expect.stringMatching(/^sha256:/u) as unknown });
  }),
);

test("X8 without bubblewrap the probe answers with a remedy and a start is refused", async () => {
  await inBubblewrap(
    async (s, { sandbox }) => {
      expect(await sandbox.probe()).toMatchObject({ available: false, remedy: expect.stringContaining("bubblewrap-up") as unknown });
      await expect(s.start("python")).rejects.toMatchObject({ code: "sandbox.docker_required", remedy: expect.any(String) as unknown });
    },
    { bwrap: "/nonexistent/bwrap" },
  )();
});

test("X85 where control groups cannot be made, memory and pids are weaknesses and a start is refused with what would help", async () => {
  await using folder = await temporaryFolder();
  await inBubblewrap(
    async (s, { sandbox, again }) => {
      const probe = await sandbox.probe();
      expect(probe).toMatchObject({ available: true });
      expect(probe.weaknesses.map((weakness) => weakness.id)).toEqual(["memory", "pids"]);
      await expect(s.start("python")).rejects.toMatchObject({
        code: "sandbox.engine_weak",
        details: { missing: ["memory", "pids"] },
        remedy: expect.stringContaining("Delegate=yes") as unknown,
      });
      await using weak = again({ allowWeak: true });
      const scene = new SandboxScene({ ...s.harness, sandbox: weak });
      const instance = await scene.start("python");
      expect(await scene.value(instance, ECHO, 1)).toEqual({ input: 1, run_id: null });
      await weak.stop(instance);
    },
    { cgroupRoot: folder.path },
  )();
});

test("a runtime whose interpreter is not there is refused with what to install", async () => {
  await inBubblewrap(
    async (s, { sandbox }) => {
      expect((await sandbox.probe()).runtimes.python.present).toBe(false);
      await expect(s.start("python")).rejects.toMatchObject({
        code: "sandbox.image_missing",
        remedy: expect.stringContaining("python3") as unknown,
      });
      expect(await s.value(await s.start("node"), contractFile("echo", "node"), 1)).toEqual({ input: 1, run_id: null });
    },
    { interpreters: { python: "/nonexistent/python3" } },
  )();
});

test(
  "a job needs an engine and says so",
  inBubblewrap(async (_s, { sandbox }) => {
    await expect(sandbox.job()).rejects.toMatchObject({ code: "sandbox.docker_required", remedy: expect.any(String) as unknown });
  }),
);

test(
  "a paused instance stands still, is listed so, and its next call says that it was resumed",
  inBubblewrap(async (s, { sandbox }) => {
    const instance = await s.start("python");
    await s.value(instance, ECHO);
    await sandbox.pause(instance);
    expect(await sandbox.list()).toMatchObject([{ state: "paused", memory_bytes: expect.any(Number) as unknown }]);
    expect(await s.run(instance, ECHO, 1)).toMatchObject({ kind: "ok", start: "resumed" });
    await sandbox.pause(instance);
    await sandbox.stop(instance);
    expect(await s.harness.leftovers()).toEqual([]);
  }),
);

test.each(["first process", "bubblewrap"])("a sandbox whose %s is killed from outside is told at once and removed whole", async (which) => {
  await inBubblewrap(async (s, harness) => {
    const instance = await s.start("python");
    const running = s.run(instance, HANGS);
    const pids = await harness.pids(instance.spec.instance_id);
    const inside = await Promise.all(
      pids.map(async (pid) => /^NSpid:\t.*\t1$/mu.test(await readFile(`/proc/${String(pid)}/status`, "latin1"))),
    );
    const victim = pids[which === "bubblewrap" ? 0 : inside.indexOf(true)] ?? 0;
    process.kill(victim, "SIGKILL");
    expect(await running).toMatchObject({ kind: "crashed" });
    expect(await instance.gone).toMatchObject({ kind: "crashed" });
    await harness.sandbox.stop(instance);
    await gone(pids);
    expect(await s.harness.leftovers()).toEqual([]);
  })();
});

test(
  "X46 a new daemon sweeps what its killed predecessor left, and nothing of another installation",
  inBubblewrap(async (s, harness) => {
    await using other = harness.again({}, testId());
    const theirs = await new SandboxScene({ ...s.harness, sandbox: other }).start("python");
    const mounts = await s.pack();
    const spec = s.spec("python", mounts);
    const program = new URL("killed-daemon.ts", import.meta.url).pathname;
    const daemon = spawn(process.execPath, ["--conditions=rumi-source", program], { stdio: ["pipe", "pipe", "inherit"] });
    const socketBase = join(harness.folder, "../s");
    daemon.stdin.end(JSON.stringify({ installation: harness.installation, socketBase, userData: harness.userData, spec }));
    for await (const line of createInterface(daemon.stdout)) if (line === "started") break;
    const pids = await harness.pids(spec.instance_id);
    expect(pids.length).toBeGreaterThan(1);
    expect(await harness.sandbox.list()).toMatchObject([{ instance_id: spec.instance_id, state: "left" }]);
    daemon.kill("SIGKILL");
    await gone(pids);
    expect(await harness.leftovers()).not.toEqual([]);
    expect(await harness.sandbox.sweep()).toBe(1);
    expect(await harness.leftovers()).toEqual([]);
    expect(await harness.sandbox.list()).toEqual([]);
    expect(await other.list()).toMatchObject([{ instance_id: theirs.spec.instance_id, state: "running" }]);
    await other.stop(theirs);
  }),
);

test(
  "with a group for sockets, the runner reaches its socket through that group",
  inBubblewrap(
    async (s) => {
      expect(await s.value(await s.start("python"), ECHO, 1)).toEqual({ input: 1, run_id: null });
    },
    { socketGid: 4711 },
  ),
);

test("X86 a root is unpacked once, a changed one is built anew, and only fresh times cost a second reading", async () => {
  await using folder = await temporaryFolder();
  const interpreters = { python: "/usr/bin/python3", node: process.execPath };
  const open = (): InterpreterRoots => new InterpreterRoots({ folder: folder.path, interpreters, logger: silentLogger });
  const first = await open().use("node");
  const file = join(first.folder, "etc/passwd");
  const record = await readFile(`${first.folder}.json`, "utf8");
  expect(await open().use("node")).toEqual(first);
  expect(await readFile(`${first.folder}.json`, "utf8")).toBe(record);
  await chmod(file, 0o644);
  await chmod(file, 0o444);
  expect(await open().use("node")).toEqual(first);
  expect(await readFile(`${first.folder}.json`, "utf8")).not.toBe(record);
  const whole = await readFile(file, "utf8");
  await chmod(file, 0o644);
  await writeFile(file, `${whole}evil:x:0:0::/:/bin/sh\n`);
  expect(await open().use("node")).toEqual(first);
  expect(await readFile(file, "utf8")).toBe(whole);
});
