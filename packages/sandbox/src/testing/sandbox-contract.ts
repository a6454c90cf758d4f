import { describe, expect, test } from "vitest";
import { SandboxError } from "../errors.ts";
import type { Runtime } from "../ports.ts";
import { contractFile } from "./contract-pack.ts";
import { collectLog, inScene } from "./harness.ts";
import type { MakeHarness, SandboxScene, SuiteOptions } from "./harness.ts";

const RUNTIMES: readonly Runtime[] = ["python", "node"];

/** Calls of the crossing test; the bench and the acceptance run use far more. */
const CROSSING_PACKS = 4;
const CROSSING_CALLS = 200;

/**
 * The promises of the `Sandbox` port, as tests. Every adapter and the fake pass it.
 * A harness is made for each test; after each, nothing may be left.
 */
export function sandboxContract(name: string, makeHarness: MakeHarness, options: SuiteOptions = {}): void {
  const scene = (run: (scene: SandboxScene) => Promise<void>) => (): Promise<void> => inScene(makeHarness, run, options);
  const reuse = options.reuse ?? false;

  describe(`${name}: the sandbox contract`, () => {
    test(
      "a probe says what there is, and both runtimes are there",
      scene(async ({ sandbox }) => {
        const probe = await sandbox.probe({ fresh: true });
        expect(probe).toMatchObject({ available: true, runtimes: { python: { present: true }, node: { present: true } } });
        expect(probe.weaknesses).toEqual([]);
        expect(await sandbox.probe()).toEqual(probe);
      }),
    );

    describe.each(RUNTIMES)("%s", (runtime) => {
      const file = (block: string): string => contractFile(block, runtime);

      test(
        "input and context reach the block, its value comes back",
        scene(async (s) => {
          const instance = await s.start(runtime);
          const input = { text: "日本 \u0000 😀", deep: [[{ n: 1.5 }]], none: null };
          expect(await s.value(instance, file("echo"), input, { context: { run_id: "r1" } })).toEqual({ input, run_id: "r1" });
        }),
      );

      test(
        "X12 printing never changes the result",
        scene(async (s) => {
          const instance = await s.start(runtime);
          const log = collectLog();
          expect(await s.value(instance, file("prints"), {}, { on_log: log.on_log })).toBe("real");
          expect(log.lines.find((line) => line.stream === "stdout")?.text).toBe('{"forged": 1}');
          expect(log.lines.find((line) => line.stream === "stderr")?.text).toBe("to stderr");
        }),
      );

      test(
        "X13 an exception gives its type and text, and no host path",
        scene(async (s) => {
          const instance = await s.start(runtime);
          const result = await s.run(instance, file("fails"));
          expect(result).toMatchObject({ kind: "block_error", exception_type: expect.stringMatching(/^(Value|Type)Error$/u) as unknown });
          expect(JSON.stringify(result)).toContain("no good");
          expect(JSON.stringify(result)).not.toContain(s.harness.folder);
        }),
      );

      test(
        "X14 no run function, and a file that does not load, are types of their own",
        scene(async (s) => {
          const instance = await s.start(runtime);
          expect(await s.run(instance, file("no_run"))).toMatchObject({ kind: "no_run_function" });
          expect(await s.run(instance, file("syntax_error"))).toMatchObject({ kind: "module_load_error" });
          expect(await s.run(instance, file("not_there"))).toMatchObject({ kind: "module_load_error" });
        }),
      );

      test(
        "X15 a generator's pieces come one by one and together",
        scene(async (s) => {
          const instance = await s.start(runtime);
          const pieces: unknown[] = [];
          const result = await s.run(instance, file("streams"), {}, { on_chunk: (piece) => void pieces.push(piece) });
          expect(result).toMatchObject({ kind: "ok", streaming: true, value: { chunks: [1, 2], is_streaming: true } });
          expect(pieces).toEqual([1, 2]);
        }),
      );

      test(
        "X17 a result at its limit passes, one byte more does not",
        scene(async (s) => {
          const instance = await s.start(runtime);
          const limit = { max_result_bytes: 10_000 };
          expect(await s.value(instance, file("long_result"), { length: 9_998 }, limit)).toHaveLength(9_998);
          expect(await s.run(instance, file("long_result"), { length: 9_999 }, limit)).toMatchObject({ kind: "response_too_large" });
        }),
      );

      test(
        "X18 a block that ends its process has crashed; the next call is fine",
        scene(async (s) => {
          const instance = await s.start(runtime);
          expect(await s.run(instance, file("leaves"))).toMatchObject({ kind: "crashed", exit_code: 3 });
          expect(await s.value(instance, file("echo"), 1)).toEqual({ input: 1, run_id: null });
        }),
      );

      test.each(["hangs", "spins"])("X20 a block that %s ends at its deadline; the next call is fine", async (block) => {
        await scene(async (s) => {
          const instance = await s.start(runtime);
          expect(await s.run(instance, file(block), {}, { timeout_ms: 300 })).toMatchObject({ kind: "timeout" });
          expect(await s.value(instance, file("echo"), 1)).toEqual({ input: 1, run_id: null });
        })();
      });

      test(
        "X22 an aborted call is cancelled; the next call is fine",
        scene(async (s) => {
          const instance = await s.start(runtime);
          const abort = new AbortController();
          const running = s.run(instance, file("hangs"), {}, {}, abort.signal);
          setTimeout(() => abort.abort(), 50);
          expect(await running).toMatchObject({ kind: "cancelled" });
          expect(await s.run(instance, file("echo"), 1, {}, abort.signal)).toMatchObject({ kind: "cancelled" });
          expect(await s.value(instance, file("echo"), 1)).toEqual({ input: 1, run_id: null });
        }),
      );

      if (!reuse)
        test(
          "X24 a call finds nothing of the one before",
          scene(async (s) => {
            const instance = await s.start(runtime);
            for (let call = 0; call < 4; call += 1) expect(await s.value(instance, file("counts"))).toBe(1);
          }),
        );

      if (reuse)
        test(
          "X24 a call finds what the one before left in its process; another instance of the same pack does not",
          scene(async (s) => {
            const mounts = await s.pack();
            const [one, other] = [await s.start(runtime, { mounts }), await s.start(runtime, { mounts })];
            for (let call = 1; call <= 4; call += 1) expect(await s.value(one, file("counts"))).toBe(call);
            expect(await s.value(other, file("counts"))).toBe(1);
          }),
        );

      test.each([
        ["a crash", "leaves", "crashed"],
        ["a timeout", "hangs", "timeout"],
        ["a cancellation", "hangs", "cancelled"],
      ])("X25 with reuse, state stays between calls and is lost in %s", async (_, block, kind) => {
        await scene(async (s) => {
          const instance = await s.start(runtime, { reuse: true, slots: 1 });
          expect(await s.value(instance, file("counts"))).toBe(1);
          expect(await s.run(instance, file("fails"))).toMatchObject({ kind: "block_error" });
          expect(await s.value(instance, file("counts"))).toBe(2);
          const abort = new AbortController();
          const ending = s.run(instance, file(block), {}, kind === "timeout" ? { timeout_ms: 300 } : {}, abort.signal);
          if (kind === "cancelled") setTimeout(() => abort.abort(), 50);
          expect(await ending).toMatchObject({ kind });
          expect(await s.value(instance, file("counts"))).toBe(1);
        })();
      });

      test(
        "X26 a log ends at its cap, and the rest is counted",
        scene(async (s) => {
          const instance = await s.start(runtime);
          const log = collectLog();
          const result = await s.run(instance, file("prints_much"), { lines: 1024 }, { on_log: log.on_log, max_log_bytes: 64 * 1024 });
          expect(result).toMatchObject({ kind: "ok", log: { bytes: 64 * 1024, dropped: 960 * 1024 } });
          expect(log.lines.reduce((sum, line) => sum + line.text.length, 0)).toBeLessThanOrEqual(64 * 1024);
        }),
      );

      if (reuse)
        test(
          "calls given at once run one after another in one process",
          scene(async (s) => {
            const instance = await s.start(runtime);
            const values = await Promise.all(Array.from({ length: 6 }, () => s.value(instance, file("visits"))));
            expect(values).toEqual(Array.from({ length: 6 }, (_, call) => ({ most: 1, calls: call + 1 })));
          }),
        );

      test(
        `calls of one instance ${reuse ? "that are given at once" : "run at the same time and"} keep their own values`,
        scene(async (s) => {
          const instance = await s.start(runtime);
          const inputs = Array.from({ length: 12 }, (_, index) => index);
          const waves = [inputs.slice(0, 4), inputs.slice(4, 8), inputs.slice(8)];
          for (const wave of waves) {
            const values = await Promise.all(wave.map((input) => s.value(instance, file("echo"), input)));
            expect(values).toEqual(wave.map((input) => ({ input, run_id: null })));
          }
        }),
      );

      test(
        "a paused instance answers after it was resumed, and says so",
        scene(async (s) => {
          const instance = await s.start(runtime);
          await s.value(instance, file("echo"));
          await s.sandbox.pause(instance);
          await s.sandbox.pause(instance);
          await s.sandbox.resume(instance);
          await s.sandbox.resume(instance);
          expect(await s.run(instance, file("echo"))).toMatchObject({ kind: "ok" });
        }),
      );
    });

    test(
      "the first call is cold and the next one warm",
      scene(async (s) => {
        const instance = await s.start("python");
        expect(await s.run(instance, contractFile("echo", "python"))).toMatchObject({ start: "cold" });
        expect(await s.run(instance, contractFile("echo", "python"))).toMatchObject({ start: "warm" });
      }),
    );

    test(
      "X45 a stopped instance ends its calls as cancelled, takes no more, and stops as often as asked",
      scene(async (s) => {
        const instance = await s.start("python");
        const running = s.run(instance, contractFile("hangs", "python"));
        await new Promise((resolve) => setTimeout(resolve, 50));
        await Promise.all([s.sandbox.stop(instance), s.sandbox.stop(instance)]);
        expect(await s.harness.leftovers()).toEqual([]);
        expect(await running).toMatchObject({ kind: "cancelled" });
        expect(await instance.gone).toMatchObject({ kind: "stopped" });
        expect(await s.run(instance, contractFile("echo", "python"))).toMatchObject({ kind: "cancelled" });
        await s.sandbox.stop(instance);
      }),
    );

    test(
      "X29 one pack with two authorities is two instances",
      scene(async (s) => {
        const mounts = await s.pack();
        const [first, second] = [
          await s.start("python", { mounts }),
          await s.start("python", { mounts, authority: "contract_pack/narrow" }),
        ];
        await s.sandbox.stop(first);
        expect(await s.value(second, contractFile("echo", "python"), 2)).toEqual({ input: 2, run_id: null });
      }),
    );

    test(
      "what runs is listed, and a sweep leaves it alone",
      scene(async (s) => {
        const instance = await s.start("python");
        expect(await s.sandbox.sweep()).toBe(0);
        expect(await s.sandbox.list()).toMatchObject([
          { instance_id: instance.spec.instance_id, pack_id: "contract_pack", state: "running" },
        ]);
        expect(await s.value(instance, contractFile("echo", "python"), 1)).toEqual({ input: 1, run_id: null });
        await s.sandbox.stop(instance);
        expect(await s.sandbox.list()).toEqual([]);
      }),
    );

    test(
      "a start that is called off leaves nothing",
      scene(async (s) => {
        const spec = s.spec("python", await s.pack());
        await expect(s.sandbox.start(spec, AbortSignal.abort())).rejects.toBeInstanceOf(SandboxError);
        expect(await s.harness.leftovers()).toEqual([]);
        expect(await s.sandbox.list()).toEqual([]);
      }),
    );

    test(
      "a mount of the host's root is refused and leaves nothing",
      scene(async (s) => {
        const spec = s.spec("python", [{ source: "/", target: "/pack", read_only: true }]);
        await expect(s.sandbox.start(spec)).rejects.toMatchObject({ code: "sandbox.invalid_mount" });
        expect(await s.harness.leftovers()).toEqual([]);
      }),
    );

    test(
      "one id is one instance",
      scene(async (s) => {
        const spec = s.spec("python", await s.pack());
        await s.sandbox.start(spec);
        await expect(s.sandbox.start(spec)).rejects.toMatchObject({ code: "sandbox.start_failed" });
      }),
    );

    test(
      "X28 calls of several packs at once never get each other's values",
      scene(async (s) => {
        const packs = await Promise.all(
          Array.from({ length: CROSSING_PACKS }, async (_, index) => ({ index, instance: await s.start(RUNTIMES[index % 2] ?? "python") })),
        );
        let next = 0;
        const caller = async (pack: (typeof packs)[number]): Promise<void> => {
          while (next < CROSSING_CALLS) {
            const input = { pack: pack.index, call: (next += 1) };
            expect(await s.value(pack.instance, contractFile("echo", pack.instance.spec.runtime), input)).toEqual({ input, run_id: null });
          }
        };
        await Promise.all(packs.flatMap((pack) => [caller(pack), caller(pack)]));
      }),
    );
  });
}
