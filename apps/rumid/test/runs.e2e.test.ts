import { createClient } from "@rumi/api/client";
import type { StreamEvent } from "@rumi/api/client";
import { expect, test } from "vitest";
import { addCountingPack, approveCountingPack, countingFlow, executions } from "./counting-pack.ts";
import { blockFlow, DaemonProcess, ECHO_BLOCK, sleep, TestHome, until } from "./daemon-process.ts";

/** These tests ask more often than an operator does. */
const LIMITS = { RUMI_API_RATE_LIMIT: "100000" } as const;

async function withEcho(flows: Readonly<Record<string, string>>, packs: Readonly<Record<string, Readonly<Record<string, string>>>> = {}) {
  const home = await TestHome.create();
  await home.addPack("alpha", { "blocks/echo.py": ECHO_BLOCK });
  for (const [id, files] of Object.entries(packs)) await home.addPack(id, files);
  for (const [id, yaml] of Object.entries(flows)) await home.addFlow(id, yaml);
  const daemon = await DaemonProcess.start(home, LIMITS);
  await daemon.approve("alpha");
  return {
    home,
    daemon,
    [Symbol.asyncDispose]: async () => {
      await daemon[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
}

/** Follows a run after an event, until `most` events came or the stream ended. */
async function follow(
  daemon: DaemonProcess,
  id: string,
  after: number,
  most = Number.POSITIVE_INFINITY,
  token = daemon.token,
): Promise<StreamEvent[]> {
  const cut = new AbortController();
  const client = createClient({ url: daemon.url, token });
  const answer = await client.stream("runs.events", { params: { id }, lastEventId: after, signal: cut.signal });
  if (!answer.ok) throw new Error(answer.code);
  const seen: StreamEvent[] = [];
  for await (const event of answer.events) {
    seen.push(event);
    if (seen.length >= most) break;
  }
  cut.abort();
  return seen;
}

test("H39 events of a run, cut again and again and over a kill of the daemon: no gap, no repeat", async () => {
  await using home = await TestHome.create();
  await addCountingPack(home);
  await home.addFlow("eight", countingFlow("eight", 8, { at: 4, seconds: 60 }));
  const seen: StreamEvent[] = [];
  let id = "";
  {
    const first = await DaemonProcess.start(home, LIMITS);
    await approveCountingPack(first);
    id = (await first.post<{ run_id: string }>("/api/flows/eight/run", { async: true })).body.data.run_id;
    while (!seen.some(({ event, data }) => event === "step.started" && data["path"] === "s04"))
      seen.push(...(await follow(first, id, seen.at(-1)?.id ?? 0, 1)));
    await until(async () => (await executions(first))["s04"]?.length === 1);
    const open = follow(first, id, seen.at(-1)?.id ?? 0);
    await sleep(100);
    await first.stop("SIGKILL");
    seen.push(...(await open));
  }
  await using daemon = await DaemonProcess.start(home, LIMITS);
  while (seen.at(-1)?.event !== "run.finished") seen.push(...(await follow(daemon, id, seen.at(-1)?.id ?? 0, 3)));
  expect(seen.map((event) => event.id)).toEqual(seen.map((_, index) => index + 1));
  const done = seen.filter(({ event }) => event === "step.finished").map(({ data }) => data["path"]);
  expect(done).toEqual(["s01", "s02", "s03", "s04", "s05", "s06", "s07", "s08"]);
  expect(seen.filter(({ event }) => event === "run.started").map(({ data }) => data["resumed"] ?? false)).toEqual([false, true]);
  // What a block printed is an event, and a line of the run's log.
  const { lines } = (await daemon.get<{ lines: { step_id: string; text: string }[] }>(`/api/runs/${id}/logs?step=s08`)).body.data;
  expect(lines).toMatchObject([{ step_id: "s08", text: "step s08" }]);
  expect(await follow(daemon, id, 0)).toEqual(seen);
  expect(await follow(daemon, id, seen.length)).toEqual([]);
});

test("an open stream ends daemon.stopping when the daemon is told to stop; the stop waits for no stream", async () => {
  await using scene = await withEcho({ echo: blockFlow("echo", "alpha") });
  const { daemon } = scene;
  const id = (await daemon.post<{ run_id: string }>("/api/flows/echo/run", { inputs: { sleep: 2 }, async: true })).body.data.run_id;
  const watched = follow(daemon, id, 0);
  await until(async () =>
    (await daemon.get<{ instances: { busy: number }[] }>("/api/containers")).body.data.instances.some((one) => one.busy === 1),
  );
  expect(await daemon.stop("SIGTERM")).toBe(0);
  expect((await watched).at(-1)).toEqual({ event: "daemon.stopping", data: {} });
});

test("H4 H40 H41 a revoked token's stream ends; a cancelled run's call is gone; a run token sees only its own", async () => {
  await using scene = await withEcho({ echo: blockFlow("echo", "alpha") });
  const { daemon } = scene;
  const make = async (name: string, scopes: string[]) =>
    (await daemon.post<{ id: string; token: string }>("/api/tokens", { name, scopes, allowed_flow_ids: ["echo"] })).body.data;
  const [reader, runner] = [await make("reader", ["read"]), await make("runner", ["run"])];
  const id = (await daemon.post<{ run_id: string }>("/api/flows/echo/run", { inputs: { sleep: 60 }, async: true })).body.data.run_id;
  const watched = follow(daemon, id, 0, undefined, reader.token);
  await until(async () =>
    (await daemon.get<{ instances: { busy: number }[] }>("/api/containers")).body.data.instances.some((one) => one.busy === 1),
  );
  for (const path of [`/api/runs/${id}`, `/api/runs/${id}/events`, `/api/runs/${id}/logs`]) {
    const answer = await fetch(`${daemon.url}${path}`, { headers: { authorization: `Bearer ${runner.token}` } });
    expect([path, answer.status]).toEqual([path, 404]);
    await answer.body?.cancel();
  }
  expect((await daemon.request("DELETE", `/api/tokens/${reader.id}`)).status).toBe(200);
  expect((await watched).at(-1)).toEqual({ event: "token.expired", data: {} });
  expect((await daemon.post(`/api/runs/${id}/cancel`)).status).toBe(200);
  await until(
    async () => (await daemon.get<{ instances: { busy: number }[] }>("/api/containers")).body.data.instances.every((one) => one.busy === 0),
    1_000,
  );
  await until(async () => (await daemon.get<{ state: string }>(`/api/runs/${id}`)).body.data.state === "cancelled");
  expect(await daemon.post(`/api/runs/${id}/cancel`)).toMatchObject({ status: 409, body: { code: "flow.run_finished" } });
});

const STEPS = (said: string): string => `flow_id: mine
phases: [main]
steps:
  - { id: say, phase: main, type: set, input: { key: said, value: ${said} } }
`;

test("H43 a broken text for a shared flow is refused with all that is wrong, the old one runs; saved ones are the operator's alone", async () => {
  await using scene = await withEcho({});
  const { daemon, home } = scene;
  expect((await daemon.request("PUT", "/api/flows/shared/mine", { source: STEPS("old") })).status).toBe(200);
  const { stat } = await import("node:fs/promises");
  expect((await stat(home.at("user_data/shared/flows/mine.flow.yaml"))).mode & 0o777).toBe(0o600);
  const broken =
    "flow_id: mine\nphases: [main]\nsteps:\n  - { id: a, phase: main, type: nope }\n  - { id: a, phase: none, type: set, when: 3 }\n";
  const refused = await daemon.request<{ issues: { code: string; path: string; message: string }[] }>("PUT", "/api/flows/shared/mine", {
    source: broken,
  });
  expect(refused.status).toBe(400);
  expect(refused.body.data.issues.map(({ code, path }) => `${code} ${path}`)).toEqual([
    "flow.unknown_type /steps/0/type",
    "flow.invalid_step /steps/1/input",
    "flow.duplicate_step_id /steps/1/id",
    "flow.unknown_phase /steps/1/phase",
    "flow.invalid_condition /steps/1/when",
  ]);
  expect(refused.body.data.issues[0]).toMatchObject({ path: "/steps/0/type", message: expect.stringContaining("line 4") });
  expect((await daemon.run("mine")).body.data.result).toEqual({ said: "old" });
  for (const [path, source] of [
    ["other", STEPS("x")],
    ["startup", STEPS("x").replace("mine", "startup")],
    ["bad%2F..%2Fx", STEPS("x")],
  ] as const)
    expect([path, (await daemon.request("PUT", `/api/flows/shared/${path}`, { source })).status]).toEqual([path, 400]);
  const entries = await daemon.get<{ entries: Record<string, unknown>[] }>("/api/audit?category=system&action=settings&flow=mine");
  expect(entries.body.data.entries).toHaveLength(1);
  expect((await daemon.request("DELETE", "/api/flows/shared/mine")).status).toBe(200);
  expect((await daemon.run("mine")).status).toBe(404);
  expect((await daemon.request("DELETE", "/api/flows/shared/mine")).status).toBe(404);
});

test("a link in the shared folder is never written through", async () => {
  await using scene = await withEcho({});
  const { daemon, home } = scene;
  const { lstat, mkdir, readdir, symlink, writeFile, readFile } = await import("node:fs/promises");
  await mkdir(home.at("elsewhere"));
  await writeFile(home.at("victim"), "whole");
  await symlink(home.at("elsewhere"), home.at("user_data/shared/flows/modifiers"));
  await symlink(home.at("victim"), home.at("user_data/shared/flows/mine.flow.yaml"));
  const modifier = "modifier_id: m\ntarget_flow_id: mine\naction: append\nstep: { id: b, type: set, input: { key: x, value: 1 } }\n";
  expect((await daemon.request("PUT", "/api/modifiers/shared/m", { source: modifier })).body.success).toBe(false);
  expect(await readdir(home.at("elsewhere"))).toEqual([]);
  expect((await daemon.request("PUT", "/api/flows/shared/mine", { source: STEPS("new") })).status).toBe(200);
  expect(await readFile(home.at("victim"), "utf8")).toBe("whole");
  expect((await lstat(home.at("user_data/shared/flows/mine.flow.yaml"))).isFile()).toBe(true);
});

interface Change {
  readonly targets: {
    readonly flow_id: string;
    readonly applied: boolean;
    readonly skipped_reason: string | null;
    readonly digest: string;
  }[];
  readonly wide: boolean;
  readonly warnings: readonly string[];
  readonly effective?: { readonly digest: string; readonly steps: { readonly id: string }[] }[];
}

const digestOf = async (daemon: DaemonProcess, flow: string): Promise<string> =>
  (await daemon.get<{ digest: string }>(`/api/flows/${flow}/effective`)).body.data.digest;

test("H42 H67 F88 a dry run of a file and of an unapproved pack composes and publishes nothing; a wide one is warned of and audited", async () => {
  const append = (id: string, target: string): string =>
    `modifier_id: ${id}\ntarget_flow_id: "${target}"\naction: append\nstep: { id: ${id}, type: set, input: { key: ${id}_key, value: 1 } }\n`;
  await using scene = await withEcho(
    { mine: STEPS("x") },
    {
      addon: { "flows/modifiers/a.modifier.yaml": append("from_pack", "mine"), "flows/modifiers/w.modifier.yaml": append("wide_one", "*") },
    },
  );
  const { daemon, home } = scene;
  const before = await digestOf(daemon, "mine");

  const dry = await daemon.request<Change>("PUT", "/api/modifiers/shared/glob?dry_run=true", { source: append("glob", "min*") });
  expect(dry.body.data).toMatchObject({
    wide: true,
    targets: [{ flow_id: "mine", applied: true }],
    effective: [{ steps: [{ id: "say" }, { id: "glob" }] }],
  });
  expect(dry.body.data.warnings).toEqual([expect.stringContaining("modifier.wide")]);
  const pack = await daemon.get<{ modifiers: Record<string, unknown>[]; effective: unknown[] }>(
    "/api/modifiers?pack_id=addon&dry_run=true",
  );
  expect(pack.body.data.modifiers).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ modifier_id: "from_pack", target_flow_id: "mine", applied: true, wide: false }),
      expect.objectContaining({
        modifier_id: "wide_one",
        target_flow_id: "mine",
        applied: false,
        wide: true,
        skipped_reason: "wildcard_not_allowed",
      }),
    ]),
  );
  expect(pack.body.data.effective).toHaveLength(1);
  expect(await digestOf(daemon, "mine")).toBe(before);
  expect((await daemon.get<{ modifiers: unknown[] }>("/api/modifiers")).body.data.modifiers).toEqual([]);
  expect(await daemon.get("/api/modifiers?pack_id=none&dry_run=true")).toMatchObject({
    status: 404,
    body: { code: "approval.pack_not_found" },
  });

  const saved = await daemon.request<Change>("PUT", "/api/modifiers/shared/glob", { source: append("glob", "min*") });
  expect(saved.body.data.targets).toEqual(dry.body.data.targets);
  expect(await digestOf(daemon, "mine")).toBe(dry.body.data.targets[0]?.digest);
  await daemon.approve("addon");
  const effective = await daemon.get<{ steps: { id: string; origin: Record<string, unknown> }[] }>("/api/flows/mine/effective");
  expect(effective.body.data.steps.map(({ id, origin }) => [id, origin["pack_id"], origin["file"], origin["modifier_id"]])).toEqual([
    ["say", null, "mine.flow.yaml", null],
    ["from_pack", "addon", "flows/modifiers/a.modifier.yaml", "from_pack"],
    ["glob", null, "modifiers/glob.modifier.yaml", "glob"],
  ]);
  const audited = await daemon.get<{ entries: { modifier_id: string; details: { wide: boolean } }[] }>(
    "/api/audit?action=modifier_application",
  );
  expect(audited.body.data.entries.find((entry) => entry.modifier_id === "glob")?.details.wide).toBe(true);

  expect(
    (await daemon.request("PUT", "/api/modifiers/shared/glob", { source: append("glob", "min*").replace("append", "apend") })).body.code,
  ).toBe("modifier.invalid_field");
  const gone = await daemon.request<Change>("DELETE", "/api/modifiers/shared/glob");
  expect(gone.body.data.targets).toMatchObject([{ flow_id: "mine", applied: false, digest: await digestOf(daemon, "mine") }]);
  expect(await home.read("user_data/shared/flows/modifiers/glob.modifier.yaml").catch(() => "gone")).toBe("gone");
  expect(await daemon.request("DELETE", "/api/modifiers/shared/glob")).toMatchObject({ status: 404, body: { code: "modifier.not_found" } });
});

