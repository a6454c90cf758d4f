import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { blockFlow, DaemonProcess, ECHO_BLOCK, TestHome, until } from "./daemon-process.ts";
import type { RunData } from "./daemon-process.ts";

/** An error code, or `contained` when the block may answer what it could not do; one of several where chance decides. */
type Ends = string | readonly string[];

interface Attempt {
  readonly flow: string;
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly ends: Ends;
  /** With `runtime.reuse`, where it ends otherwise. */
  readonly reuse?: Ends;
  /** Under gVisor, where it ends otherwise. */
  readonly runsc?: Ends;
}

/** Under gVisor the whole instance is killed, and now and then the engine misses why. */
const KILLED = ["sandbox.oom_killed", "sandbox.crashed"];

const FORGED = ["contained", "sandbox.protocol_error", "sandbox.crashed"];

/** What each hostile example pack tries, and how it must end. */
const ATTEMPTS: Readonly<Record<string, readonly Attempt[]>> = {
  hostile_network: [
    { flow: "hostile_network", ends: "contained" },
    { flow: "hostile_network.node", ends: "contained" },
  ],
  hostile_filesystem: [
    // gVisor: it ends its own instance by killing process 1.
    { flow: "hostile_filesystem", ends: "contained", runsc: "sandbox.crashed" },
    // gVisor: it asks for a line of its status that is not there.
    { flow: "hostile_filesystem.syscalls", ends: "contained", runsc: "sandbox.block_error" },
  ],
  hostile_fork_bomb: [
    { flow: "hostile_fork_bomb.daemon", ends: "contained" },
    // gVisor: files in /tmp are limited by memory alone.
    { flow: "exhausts", ends: "contained", runsc: [...KILLED, "sandbox.timeout"] },
    // gVisor: the instance ends at its limit of processes, or of memory where that is reached first.
    { flow: "hostile_fork_bomb", ends: "contained", runsc: KILLED },
    // The bomb's children stay with the process that stays: it can start no more of them.
    { flow: "hostile_fork_bomb.daemon", ends: "contained", reuse: "sandbox.block_error", runsc: "contained" },
  ],
  hostile_memory: [
    { flow: "hostile_memory", ends: "sandbox.oom_killed", runsc: KILLED },
    { flow: "hostile_memory.node", ends: "sandbox.oom_killed", runsc: KILLED },
  ],
  hostile_output_flood: [
    { flow: "hostile_output_flood", ends: "contained" },
    { flow: "hostile_output_flood.result", ends: "sandbox.response_too_large" },
    { flow: "hostile_output_flood.prints", ends: "contained" },
  ],
  hostile_printing: [
    { flow: "hostile_printing", ends: "contained" },
    { flow: "hostile_printing.node", ends: "contained" },
  ],
  hostile_exit: [
    { flow: "hostile_exit", ends: "sandbox.crashed" },
    { flow: "hostile_exit", inputs: { how: "segfault" }, ends: "sandbox.crashed" },
    // With one process there is nothing else that it could kill.
    { flow: "hostile_exit", inputs: { how: "kill_everything" }, ends: "sandbox.crashed", reuse: "sandbox.block_error" },
    { flow: "hostile_exit.node", ends: "sandbox.crashed" },
    { flow: "hostile_exit.node", inputs: { how: "abort" }, ends: "sandbox.crashed" },
  ],
  hostile_hanging: [
    { flow: "hangs", inputs: { how: "sleep" }, ends: "sandbox.timeout" },
    { flow: "hangs", inputs: { how: "busy" }, ends: "sandbox.timeout" },
    { flow: "hangs", inputs: { how: "deaf_child" }, ends: "sandbox.timeout" },
    { flow: "hangs_node", inputs: { how: "busy" }, ends: "sandbox.timeout" },
  ],
  hostile_runner_socket: [
    { flow: "hostile_runner_socket", ends: "contained" },
    { flow: "hostile_runner_socket.forge", ends: FORGED },
    { flow: "hostile_runner_socket.node", ends: FORGED },
  ],
  hostile_tampering: [
    { flow: "hostile_tampering", ends: "contained" },
    { flow: "hostile_tampering.helper", ends: "contained" },
  ],
};

/** A flow of one block of a hostile pack with a short deadline. */
function shortFlow(id: string, pack: string, file: string, seconds: number): string {
  return `flow_id: ${id}
phases: [main]
steps:
  - { id: attempt, phase: main, type: file_call, owner_pack: ${pack}, file: ${file}, timeout_seconds: ${seconds}, input: { how: "\${ctx.how}" }, output: answer }
`;
}

