import { afterAll, beforeAll, expect, test } from "vitest";
import { blockFlow, DaemonProcess, ECHO_BLOCK, TestHome, until } from "./daemon-process.ts";
import type { RunData } from "./daemon-process.ts";
import { containersOf } from "./engine.ts";

/** Pack, flow, inputs, and how the attempt must end: an error type, or `contained` when the block may answer what it could not do. */
const ATTEMPTS: readonly (readonly [pack: string, flow: string, inputs: Record<string, unknown>, ends: string | readonly string[]])[] = [
  ["hostile_network", "hostile_network", {}, "contained"],
  ["hostile_network", "hostile_network.node", {}, "contained"],
  ["hostile_filesystem", "hostile_filesystem", {}, "contained"],
  ["hostile_filesystem", "hostile_filesystem.syscalls", {}, "contained"],
  ["hostile_fork_bomb", "hostile_fork_bomb", {}, "contained"],
  ["hostile_fork_bomb", "hostile_fork_bomb.daemon", {}, "contained"],
  ["hostile_memory", "hostile_memory", {}, "sandbox.oom_killed"],
  ["hostile_output_flood", "hostile_output_flood", {}, "contained"],
  ["hostile_output_flood", "hostile_output_flood.result", {}, "sandbox.response_too_large"],
  ["hostile_output_flood", "hostile_output_flood.prints", {}, "contained"],
  ["hostile_printing", "hostile_printing", {}, "contained"],
  ["hostile_printing", "hostile_printing.node", {}, "contained"],
  ["hostile_exit", "hostile_exit", {}, "sandbox.crashed"],
  ["hostile_exit", "hostile_exit", { how: "segfault" }, "sandbox.crashed"],
  ["hostile_exit", "hostile_exit", { how: "kill_everything" }, "sandbox.crashed"],
  ["hostile_exit", "hostile_exit.node", {}, "sandbox.crashed"],
  ["hostile_hanging", "hangs", { how: "sleep" }, "sandbox.timeout"],
  ["hostile_hanging", "hangs", { how: "busy" }, "sandbox.timeout"],
  ["hostile_hanging", "hangs", { how: "deaf_child" }, "sandbox.timeout"],
  ["hostile_runner_socket", "hostile_runner_socket", {}, "contained"],
  ["hostile_runner_socket", "hostile_runner_socket.forge", {}, ["contained", "sandbox.protocol_error", "sandbox.crashed"]],
  ["hostile_tampering", "hostile_tampering", {}, "contained"],
];

const HANGS = `flow_id: hangs
phases: [main]
steps:
  - { id: attempt, phase: main, type: python_file_call, owner_pack: hostile_hanging, file: blocks/hang.py, timeout_seconds: 1, input: { how: "\${ctx.how}" }, output: answer }
`;

let home: TestHome;
let daemon: DaemonProcess;

beforeAll(async () => {
  home = await TestHome.create();
  await home.addPack("neighbour", { "blocks/echo.py": ECHO_BLOCK });
  await home.addFlow("neighbour", blockFlow("neighbour", "neighbour"));
  await home.addFlow("hangs", HANGS);
  for (const pack of new Set(ATTEMPTS.map(([id]) => id))) await home.addPack(pack);
  daemon = await DaemonProcess.start(home, { RUMI_API_RATE_LIMIT: "100000", RUMI_API_ADDRESS_RATE_LIMIT: "100000" });
  for (const pack of ["neighbour", ...new Set(ATTEMPTS.map(([id]) => id))]) {
    const answer = await daemon.approve(pack);
    if (!answer.body.success) throw new Error(`${pack}: ${answer.body.code} ${answer.body.error}`);
  }
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  const left = await containersOf(home);
  await home[Symbol.asyncDispose]();
  expect(left).toEqual([]);
});

test.for(ATTEMPTS)("%s: flow %s with %o ends %s, while /health answers and the neighbour is unharmed", async ([, flow, inputs, ends]) => {
  const attempt = daemon.run(flow, inputs);
  let done = false;
  const finished = attempt.then((answer) => {
    done = true;
    return answer;
  });
  await until(async () => {
    expect((await daemon.get("/health")).status).toBe(200);
    return done;
  }, 60_000);
  const { data } = (await finished).body;
  expect([ends].flat()).toContain(endOf(data));
  if (data.result !== null) expect(JSON.stringify(data.result)).not.toMatch(/"(reached|connected|opened)"/u);
  const neighbour = await daemon.run("neighbour", { text: flow });
  expect(neighbour.body.data).toMatchObject({ state: "completed", result: { answer: { said: flow } }, failed_steps: [] });
});

/** The code of the step that failed, or `contained` when it answered. */
function endOf(run: RunData): string {
  return run.failed_steps[0]?.code ?? (run.state === "completed" ? "contained" : run.state);
}

test("a hostile pack edited after its approval is refused, and what it brought to be run by itself never ran", async () => {
  await home.write("ecosystem/hostile_tampering/blocks/answer.py", "def run(data, context):\n    return 'tampered'\n");
  await until(
    async () =>
      endOf((await daemon.run("hostile_tampering")).body.data) !== "contained" || (await daemon.run("hostile_tampering")).status === 404,
  );
  expect(JSON.stringify((await daemon.run("hostile_tampering")).body)).not.toContain("tampered'");
  expect(await daemon.status("hostile_tampering")).toBe("modified");
});

test("after all attempts the audit log holds and no call is left in any container", async () => {
  expect((await daemon.post("/api/audit/verify")).body.data).toMatchObject({ ok: true });
  const { instances } = (await daemon.get<{ instances: { busy: number }[] }>("/api/containers")).body.data;
  expect(instances.every((instance) => instance.busy === 0)).toBe(true);
});