test("H70 flow diff equals the effective flows before and after the change, for a text and for a pack's folder; it publishes nothing", async () => {
  const own = (said: string): string =>
    `flow_id: beta.own\nphases: [main]\nsteps:\n  - { id: call, phase: main, type: file_call, owner_pack: beta, file: blocks/echo.py, input: { text: ${said} }, output: a }\n`;
  await using scene = await withEcho({ mine: STEPS("old") }, { beta: { "blocks/echo.py": ECHO_BLOCK, "flows/own.flow.yaml": own("one") } });
  const { daemon, home } = scene;
  await daemon.approve("beta");
  interface Diff {
    readonly base_digest: string;
    readonly digest: string;
    readonly changed: readonly { readonly step: string; readonly field: string; readonly from: unknown; readonly to: unknown }[];
  }
  const before = await digestOf(daemon, "mine");
  const text = (await daemon.post<Diff>("/api/flows/mine/diff", { source: STEPS("new") })).body.data;
  expect(text).toMatchObject({
    base_digest: before,
    added: [],
    removed: [],
    changed: [{ step: "say", field: "input", from: { key: "said", value: "old" }, to: { key: "said", value: "new" } }],
    problems: [],
  });
  expect(await digestOf(daemon, "mine")).toBe(before);
  await daemon.request("PUT", "/api/flows/shared/mine", { source: STEPS("new") });
  expect(await digestOf(daemon, "mine")).toBe(text.digest);

  const packBefore = await digestOf(daemon, "beta.own");
  await home.write("ecosystem/beta/flows/own.flow.yaml", own("two"));
  const live = (await daemon.post<Diff>("/api/flows/beta.own/diff", { pack_id: "beta" })).body.data;
  expect(live.changed.map(({ step, field }) => [step, field])).toEqual([
    ["call", "input"],
    ["call", "snapshot"],
  ]);
  await daemon.approve("beta");
  expect(await digestOf(daemon, "beta.own")).toBe(live.digest);
  expect(packBefore).not.toBe(live.digest);
  expect((await daemon.post("/api/flows/mine/diff", {})).status).toBe(400);
  expect((await daemon.post("/api/flows/none/diff", { pack_id: "beta" })).status).toBe(404);
});

