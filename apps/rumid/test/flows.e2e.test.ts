import { expect, test } from "vitest";
import { blockFlow, DaemonProcess, ECHO_BLOCK, TestHome, until } from "./daemon-process.ts";
import { containersOf } from "./engine.ts";

async function withPack(files: Record<string, string>, flows: Record<string, string>, env: Record<string, string> = {}) {
  const home = await TestHome.create();
  await home.addPack("alpha", files);
  for (const [id, yaml] of Object.entries(flows)) await home.addFlow(id, yaml);
  const daemon = await DaemonProcess.start(home, env);
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

test("F40 a block over its timeout: its tree is killed, the step failed, the next step runs", async () => {
  const flow = `flow_id: late
phases: [main]
steps:
  - { id: a, phase: main, type: python_file_call, owner_pack: alpha, file: blocks/echo.py, timeout_seconds: 1, input: { text: a, sleep: 60 }, output: first }
  - { id: b, phase: main, type: python_file_call, owner_pack: alpha, file: blocks/echo.py, input: { text: b }, output: second }
`;
  await using scene = await withPack({ "blocks/echo.py": ECHO_BLOCK }, { late: flow });
  const { data } = (await scene.daemon.run("late")).body;
  expect(data).toMatchObject({
    state: "completed",
    failed_steps: [{ step_id: "a", code: "sandbox.timeout" }],
    result: { second: { said: "b" } },
  });
  expect(data.result).not.toHaveProperty("first");
});

test("F43 a block that asks to abort ends the run aborted with its reason, HTTP 200, its value stored", async () => {
  await using scene = await withPack(
    { "blocks/stop.py": 'def run(data):\n    return {"__flow_control": "abort", "reason": "bad"}\n' },
    { stop: blockFlow("stop", "alpha", { file: "blocks/stop.py" }) },
  );
  expect(await scene.daemon.run("stop")).toMatchObject({
    status: 200,
    body: { success: true, data: { state: "aborted", reason: "bad", result: { answer: { reason: "bad" } } } },
  });
});

test("F41 fail_soft false: the run fails with the block's own code; the message holds no host path", async () => {
  const flow = `${blockFlow("strictly", "alpha", { file: "blocks/raise.py" })}defaults: { fail_soft: false }\n`;
  await using scene = await withPack({ "blocks/raise.py": "def run(data):\n    raise ValueError('wrong value')\n" }, { strictly: flow });
  const answer = await scene.daemon.run("strictly");
  expect(answer).toMatchObject({
    status: 502,
    body: {
      success: false,
      code: "sandbox.block_error",
      data: { state: "failed", failed_steps: [{ code: "sandbox.block_error", details: { exception_type: "ValueError" } }] },
    },
  });
  expect(JSON.stringify(answer.body)).toContain("wrong value");
  expect(JSON.stringify(answer.body)).not.toContain(scene.home.path);
});

test("F53 H36 a run's own deadline: 408, timed_out, the call dead", async () => {
  await using scene = await withPack({ "blocks/echo.py": ECHO_BLOCK }, { echo: blockFlow("echo", "alpha") });
  const answer = await scene.daemon.run("echo", { text: "x", sleep: 60 }, 1);
  expect(answer).toMatchObject({ status: 408, body: { code: "flow.timeout", data: { state: "timed_out" } } });
  await until(async () =>
    (await scene.daemon.get<{ instances: { busy: number }[] }>("/api/containers")).body.data.instances.every((one) => one.busy === 0),
  );
});

test("F54 the official start-up flow cannot be run by anyone; an unknown flow is not found and no list is told", async () => {
  await using scene = await withPack({ "blocks/echo.py": ECHO_BLOCK }, {});
  expect(await scene.daemon.run("startup")).toMatchObject({ status: 403, body: { code: "flow.not_runnable" } });
  const unknown = await scene.daemon.run("no.such.flow");
  expect(unknown).toMatchObject({ status: 404, body: { code: "flow.not_found" } });
  expect(JSON.stringify(unknown.body)).not.toContain("startup");
});

test("X7 another principal_id in a flow is ignored, the call acts as its own pack, and that is audited", async () => {
  const block = 'def run(data, context):\n    return {"owner": context["owner_pack"]}\n';
  await using scene = await withPack(
    { "blocks/who.py": block },
    { who: blockFlow("who", "alpha", { file: "blocks/who.py", extra: "    principal_id: my_pack\n" }) },
  );
  expect((await scene.daemon.run("who")).body.data.result).toMatchObject({ answer: { owner: "alpha" } });
  const entries = await scene.daemon.get<{ entries: Record<string, unknown>[] }>(
    "/api/audit?category=security&action=principal_id_overridden",
  );
  expect(entries.body.data.entries.length).toBeGreaterThan(0);
});

test("H20 a long run does not delay /health, nor another pack's calls", async () => {
  const raised = { RUMI_API_RATE_LIMIT: "100000", RUMI_API_ADDRESS_RATE_LIMIT: "100000" };
  await using scene = await withPack({ "blocks/echo.py": ECHO_BLOCK }, { echo: blockFlow("echo", "alpha") }, raised);
  const { daemon, home } = scene;
  await home.addPack("beta", { "blocks/echo.py": ECHO_BLOCK });
  await home.addFlow("other", blockFlow("other", "beta"));
  await daemon.approve("beta");
  await daemon.run("echo", { text: "warm" });
  await daemon.run("other", { text: "warm" });
  const long = daemon.run("echo", { text: "x", sleep: 2 });
  let answered = 0;
  let done = false;
  void long.then(() => {
    done = true;
  });
  await until(async () => {
    expect((await daemon.get("/health")).status).toBe(200);
    expect((await daemon.run("other", { text: "y" })).body.data).toMatchObject({ state: "completed", result: { answer: { said: "y" } } });
    answered += 1;
    return done;
  });
  expect(answered).toBeGreaterThan(20);
  expect((await long).body.data.state).toBe("completed");
});

test("H37 the eleventh run at once is told to wait: 429 with Retry-After; the ten end well", async () => {
  await using scene = await withPack({ "blocks/echo.py": ECHO_BLOCK }, { echo: blockFlow("echo", "alpha") });
  const { daemon } = scene;
  const ten = Array.from({ length: 10 }, () => daemon.run("echo", { text: "x", sleep: 1 }));
  await until(async () => (await daemon.get<{ counts: { runs: number } }>("/api/status")).body.data.counts.runs === 10);
  const eleventh = await daemon.run("echo", { text: "x" });
  expect(eleventh).toMatchObject({ status: 429, body: { code: "flow.too_many_runs" } });
  expect(Number(eleventh.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await Promise.all(ten)).map((answer) => answer.body.data.state)).toEqual(Array.from({ length: 10 }, () => "completed"));
});

test("H35 a run's body that carries steps, code or a principal is refused", async () => {
  await using scene = await withPack({ "blocks/echo.py": ECHO_BLOCK }, { echo: blockFlow("echo", "alpha") });
  for (const extra of [{ steps: [] }, { code: "x" }, { principal_id: "system" }, { flow: {} }]) {
    expect(await scene.daemon.post("/api/flows/echo/run", { inputs: {}, ...extra })).toMatchObject({
      status: 400,
      body: { code: "request.invalid" },
    });
  }
});

test("a flow file dropped into the shared folder runs at once; a broken one is left out alone and told", async () => {
  await using scene = await withPack({ "blocks/echo.py": ECHO_BLOCK }, {});
  const { home, daemon } = scene;
  await home.addFlow("broken", "flow_id: [\n");
  await home.addFlow("dropped", blockFlow("dropped", "alpha"));
  expect((await daemon.run("dropped", { text: "x" })).body.data.state).toBe("completed");
  const { parts } = (await daemon.get<{ parts: { kind: string; id: string; code: string }[] }>("/api/diagnostics")).body.data;
  expect(parts.find((part) => part.kind === "flow_file")).toMatchObject({ id: "broken.flow.yaml", code: "flow.parse_error" });
});

test("a TypeScript block and a Python block of one flow each run in their own container", async () => {
  const flow = `flow_id: both
phases: [main]
steps:
  - { id: a, phase: main, type: file_call, owner_pack: alpha, file: blocks/echo.py, input: { text: py }, output: first }
  - { id: b, phase: main, type: file_call, owner_pack: alpha, file: blocks/say.ts, input: { text: ts }, output: second }
`;
  await using scene = await withPack(
    {
      "blocks/echo.py": ECHO_BLOCK,
      "blocks/say.ts": "export function run(input: { text: string }): { said: string } {\n  return { said: input.text };\n}\n",
    },
    { both: flow },
  );
  expect((await scene.daemon.run("both")).body.data).toMatchObject({
    state: "completed",
    result: { first: { said: "py" }, second: { said: "ts" } },
    failed_steps: [],
  });
  expect((await containersOf(scene.home)).length).toBe(2);
});

test("containers are listed with what they are, stopped after their calls and removed at once", async () => {
  await using scene = await withPack({ "blocks/echo.py": ECHO_BLOCK }, { echo: blockFlow("echo", "alpha") });
  const { daemon, home } = scene;
  expect((await daemon.post<{ instances: unknown[] }>("/api/containers/alpha/start")).body.data.instances).toMatchObject([
    { pack_id: "alpha", runtime: "python", state: "idle" },
  ]);
  expect((await daemon.run("echo", { text: "x" })).body.data.state).toBe("completed");
  expect((await daemon.post("/api/containers/alpha/stop")).status).toBe(200);
  expect(await containersOf(home)).toEqual([]);
  await daemon.run("echo", { text: "x" });
  expect((await daemon.request("DELETE", "/api/containers/alpha")).status).toBe(200);
  expect(await containersOf(home)).toEqual([]);
  expect((await daemon.request("DELETE", "/api/containers/alpha")).status).toBe(404);
});

test("what a block prints is kept with its run, and never in its result", async () => {
  const block = "import sys\n\ndef run(data):\n    print('one')\n    print('two', file=sys.stderr)\n    return {'answer': 1}\n";
  await using scene = await withPack({ "blocks/says.py": block }, { says: blockFlow("says", "alpha", { file: "blocks/says.py" }) });
  const { data } = (await scene.daemon.run("says")).body;
  expect(data.result).toMatchObject({ answer: { answer: 1 } });
  const { logs } = (await scene.daemon.get<{ logs: { stream: string; text: string; step_id: string }[] }>(`/api/runs/${data.run_id}`)).body
    .data;
  expect(logs.toSorted((a, b) => (a.text < b.text ? -1 : 1))).toMatchObject([
    { stream: "stdout", text: "one", step_id: "call" },
    { stream: "stderr", text: "two", step_id: "call" },
  ]);
});

test("X28 twenty packs, forty callers: every answer is that of its own input and pack", async () => {
  const packs = Array.from({ length: 20 }, (_, index) => `pack${index}`);
  const block = (pack: string): string =>
    `def run(data, context):\n    return {"pack": "${pack}", "owner": context["owner_pack"], "said": data.get("text")}\n`;
  const raised = { RUMI_API_RATE_LIMIT: "1000000", RUMI_MAX_CONCURRENT_FLOWS: "100" };
  await using scene = await withPack(
    { "blocks/echo.py": ECHO_BLOCK },
    Object.fromEntries(packs.map((pack) => [pack, blockFlow(pack, pack, { file: "blocks/who.py" })])),
    raised,
  );
  const { daemon, home } = scene;
  for (const pack of packs) {
    await home.addPack(pack, { "blocks/who.py": block(pack) });
    await daemon.approve(pack);
  }
  let next = 0;
  const caller = async (): Promise<void> => {
    for (let call = next++; call < 1_000; call = next++) {
      const pack = packs[call % packs.length] ?? "";
      const { data } = (await daemon.run(pack, { text: `call ${call}` })).body;
      expect(data.failed_steps).toEqual([]);
      expect(data.result).toMatchObject({ answer: { pack, owner: pack, said: `call ${call}` } });
    }
  };
  await Promise.all(Array.from({ length: 40 }, caller));
  expect((await containersOf(home)).length).toBe(20);
});

test("F58 a pack that is rejected in the middle of a run: its next step ends as flow.pack_changed", async () => {
  const flow = `flow_id: pair
phases: [main]
steps:
  - { id: a, phase: main, type: python_file_call, owner_pack: beta, file: blocks/echo.py, input: { text: a, sleep: 3 }, output: first }
  - { id: b, phase: main, type: python_file_call, owner_pack: alpha, file: blocks/echo.py, input: { text: b }, output: second }
`;
  await using scene = await withPack({ "blocks/echo.py": ECHO_BLOCK }, { pair: flow });
  await scene.home.addPack("beta", { "blocks/echo.py": ECHO_BLOCK });
  await scene.daemon.post("/api/packs/scan");
  await scene.daemon.approve("beta");
  const id = (await scene.daemon.post<{ run_id: string }>("/api/flows/pair/run", { async: true })).body.data.run_id;
  await until(async () => (await scene.daemon.get<{ state: string }>(`/api/runs/${id}`)).body.data.state === "running");
  await scene.daemon.post("/api/packs/alpha/reject", { reason: "no longer trusted" });
  await until(async () => (await scene.daemon.get<{ state: string }>(`/api/runs/${id}`)).body.data.state !== "running", 30_000);
  expect((await scene.daemon.get(`/api/runs/${id}`)).body.data).toMatchObject({
    state: "completed",
    result: { first: { said: "a" } },
    failed_steps: [{ step_id: "b", code: "flow.pack_changed" }],
  });
});

test("F66 allow_wildcard_modifiers in a manifest does nothing; the operator's privilege does", async () => {
  await using scene = await withPack(
    {
      "ecosystem.json": JSON.stringify({ pack_id: "alpha", pack_identity: "local:alpha", allow_wildcard_modifiers: true }),
      "blocks/echo.py": ECHO_BLOCK,
      "flows/modifiers/wide.modifier.yaml": `modifier_id: wide
target_flow_id: "*"
action: append
phase: main
step: { id: added, type: set, input: { key: added, value: 1 } }
`,
    },
    { target: "flow_id: target\nphases: [main]\nsteps:\n  - { id: a, phase: main, type: set, input: { key: own, value: 1 } }\n" },
  );
  const { daemon } = scene;
  expect((await daemon.run("target")).body.data.result).toEqual({ own: 1 });
  expect((await daemon.post("/api/privileges/alpha/grant/allow_wildcard_modifiers", {})).status).toBe(200);
  expect((await daemon.run("target")).body.data.result).toEqual({ own: 1, added: 1 });
  expect((await daemon.post("/api/privileges/alpha/revoke/allow_wildcard_modifiers", {})).status).toBe(200);
  expect((await daemon.run("target")).body.data.result).toEqual({ own: 1 });
});
