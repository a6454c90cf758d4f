import { access, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Instance, InstanceEnd, Mount } from "../ports.ts";
import { isAlive } from "../run-result.ts";
import { contractFile, contractFiles } from "./contract-pack.ts";
import type { Difference } from "./differences.ts";
import { inScene } from "./harness.ts";
import type { MakeHarness, SandboxScene, SuiteOptions } from "./harness.ts";
import { CALL_ENVIRONMENT, SPIES } from "./spies.ts";

/** Blocks that ask what is left where a wall of the contract is lower. */
const PROBES: Readonly<Record<string, string>> = {
  // The hostile pack's system calls, on a kernel that may show fewer lines of a status; with what held before them.
  "blocks/calls_and_status.py": `
import collections, ctypes, syscalls

syscalls.dict = lambda lines: collections.defaultdict(lambda: None, lines)

def run(input, context):
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\\n").split(":\\t", 1) for line in file if ":\\t" in line)
    no_new_privs = ctypes.CDLL(None).prctl(39, 0, 0, 0, 0)
    calls = syscalls.run(input, context)
    calls.pop("status")
    return {"status": status, "no_new_privs": no_new_privs, "calls": calls}
`,
  // As the root of a user and mount namespace of its own, where one can be made: is anything writable now?
  "blocks/remounts.py": `
import ctypes, os

NEWUSER, NEWNS, REMOUNT, BIND = 0x10000000, 0x20000, 32, 4096

def run(input, context):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.unshare(NEWUSER | NEWNS)
    written = []
    for folder in ("/pack", "/runner", "/run/rumi/runner", "/usr", "/"):
        libc.mount(b"none", folder.encode(), None, REMOUNT | BIND, None)
        try:
            with open(folder + "/planted", "w") as file:
                file.write("x")
            written.append(folder)
        except OSError:
            pass
    return written
`,
  "blocks/attempts_but_killing.py": `
import os, attempts

def run(input, context):
    kill, os.kill = os.kill, lambda pid, number: None
    try:
        return attempts.run(input, context)
    finally:
        os.kill = kill
`,
  "blocks/kill_the_runner.py": `
import os, time

def run(input, context):
    os.kill(1, input["signal"])
    time.sleep(20)
`,
  // Opens what the listed files of process 1 stand for.
  "blocks/borrow.py": `
import os

def run(input, context):
    with open("/proc/1/environ") as file:
        found = {"environment": sorted(entry.split("=")[0] for entry in file.read().split("\\0") if entry), "opened": []}
    for name in os.listdir("/proc/1/fd"):
        path = "/proc/1/fd/" + name
        for mode in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
            try:
                os.close(os.open(path, mode | os.O_NONBLOCK))
                found["opened"].append(os.readlink(path).split(":")[0])
            except OSError:
                pass
    return found
`,
  "blocks/borrow.mjs": `
import { closeSync, constants, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

export function run() {
  const entries = readFileSync("/proc/1/environ", "utf8").split("\\0").filter(Boolean);
  const found = { environment: entries.map((entry) => entry.split("=")[0]).sort(), opened: [] };
  for (const name of readdirSync("/proc/1/fd")) {
    const path = "/proc/1/fd/" + name;
    for (const mode of [constants.O_RDONLY, constants.O_WRONLY, constants.O_RDWR]) {
      try {
        closeSync(openSync(path, mode | constants.O_NONBLOCK));
        found.opened.push(readlinkSync(path).split(":")[0]);
      } catch {
        // not to be had
      }
    }
  }
  return found;
}
`,
  // The hostile pack's exhaustion without its files: they have no limit of their own.
  "blocks/exhaust_but_files.py": `
import builtins, exhaust

def refuse(path, mode="r"):
    if path[len("/tmp/"):].isdigit():
        raise OSError(28, "left out")
    return builtins.open(path, mode)

exhaust.open = refuse

def run(input, context):
    return exhaust.run(input, context)
`,
};

/**
 * Files of the runner that an inspecting call may open: nothing, the logs of its own pack's calls, the container's error output
 * (which is kept nowhere), and its rank among processes to be killed. Its connections are not among them.
 */
const HARMLESS_FILES: readonly string[] = ["/dev/null", "pipe", "host", "/proc/1/oom_score_adj"];