test("flow plan tells what a run would stumble over, and the command for each", async () => {
  const flow = `flow_id: mine
inputs: { n: { type: integer, required: true } }
phases: [main]
steps:
  - { id: a, phase: main, type: file_call, owner_pack: alpha, file: blocks/none.py, output: a }
  - { id: b, phase: main, type: file_call, owner_pack: beta, file: blocks/echo.py, output: b }
  - { id: c, phase: main, type: flow, flow: nowhere }
  - { id: d, phase: main, type: function, function: "alpha:nothing" }
`;
  await using scene = await withEcho({ mine: flow, echo: blockFlow("echo", "alpha") }, { beta: { "blocks/echo.py": ECHO_BLOCK } });
  const { daemon } = scene;
  interface Plan {
    readonly order: readonly string[];
    readonly missing: readonly { readonly step: string | null; readonly code: string; readonly remedy: string | null }[];
  }
  const plan = (await daemon.post<Plan>("/api/flows/mine/plan", { inputs: { n: "x" } })).body.data;
  expect(plan.order).toEqual(["a", "b", "c", "d"]);
  expect(plan.missing).toMatchObject([
    { step: null, code: "flow.input_type" },
    { step: "a", code: "flow.missing_target" },
    { step: "b", code: "approval.not_approved", remedy: "rumi pack review beta" },
    { step: "c", code: "flow.missing_target" },
    { step: "d", code: "flow.missing_target" },
  ]);
  expect((await daemon.post<Plan>("/api/flows/echo/plan")).body.data.missing).toEqual([]);
  expect((await daemon.get<{ runs: unknown[] }>("/api/runs?flow_id=mine")).body.data.runs).toEqual([]);
});
