import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Instance, Runtime } from "../ports.ts";
import { contractFile, contractFiles } from "./contract-pack.ts";
import type { Difference } from "./differences.ts";
import { differentEscapes } from "./different-escapes.ts";
import { collectLog, inScene } from "./harness.ts";
import type { MakeHarness, SandboxScene, SuiteOptions } from "./harness.ts";
import { CALL_ENVIRONMENT, SPIES } from "./spies.ts";

interface Traces {
  readonly environment: readonly string[];
  readonly descriptors: readonly unknown[];
}

interface Found {
  readonly environment: never;
  readonly files: never;
}

/**
 * Attempts to get out, as tests, for adapters whose isolation is `container`. `hostilePacks` is the folder
 * that holds the hostile example packs.
 */
export function escapeContract(name: string, makeHarness: MakeHarness, hostilePacks: string, options: SuiteOptions = {}): void {
  const scene = (run: (scene: SandboxScene) => Promise<void>) => (): Promise<void> => inScene(makeHarness, run, options);
  const reuse = options.reuse ?? false;
  const differs = (difference: Difference): boolean => options.differences?.includes(difference) ?? false;
  const hostile = async (s: SandboxScene, pack: string, runtime: Runtime = "python"): Promise<Instance> =>
    await s.start(runtime, { mounts: await s.packFrom(join(hostilePacks, pack)) });
  const spies = (): Record<string, string> => ({ ...contractFiles(), ...SPIES });
  const spyInstance = async (s: SandboxScene, runtime: Runtime = "python"): Promise<Instance> =>
    await s.start(runtime, { mounts: await s.pack(spies()) });

  describe(`${name}: attempts to get out`, () => {
    test(
      "X30 no network answers: host, bridge, metadata, internet, abstract sockets, vsock, DNS",
      scene(async (s) => {
        const abstract = `rumi-hostile-${s.spec("python", []).instance_id}`;
        const tcp = createServer((socket) => socket.destroy());
        const unix = createServer((socket) => socket.destroy());
        await new Promise<void>((resolve) => tcp.listen(0, "127.0.0.1", resolve));
        await new Promise<void>((resolve) => unix.listen(`\0${abstract}`, resolve));
        try {
          const { port } = tcp.address() as AddressInfo;
          for (const [runtime, file] of [
            ["python", "blocks/attempts.py"],
            ["node", "blocks/attempts_node.mjs"],
          ] as const) {
            const instance = await hostile(s, "hostile_network", runtime);
            const { interfaces, ...attempts } = (await s.value(instance, file, { port, abstract })) as Record<string, string> & {
              interfaces?: string[];
            };
            expect(Object.keys(attempts).length).toBeGreaterThan(3);
            for (const [attempt, ending] of Object.entries(attempts)) expect(`${attempt} ${ending}`).toMatch(/ failed: /u);
            if (interfaces !== undefined) expect(interfaces).toEqual(["lo"]);
          }
        } finally {
          tcp.close();
          unix.close();
        }
      }),
    );

    test(
      "X30 the host's name servers and search domains are not shown",
      scene(async (s) => {
        const shown = (await s.value(await spyInstance(s), "blocks/resolver.py")) as string[];
        expect(shown.filter((entry) => entry !== "127.0.0.1")).toEqual([]);
      }),
    );

    if (!differs("unfiltered"))
      test(
        "X31 X34 calls that reach past the walls fail with EPERM or ENOSYS; no capability, no new privileges, filtered, nobody",
        scene(async (s) => {
          const instance = await hostile(s, "hostile_filesystem");
          const { status, ...calls } = (await s.value(instance, "blocks/syscalls.py")) as Record<string, string> & { status: never };
          expect(Object.keys(calls).length).toBeGreaterThan(20);
          for (const [call, ending] of Object.entries(calls)) {
            expect(`${call}: ${ending}`).toMatch(/: (Operation not permitted|Function not implemented)$/u);
          }
          expect(status).toMatchObject({
            CapEff: "0000000000000000",
            CapPrm: "0000000000000000",
            CapBnd: "0000000000000000",
            NoNewPrivs: "1",
            Seccomp: "2",
          });
          expect(status).toMatchObject({ Uid: "65534\t65534\t65534\t65534" });
        }),
      );

    if (!(differs("killable_runner") || differs("inspectable_runner")))
      test(
        "X32 X33 X35 X36 X39 nothing outside /tmp is written, nothing written runs, PID 1 is out of reach, no host path is shown",
        scene(async (s) => {
          const instance = await hostile(s, "hostile_filesystem");
          const { environment, files, ...attempts } = (await s.value(instance, "blocks/attempts.py")) as Record<string, string> & Found;
          for (const [attempt, ending] of Object.entries(attempts)) expect(`${attempt}: ${ending}`).toMatch(/: failed: /u);
          expect(Object.keys(environment).sort()).toEqual(CALL_ENVIRONMENT);
          expect(JSON.stringify({ environment, files })).not.toContain(s.harness.folder);
          expect(await s.value(instance, "blocks/attempts.py")).toMatchObject({ files });
        }),
      );

    // With `reuse` there is no call beside it.
    const beside = reuse ? "" : " nor the call beside it";
    if (!differs("inspectable_runner"))
      test.each(["python", "node"] as const)(`X35 a %s call does not reach PID 1${beside} through /proc`, async (runtime) => {
        await scene(async (s) => {
          const instance = await spyInstance(s, runtime);
          const abort = new AbortController();
          const hanging = reuse ? null : s.run(instance, contractFile("hangs", runtime), {}, {}, abort.signal);
          const { seen, reached } = (await s.value(instance, runtime === "python" ? "blocks/others.py" : "blocks/others.mjs")) as {
            seen: number;
            reached: string[];
          };
          abort.abort();
          await hanging;
          expect(seen).toBeGreaterThanOrEqual(reuse ? 1 : 2);
          expect(reached).toEqual([]);
        })();
      });

    test(
      "X37 the runner's socket is gone, and no call holds a connection",
      scene(async (s) => {
        const instance = await hostile(s, "hostile_runner_socket");
        const found = (await s.value(instance, "blocks/connect.py")) as { connect: string; sockets: number[] };
        expect(found.connect).toMatch(/^(FileNotFoundError|ConnectionRefusedError)$/u);
        // 3 is the call's own result pipe.
        expect(found.sockets.filter((descriptor) => descriptor !== 3)).toEqual([]);
      }),
    );

    test.each(["python", "node"] as const)("X38 a %s call that forges frames harms no other call", async (runtime) => {
      await scene(async (s) => {
        const other = await s.start("python");
        const instance = await hostile(s, "hostile_runner_socket", runtime);
        const file = runtime === "python" ? "blocks/forge.py" : "blocks/forge_node.mjs";
        const calls = await Promise.all([
          s.run(instance, file, { call_id: "victim" }),
          s.run(instance, file, { call_id: "victim", times: 2000 }, { call_id: "victim" }),
          s.run(other, contractFile("echo", "python"), 7),
        ]);
        for (const result of calls.slice(0, 2)) {
          expect(["ok", "protocol_error", "crashed", "response_too_large", "invalid_output"]).toContain(result.kind);
        }
        expect(calls[2]).toMatchObject({ kind: "ok", value: { input: 7 } });
        expect(await s.value(other, contractFile("echo", "python"), 8)).toEqual({ input: 8, run_id: null });
      })();
    });

    test.each([
      ["exit", { kind: "crashed", exit_code: 3 }],
      ["segfault", { kind: "crashed", signal: "SIGSEGV" }],
      ["polite", { kind: "crashed" }],
    ])("X18 leaving by %s is a crash of that call alone", async (how, expected) => {
      await scene(async (s) => {
        const instance = await hostile(s, "hostile_exit");
        expect(await s.run(instance, "blocks/leave.py", { how })).toMatchObject(expected);
        expect(await s.run(instance, "blocks/leave.py", { how })).toMatchObject(expected);
      })();
    });

    test(
      reuse
        ? "a call that kills everything it can finds nothing to kill, and leaves a serving sandbox"
        : "a call that kills everything it can ends as a crash and leaves a serving sandbox",
      scene(async (s) => {
        const mounts = await s.packFrom(join(hostilePacks, "hostile_exit"));
        const instance = await s.start("python", { mounts });
        const killing = await s.run(instance, "blocks/leave.py", { how: "kill_everything" });
        if (reuse) expect(killing).toMatchObject({ kind: "block_error", exception_type: "ProcessLookupError" });
        else expect(killing.kind).toMatch(/^(crashed|oom_killed|instance_lost)$/u);
        const next = (await s.run(instance, "blocks/leave.py", { how: "exit" })).kind;
        expect(next).toMatch(/^(crashed|instance_lost)$/u);
        const node = await s.start("node", { mounts });
        expect(await s.run(node, "blocks/leave_node.mjs")).toMatchObject({ kind: "crashed", exit_code: 3 });
        expect(await s.run(node, "blocks/leave_node.mjs", { how: "abort" })).toMatchObject({ kind: "crashed" });
      }),
    );

    if (!differs("memory_ends_instance"))
      test.each([
        ["python", "blocks/eat.py"],
        ["node", "blocks/eat_node.mjs"],
      ] as const)("X19 300 MiB in %s end as oom_killed, and the next call is fine", async (runtime, file) => {
        await scene(async (s) => {
          const instance = await hostile(s, "hostile_memory", runtime);
          expect(await s.run(instance, file)).toMatchObject({ kind: "oom_killed" });
          expect(await s.value(instance, file, { megabytes: 5 })).toEqual({ megabytes: 5 });
        })();
      });

    test.each(["sleep", "busy", "deaf", "deaf_child"])("X20 hanging (%s) ends at the deadline with nothing left", async (how) => {
      await scene(async (s) => {
        const mounts = await s.pack({ ...spies(), "blocks/hang.py": await readBlock(hostilePacks, "hostile_hanging/blocks/hang.py") });
        const instance = await s.start("python", { mounts });
        expect(await s.run(instance, "blocks/hang.py", { how }, { timeout_ms: 500 })).toMatchObject({ kind: "timeout" });
        const census = await s.value(instance, "blocks/census.py");
        expect(census).toMatchObject({ not_of_the_runner: [] });
        if (reuse) expect(census).toMatchObject({ others: 0 });
      })();
    });

    test(
      "X20 a busy Node call ends at the deadline too",
      scene(async (s) => {
        const instance = await hostile(s, "hostile_hanging", "node");
        expect(await s.run(instance, "blocks/hang_node.mjs", { how: "busy" }, { timeout_ms: 500 })).toMatchObject({ kind: "timeout" });
        expect(await s.run(instance, "blocks/hang_node.mjs", {}, { timeout_ms: 500 })).toMatchObject({ kind: "timeout" });
      }),
    );

    const bomb = (value: object): [string, object][] => (differs("processes_end_instance") ? [] : [["bomb.py", value]]);
    if (!reuse)
      test.each([...bomb({}), ["daemon.py", { left_behind: 1 }]] as const)(
        "X21 %s leaves no survivor, and the slots come back",
        async (block, value) => {
          await scene(async (s) => {
            const source = await readBlock(hostilePacks, `hostile_fork_bomb/blocks/${block}`);
            const mounts = await s.pack({ ...spies(), [`blocks/${block}`]: source });
            const instance = await s.start("python", { mounts });
            expect(await s.value(instance, `blocks/${block}`)).toMatchObject(value);
            const census = (await s.value(instance, "blocks/census.py")) as { others: number; not_of_the_runner: number[] };
            expect(census.not_of_the_runner).toEqual([]);
            expect(census.others).toBeLessThan(12);
            const calls = Array.from({ length: 4 }, () => s.value(instance, contractFile("echo", "python"), 1));
            expect(await Promise.all(calls)).toHaveLength(4);
            expect(await s.value(instance, "blocks/find_traces.py")).toMatchObject({ tmp: [], shm: [] });
          })();
        },
      );

    if (reuse)
      test.each([...bomb({ stopped_by: "BlockingIOError" }), ["daemon.py", { left_behind: 1 }]] as const)(
        "X21 %s leaves at most children of the process that stays; calls go on, and with that process all of it goes",
        async (block, value) => {
          await scene(async (s) => {
            const source = await readBlock(hostilePacks, `hostile_fork_bomb/blocks/${block}`);
            const mounts = await s.pack({ ...spies(), [`blocks/${block}`]: source });
            const instance = await s.start("python", { mounts });
            expect(await s.value(instance, `blocks/${block}`)).toMatchObject(value);
            const echo = async (): Promise<unknown> => await s.value(instance, contractFile("echo", "python"), 1);
            expect(await Promise.all([echo(), echo(), echo()])).toHaveLength(3);
            const census = async (): Promise<{ orphans: number }> => (await s.value(instance, "blocks/census.py")) as { orphans: number };
            await expect.poll(async () => (await census()).orphans, { timeout: 10_000 }).toBe(0);
            expect(await s.run(instance, contractFile("leaves", "python"))).toMatchObject({ kind: "crashed" });
            expect(await census()).toEqual({ others: 0, orphans: 0, not_of_the_runner: [] });
            expect(await echo()).toEqual({ input: 1, run_id: null });
            expect(await s.value(instance, "blocks/find_traces.py")).toMatchObject({ tmp: [], shm: [] });
          })();
        },
      );

    if (reuse)
      test(
        "X24 what a call leaves is found by the next one in its instance alone, and nothing of it after a crash",
        scene(async (s) => {
          const mounts = await s.pack(spies());
          const [instance, other] = [await s.start("python", { mounts }), await s.start("python", { mounts })];
          const traces = async (of: Instance): Promise<Traces> => (await s.value(of, "blocks/find_traces.py")) as unknown as Traces;
          const before = await traces(other);
          await s.value(instance, "blocks/leave_traces.py");
          const kept = await traces(instance);
          expect(kept).toMatchObject({ builtins: true, tmp: ["deep"], shm: ["deep"] });
          expect(kept.environment).toContain("TRACE");
          const elsewhere = async (from: Instance): Promise<void> => {
            const found = await traces(from);
            expect(found).toMatchObject({ builtins: false, tmp: [], own: [], shm: [] });
            expect(found.environment).toEqual(before.environment);
            expect(found.descriptors).toEqual(before.descriptors);
          };
          await elsewhere(other);
          expect(await s.run(instance, contractFile("leaves", "python"))).toMatchObject({ kind: "crashed" });
          await elsewhere(instance);
        }),
      );

    if (!reuse)
      test(
        "X24 globals, environment, /tmp, /dev/shm and files do not outlive a call",
        scene(async (s) => {
          const instance = await spyInstance(s);
          const before = await s.value(instance, "blocks/find_traces.py");
          await s.value(instance, "blocks/leave_traces.py");
          const after = await s.value(instance, "blocks/find_traces.py");
          expect(after).toMatchObject({ builtins: false, tmp: [], own: [], shm: [] });
          expect((after as { environment: string[] }).environment).toEqual((before as { environment: string[] }).environment);
          expect((after as { descriptors: unknown[] }).descriptors).toEqual((before as { descriptors: unknown[] }).descriptors);
        }),
      );

    test(
      "X26 X44 floods of output end at the cap and change no result",
      scene(async (s) => {
        const instance = await hostile(s, "hostile_output_flood");
        const log = collectLog();
        const printed = await s.run(instance, "blocks/prints.py", {}, { on_log: log.on_log });
        expect(printed).toMatchObject({ kind: "ok", log: { bytes: 262_144, dropped: 5 * 1024 * 1024 - 262_144 } });
        const flooded = await s.run(instance, "blocks/flood.py", { seconds: 2 });
        expect(flooded).toMatchObject({ kind: "ok", log: { bytes: 262_144 } });
        expect(flooded.log.dropped).toBeGreaterThan(0);
        expect(await s.run(instance, "blocks/result.py")).toMatchObject({ kind: "response_too_large" });
      }),
    );

    test.each([
      ["python", "blocks/prints.py"],
      ["node", "blocks/prints_node.mjs"],
    ] as const)("X12 forged output of %s stays output", async (runtime, file) => {
      await scene(async (s) => {
        const instance = await hostile(s, "hostile_printing", runtime);
        expect(await s.value(instance, file)).toEqual({ answer: 42 });
      })();
    });

    if (!differs("files_unlimited"))
      test(
        "X41 a pack that uses up everything it can does not keep another from answering",
        scene(async (s) => {
          const instance = await hostile(s, "hostile_fork_bomb");
          const other = await s.start("python");
          const exhausting = s.value(instance, "blocks/exhaust.py", { spin_seconds: 1 });
          for (let call = 0; call < 5; call += 1)
            expect(await s.value(other, contractFile("echo", "python"), call)).toEqual({ input: call, run_id: null });
          const found = (await exhausting) as Record<string, number[]>;
          expect(found["open files"]?.[0]).toBeLessThan(256);
          expect(found["inodes"]?.[0]).toBeLessThanOrEqual(16_384);
          expect(found["disk"]?.[0]).toBeLessThanOrEqual(64 * 1024 * 1024);
          expect(await s.value(instance, "blocks/bomb.py")).toMatchObject({ stopped_by: "BlockingIOError" });
        }),
      );

    test(
      "X42 X43 hostile bytecode, .pth files and sitecustomize are ignored",
      scene(async (s) => {
        const spy = await spyInstance(s);
        const { tag, pyc } = (await s.value(spy, "blocks/bytecode.py")) as { tag: string; pyc: string };
        const mounts = await s.packFrom(join(hostilePacks, "hostile_tampering"));
        const root = mounts[0]?.source ?? "";
        await mkdir(join(root, "blocks/__pycache__"));
        await writeFile(join(root, `blocks/__pycache__/helper.${tag}.pyc`), Buffer.from(pyc, "base64"));
        for (const folder of ["", "blocks"]) {
          await writeFile(join(root, folder, "evil.pth"), "import sys; sys.modules['sitecustom_pth'] = sys\n");
          for (const module of ["sitecustomize", "usercustomize"])
            await writeFile(join(root, folder, `${module}.py`), "raise SystemExit('ran')\n");
        }
        const instance = await s.start("python", { mounts });
        expect(await s.value(instance, "blocks/uses_helper.py")).toEqual({ helper: "source", ran_by_itself: [] });
      }),
    );

    differentEscapes(makeHarness, hostilePacks, options);
  });
}

async function readBlock(hostilePacks: string, path: string): Promise<string> {
  return await readFile(join(hostilePacks, path), "utf8");
}