export interface HostileOptions {
  /** What the daemon is started with. */
  readonly env: Readonly<Record<string, string>>;
  /** The packs ask for `runtime.reuse`. */
  readonly reuse: boolean;
  readonly isRunsc?: boolean;
  /** What is left of the home's instances once its daemon stopped. */
  readonly leftovers: (home: TestHome) => Promise<readonly string[]>;
}

/** Runs every hostile example pack over HTTP: each must be contained, with the daemon and a neighbour serving meanwhile. */
export function hostileAttempts(name: string, { env, reuse, isRunsc = false, leftovers }: HostileOptions): void {
  const packs = Object.keys(ATTEMPTS);
  const rows = packs.flatMap((pack) =>
    (ATTEMPTS[pack] ?? []).map(({ flow, inputs = {}, ...attempt }) => {
      const ends = (isRunsc ? attempt.runsc : undefined) ?? (reuse ? attempt.reuse : undefined) ?? attempt.ends;
      return [pack, flow, inputs, ends] as const;
    }),
  );

  describe(name, () => {
    let home: TestHome;
    let daemon: DaemonProcess;

    beforeAll(async () => {
      home = await TestHome.create();
      await home.addPack("neighbour", { "blocks/echo.py": ECHO_BLOCK });
      await home.addFlow("neighbour", blockFlow("neighbour", "neighbour"));
      await home.addFlow("hangs", shortFlow("hangs", "hostile_hanging", "blocks/hang.py", 1));
      await home.addFlow("hangs_node", shortFlow("hangs_node", "hostile_hanging", "blocks/hang_node.mjs", 1));
      await home.addFlow("exhausts", shortFlow("exhausts", "hostile_fork_bomb", "blocks/exhaust.py", 10));
      for (const pack of packs) await home.addPack(pack);
      for (const pack of reuse ? ["neighbour", ...packs] : []) {
        const manifest = JSON.parse(await home.read(`ecosystem/${pack}/ecosystem.json`)) as Record<string, unknown>;
        await home.write(`ecosystem/${pack}/ecosystem.json`, JSON.stringify({ ...manifest, runtime: { reuse: true } }));
      }
      daemon = await DaemonProcess.start(home, { RUMI_API_RATE_LIMIT: "100000", RUMI_API_ADDRESS_RATE_LIMIT: "100000", ...env });
      for (const pack of ["neighbour", ...packs]) {
        const answer = await daemon.approve(pack);
        if (!answer.body.success) throw new Error(`${pack}: ${answer.body.code} ${answer.body.error}`);
      }
    });

    afterAll(async () => {
      await daemon[Symbol.asyncDispose]();
      const left = await leftovers(home);
      await home[Symbol.asyncDispose]();
      expect(left).toEqual([]);
    });

    const expectNeighbour = async (text: string): Promise<void> => {
      const { data } = (await daemon.run("neighbour", { text })).body;
      expect(data).toMatchObject({ state: "completed", result: { answer: { said: text } }, failed_steps: [] });
    };

    test.for(rows)("%s: flow %s with %o ends %s, while /health and the neighbour answer", async ([, flow, inputs, ends]) => {
      let done = false;
      const attempt = daemon.run(flow, inputs).finally(() => {
        done = true;
      });
      await expectNeighbour(`beside ${flow}`);
      await until(async () => {
        expect((await daemon.get("/health")).status).toBe(200);
        return done;
      }, 60_000);
      const { data } = (await attempt).body;
      expect([ends].flat(), JSON.stringify(data).slice(0, 500)).toContain(endOf(data));
      if (data.result !== null) expect(JSON.stringify(data.result)).not.toMatch(/"(reached|connected|opened)"/u);
      await expectNeighbour(`after ${flow}`);
    });

    test("a hostile pack edited after its approval is refused, and what it brought to be run by itself never ran", async () => {
      await home.write("ecosystem/hostile_tampering/blocks/answer.py", "def run(data, context):\n    return 'tampered'\n");
      await until(
        async () =>
          endOf((await daemon.run("hostile_tampering")).body.data) !== "contained" ||
          (await daemon.run("hostile_tampering")).status === 404,
      );
      expect(JSON.stringify((await daemon.run("hostile_tampering")).body)).not.toContain("tampered'");
      expect(await daemon.status("hostile_tampering")).toBe("modified");
    });

    test("after all attempts the audit log holds and no call is left in any container", async () => {
      expect((await daemon.post("/api/audit/verify")).body.data).toMatchObject({ ok: true });
      const { instances } = (await daemon.get<{ instances: { busy: number }[] }>("/api/containers")).body.data;
      expect(instances.every((instance) => instance.busy === 0)).toBe(true);
    });
  });
}

/** The code of the step that failed, or `contained` when it answered. */
function endOf(run: RunData): string {
  return run.failed_steps[0]?.code ?? (run.state === "completed" ? "contained" : run.state);
}
