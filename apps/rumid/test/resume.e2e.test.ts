import { randomInt } from "node:crypto";
import { expect, test } from "vitest";
import { addCountingPack, approveCountingPack, countingFlow, executions, stepName } from "./counting-pack.ts";
import { DaemonProcess, sleep, TestHome, until } from "./daemon-process.ts";

/** These tests ask more often than an operator does. */
const LIMITS = { RUMI_API_RATE_LIMIT: "100000" } as const;
/** How often the daemon is killed in the long run. */
const KILLS = 5;

interface RunView {
  readonly run_id: string;
  readonly state: string;
  readonly code: string | null;
  readonly resumes: number;
  readonly steps: readonly { readonly path: string; readonly status: string }[];
}

async function startRun(daemon: DaemonProcess, flowId: string): Promise<string> {
  return (await daemon.post<{ run_id: string }>(`/api/flows/${flowId}/run`, { async: true })).body.data.run_id;
}

async function runOf(daemon: DaemonProcess, id: string): Promise<RunView> {
  return (await daemon.get<RunView>(`/api/runs/${id}`)).body.data;
}

/** A home whose flow `four` waits in its third step, killed while it stands there. */
async function killedInStepThree() {
  const home = await TestHome.create();
  await addCountingPack(home);
  await home.addFlow("four", countingFlow("four", 4, { at: 3, seconds: 60 }));
  const daemon = await DaemonProcess.start(home, LIMITS);
  await approveCountingPack(daemon);
  const id = await startRun(daemon, "four");
  await until(async () => (await executions(daemon))["s03"]?.length === 1, 30_000);
  const before = await executions(daemon);
  await daemon.stop("SIGKILL");
  return { home, id, before };
}

test("F55 F56 kill -9 inside step 3 of 4: 3 runs again with the same idempotency key, 4 runs, 1 and 2 not again", async () => {
  const { home, id, before } = await killedInStepThree();
  await using _home = home;
  await using daemon = await DaemonProcess.start(home, LIMITS);
  await until(async () => (await runOf(daemon, id)).state === "completed", 30_000);
  const after = await executions(daemon);
  expect(Object.entries(after).map(([step, keys]) => [step, keys.length])).toEqual([
    ["s01", 1],
    ["s02", 1],
    ["s03", 2],
    ["s04", 1],
  ]);
  expect([after["s01"], after["s02"]]).toEqual([before["s01"], before["s02"]]);
  expect(after["s03"]).toEqual([`${id}:s03`, `${id}:s03`]);
  expect(await runOf(daemon, id)).toMatchObject({
    state: "completed",
    resumes: 1,
    steps: ["s01", "s02", "s03", "s04"].map((path) => ({ path, status: "done" })),
  });
  expect((await daemon.post("/api/audit/verify")).body.data).toMatchObject({ ok: true });
});

test("F57 a flow edited while the daemon was down: its run ends definition_changed, and /api/runs says so", async () => {
  const { home, id } = await killedInStepThree();
  await using _home = home;
  await home.addFlow("four", countingFlow("four", 5));
  await using daemon = await DaemonProcess.start(home, LIMITS);
  const { runs } = (await daemon.get<{ runs: RunView[] }>("/api/runs?flow_id=four")).body.data;
  expect(runs).toMatchObject([{ run_id: id, state: "failed", code: "flow.definition_changed" }]);
  expect((await daemon.get<{ runs: RunView[] }>("/api/runs?flow_id=four&state=running")).body.data.runs).toEqual([]);
  expect(Object.keys(await executions(daemon))).toEqual(["s01", "s02", "s03"]);
  expect(await daemon.post(`/api/runs/${id}/cancel`)).toMatchObject({ status: 409, body: { code: "flow.run_finished" } });
});

test("a run of 20 steps outlives kills at any moment: none is lost, no finished step runs again", async () => {
  await using home = await TestHome.create();
  await addCountingPack(home);
  await home.addFlow("twenty", countingFlow("twenty", 20));
  const ids: string[] = [];
  // A run is taken up three times at most: another one begins before that.
  for (let kill = 0; kill < KILLS; kill += 1) {
    const daemon = await DaemonProcess.start(home, LIMITS);
    if (kill === 0) await approveCountingPack(daemon);
    ids.push(await startRun(daemon, "twenty"));
    await sleep(randomInt(50, 1500));
    await daemon.stop("SIGKILL");
  }
  await using daemon = await DaemonProcess.start(home, LIMITS);
  await until(async () => {
    const views = await Promise.all(ids.map((id) => runOf(daemon, id)));
    return views.every(({ state }) => state !== "running" && state !== "queued");
  }, 60_000);
  const ran = Object.values(await executions(daemon)).flat();
  for (const id of ids) {
    const run = await runOf(daemon, id);
    const all = Array.from({ length: 20 }, (_, index) => stepName(index + 1));
    const most = run.code === "flow.resume_limit" ? 3 : run.resumes;
    expect(["completed", "flow.resume_limit"]).toContain(run.code ?? run.state);
    // Only the step that stood open when the daemon died may run again: one for each time the run was taken up.
    const own = ran.filter((key) => key.startsWith(`${id}:`));
    expect([id, own.length - new Set(own).size <= most]).toEqual([id, true]);
    if (run.code === null) expect(run.steps.map(({ path, status }) => [path, status])).toEqual(all.map((path) => [path, "done"]));
  }
});