/** For each difference of a suite, the tests of what holds instead of the contract's. */
export function differentEscapes(makeHarness: MakeHarness, hostilePacks: string, options: SuiteOptions): void {
  const scene = (run: (scene: SandboxScene) => Promise<void>) => (): Promise<void> => inScene(makeHarness, run, options);
  const differs = (difference: Difference): boolean => options.differences?.includes(difference) ?? false;

  /** A hostile pack with the probes and the contract's blocks beside its own. */
  const packOf = async (s: SandboxScene, pack: string): Promise<Mount[]> => {
    const mounts = await s.packFrom(join(hostilePacks, pack));
    const files = { ...contractFiles(), ...SPIES, ...PROBES };
    for (const [path, text] of Object.entries(files)) await writeFile(join(mounts[0]?.source ?? "", path), text);
    return mounts;
  };

  /** The instance is gone by `kinds`; its pack is served by a new one, and the neighbour of before never noticed. */
  const expectOwnEnd = async (
    s: SandboxScene,
    instance: Instance,
    neighbour: Instance,
    kinds: readonly InstanceEnd["kind"][],
  ): Promise<void> => {
    expect(kinds).toContain((await instance.gone).kind);
    const { runtime, mounts } = instance.spec;
    const next = await s.start(runtime, { mounts });
    expect(await s.value(next, contractFile("echo", runtime), 1)).toEqual({ input: 1, run_id: null });
    expect(await isAlive(neighbour)).toBe(true);
    expect(await s.value(neighbour, contractFile("echo", neighbour.spec.runtime), 2)).toEqual({ input: 2, run_id: null });
  };

  if (differs("unfiltered")) {
    test(
      "X31 X34 without the filter: no capability, no new privileges, nobody; no call gives one outside a user namespace of its own",
      scene(async (s) => {
        const instance = await s.start("python", { mounts: await packOf(s, "hostile_filesystem") });
        const found = (await s.value(instance, "blocks/calls_and_status.py")) as {
          status: Record<string, string>;
          no_new_privs: number;
          calls: Record<string, string>;
        };
        expect(found.status).toMatchObject({
          CapEff: "0000000000000000",
          CapPrm: "0000000000000000",
          CapBnd: "0000000000000000",
          Seccomp: "0",
          Uid: "65534\t65534\t65534\t65534",
        });
        expect(found.no_new_privs).toBe(1);
        expect(Object.keys(found.calls).length).toBeGreaterThan(20);
        const succeeded = Object.entries(found.calls).filter(([, ending]) => ending === "succeeded");
        expect(succeeded.map(([call]) => call)).toEqual(["unshare", "shmget"]);
      }),
    );

    test(
      "X31 X32 without the filter: the root of a user namespace of its own still writes nothing that is mounted read-only",
      scene(async (s) => {
        const mounts = await packOf(s, "hostile_filesystem");
        const instance = await s.start("python", { mounts });
        expect(await s.value(instance, "blocks/remounts.py")).toEqual([]);
        await expect(access(join(mounts[0]?.source ?? "", "planted"))).rejects.toThrow("ENOENT");
      }),
    );
  }

  if (differs("killable_runner") || differs("inspectable_runner")) {
    test(
      "X32 X33 X35 X39 nothing outside /tmp is written, nothing written runs, the runner's memory is out of reach, no host path is shown",
      scene(async (s) => {
        const instance = await s.start("python", { mounts: await packOf(s, "hostile_filesystem") });
        const block = differs("killable_runner") ? "blocks/attempts_but_killing.py" : "blocks/attempts.py";
        const { environment, files, ...attempts } = (await s.value(instance, block)) as Record<string, unknown>;
        const seen = differs("inspectable_runner") ? ["read /proc/1/environ", "read /proc/1/maps", "list the files of the runner"] : [];
        expect(Object.keys(attempts).length).toBeGreaterThan(20);
        for (const [attempt, ending] of Object.entries(attempts)) {
          expect(`${attempt}: ${String(ending)}`).toMatch(seen.includes(attempt) ? /: succeeded$/u : /: failed: /u);
        }
        expect(Object.keys(environment as object).sort()).toEqual(CALL_ENVIRONMENT);
        expect(JSON.stringify({ environment, files })).not.toContain(s.harness.folder);
      }),
    );
  }

  if (differs("killable_runner")) {
    test.each([
      ["SIGKILL", 9],
      ["SIGSTOP", 19],
    ])("X36 a call that sends %s to PID 1 ends its own instance alone, at its deadline at the latest", async (_, signal) => {
      await scene(async (s) => {
        const neighbour = await s.start("python");
        const instance = await s.start("python", { mounts: await packOf(s, "hostile_filesystem") });
        const result = await s.run(instance, "blocks/kill_the_runner.py", { signal }, { timeout_ms: 3_000 });
        expect(["crashed", "instance_lost", "timeout"]).toContain(result.kind);
        await expectOwnEnd(s, instance, neighbour, ["crashed", "instance_lost"]);
      })();
    });
  }

  if (differs("inspectable_runner")) {
    test.each(["python", "node"] as const)(
      "X35 a %s call sees what its own instance's processes are started with, but neither their memory nor a connection of theirs",
      async (runtime) => {
        await scene(async (s) => {
          const instance = await s.start(runtime, { mounts: await packOf(s, "hostile_filesystem") });
          const extension = runtime === "python" ? "py" : "mjs";
          const { reached } = (await s.value(instance, `blocks/others.${extension}`)) as { reached: string[] };
          expect(reached).toContain("1/environ");
          expect(reached.filter((part) => part.endsWith("/mem"))).toEqual([]);
          const { environment, opened } = (await s.value(instance, `blocks/borrow.${extension}`)) as Record<string, string[]>;
          expect(environment).toEqual(CALL_ENVIRONMENT);
          expect([...new Set(opened)].filter((file) => !HARMLESS_FILES.includes(file))).toEqual([]);
        })();
      },
    );
  }

  if (differs("memory_ends_instance")) {
    test.each([
      ["python", "blocks/eat.py"],
      ["node", "blocks/eat_node.mjs"],
    ] as const)("X19 300 MiB in %s are killed, and end their own instance alone", async (runtime, file) => {
      await scene(async (s) => {
        const neighbour = await s.start(runtime);
        const instance = await s.start(runtime, { mounts: await packOf(s, "hostile_memory") });
        expect(await s.value(instance, file, { megabytes: 5 })).toEqual({ megabytes: 5 });
        const result = await s.run(instance, file);
        // Now and then the engine misses why the whole instance was killed: then its exit code alone tells of the kill.
        if (result.kind !== "oom_killed")
          expect(result).toMatchObject({ kind: "crashed", message: expect.stringContaining("137") as string });
        await expectOwnEnd(s, instance, neighbour, ["oom_killed", "crashed"]);
      })();
    });
  }

  if (differs("processes_end_instance")) {
    test(
      "X21 bomb.py ends its own instance alone, with everything it forked",
      scene(async (s) => {
        const neighbour = await s.start("python");
        const instance = await s.start("python", { mounts: await packOf(s, "hostile_fork_bomb") });
        // A high limit of processes may be reached after that of memory.
        expect(["crashed", "oom_killed"]).toContain((await s.run(instance, "blocks/bomb.py")).kind);
        await expectOwnEnd(s, instance, neighbour, ["crashed", "oom_killed"]);
      }),
    );
  }

  if (differs("files_unlimited")) {
    test(
      "X41 a pack that makes files without end does not keep another from answering; its call ends by its memory or its deadline",
      scene(async (s) => {
        const mounts = await packOf(s, "hostile_fork_bomb");
        const [instance, other] = [await s.start("python", { mounts }), await s.start("python")];
        const exhausting = s.run(instance, "blocks/exhaust.py", { spin_seconds: 1 }, { timeout_ms: 10_000 });
        for (let call = 0; call < 5; call += 1) {
          expect(await s.value(other, contractFile("echo", "python"), call)).toEqual({ input: call, run_id: null });
        }
        expect(["oom_killed", "crashed", "timeout"]).toContain((await exhausting).kind);
      }),
    );

    test(
      "X41 a pack that uses up open files, disk and its processor does not keep another from answering",
      scene(async (s) => {
        const mounts = await packOf(s, "hostile_fork_bomb");
        const [instance, other] = [await s.start("python", { mounts }), await s.start("python")];
        const exhausting = s.value(instance, "blocks/exhaust_but_files.py", { spin_seconds: 1 });
        for (let call = 0; call < 5; call += 1) {
          expect(await s.value(other, contractFile("echo", "python"), call)).toEqual({ input: call, run_id: null });
        }
        const found = (await exhausting) as Record<string, number[]>;
        expect(found["open files"]?.[0]).toBeLessThan(256);
        expect(found["disk"]?.[0]).toBeLessThanOrEqual(64 * 1024 * 1024);
      }),
    );
  }
}
