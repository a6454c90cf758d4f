import { expect, test } from "vitest";
import { blockFlow, DaemonProcess, ECHO_BLOCK, sleep, TestHome, until } from "./daemon-process.ts";

/** Seconds between two fires: the shortest there is. */
const INTERVAL = 10;

interface Status {
  readonly flow_id: string;
  readonly enabled: boolean;
  readonly next_fire_at: string | null;
  readonly last_fire_at: string | null;
  readonly skipped_overlap: number;
}

/** These tests ask more often than an operator does. */
const LIMITS = { RUMI_API_RATE_LIMIT: "100000" } as const;

const schedule = `schedule: { interval: ${INTERVAL}, inputs: { sleep: 13 } }\n`;

async function statusOf(daemon: DaemonProcess, flow: string): Promise<Status> {
  const { schedules } = (await daemon.get<{ schedules: Status[] }>("/api/schedules")).body.data;
  const found = schedules.find(({ flow_id: id }) => id === flow);
  if (found === undefined) throw new Error(`no schedule of ${flow}`);
  return found;
}

async function runsOf(daemon: DaemonProcess, flow: string): Promise<number> {
  return (await daemon.get<{ runs: unknown[] }>(`/api/runs?flow_id=${flow}`)).body.data.runs.length;
}

test("F77 F78 fires over a long run are dropped and counted; what was missed while down is one run, no instant fires twice", async () => {
  await using home = await TestHome.create();
  await home.addPack("alpha", { "blocks/echo.py": ECHO_BLOCK });
  await home.addFlow("slow", blockFlow("slow", "alpha") + schedule);
  await home.addFlow("tick", `flow_id: tick\nphases: [main]\nsteps: []\nschedule: { interval: ${INTERVAL} }\n`);
  let due = 0;
  {
    const first = await DaemonProcess.start(home, LIMITS);
    await first.approve("alpha");
    expect(await runsOf(first, "tick")).toBe(0);
    // The second fire of `slow` comes while its first run, of 13 seconds, goes on.
    await until(async () => (await statusOf(first, "slow")).skipped_overlap === 1, 30_000);
    expect(await runsOf(first, "slow")).toBe(1);
    await until(async () => (await runsOf(first, "tick")) === 2);
    const status = await statusOf(first, "slow");
    due = Date.parse((await statusOf(first, "tick")).next_fire_at ?? "");
    expect(Date.parse(status.next_fire_at ?? "") - Date.parse(status.last_fire_at ?? "")).toBe(INTERVAL * 1000);
    // A paused schedule does not end the run that goes on.
    const disabled = await first.post<Status>("/api/schedules/slow/disable");
    expect(disabled.body.data).toMatchObject({ enabled: false, next_fire_at: null });
    await until(async () => (await first.get<{ runs: unknown[] }>("/api/runs?state=running")).body.data.runs.length === 0);
    await first.stop("SIGKILL");
  }
  await sleep(due + 500 - Date.now());
  await using daemon = await DaemonProcess.start(home, LIMITS);
  await until(async () => (await runsOf(daemon, "tick")) === 3);
  const after = await statusOf(daemon, "tick");
  expect([Date.parse(after.last_fire_at ?? ""), Date.parse(after.next_fire_at ?? "")]).toEqual([due, due + INTERVAL * 1000]);
  expect(await statusOf(daemon, "slow")).toMatchObject({ enabled: false, skipped_overlap: 1 });

  const triggered = await daemon.post<{ run_id: string }>("/api/schedules/tick/trigger");
  expect(triggered.status).toBe(202);
  await until(async () => (await daemon.get<{ state: string }>(`/api/runs/${triggered.body.data.run_id}`)).body.data.state === "completed");
  expect((await statusOf(daemon, "tick")).next_fire_at).toBe(after.next_fire_at);
  expect((await daemon.post<Status>("/api/schedules/slow/enable")).body.data).toMatchObject({ enabled: true });
  expect(await daemon.post("/api/schedules/nowhere/trigger")).toMatchObject({ status: 404, body: { code: "schedule.not_found" } });
  const audited = await daemon.get<{ entries: { details: { change: string } }[] }>("/api/audit?category=system&action=schedule");
  expect(audited.body.data.entries.map(({ details }) => details.change)).toEqual(["enable", "trigger", "disable"]);
});
