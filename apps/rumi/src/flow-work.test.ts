import { FakeHouse } from "@rumi/api/testing";
import { expect, test } from "vitest";
import { flowGraph } from "./flow-graph.ts";
import { FakeWorld } from "./testing/fake-world.ts";

async function scene(): Promise<{ readonly house: FakeHouse; readonly world: FakeWorld; readonly token: string }> {
  const house = new FakeHouse({ limits: { streamLookMs: 5 } });
  house.addPack("my_pack");
  house.held.add("slow");
  const token = await house.token("admin");
  return { house, world: new FakeWorld(house, token), token };
}

/** Starts a run that goes on until it is finished; gives its id. */
async function slowRun(world: FakeWorld): Promise<string> {
  return (await world.run("flow", "run", "slow", "--async")).stdout.trim();
}

test("run watch prints one line for each event and ends as the run does", async () => {
  const { house, world } = await scene();
  for (const [state, exitCode] of [
    ["completed", 0],
    ["aborted", 0],
    ["failed", 1],
    ["timed_out", 124],
  ] as const) {
    const id = await slowRun(world);
    house.events.add(id, "step.started", { path: "a", step_id: "a", type: "set", attempt: 1 });
    house.events.log(id, "a", "hi\u001b[2J there");
    const watched = world.run("run", "watch", id);
    await expect.poll(() => house.events.open).toBe(1);
    house.finish({ state, code: null, reason: null });
    const { stdout, exitCode: ended } = await watched;
    expect([state, ended]).toEqual([state, exitCode]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => line.split("  ")[1])).toEqual(["run.started", "step.started", "log", "run.finished"]);
    expect(lines[1]).toContain("step.started  a  type=set  attempt=1");
    expect(lines[2]).toContain("hi\\u{1b}[2J there");
    expect(lines[3]).toContain(`state=${state}`);
  }
});

test("H52 with --json run watch puts one object a line on stdout", async () => {
  const { house, world } = await scene();
  const id = await slowRun(world);
  house.events.log(id, "a", "x\u2028y");
  house.finish();
  const { stdout, exitCode } = await world.run("run", "watch", id, "--json");
  const objects = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(exitCode).toBe(0);
  expect(objects).toMatchObject([
    { id: 1, event: "run.started" },
    { id: 2, event: "log", data: { text: "x\u2028y" } },
    { id: 3, event: "run.finished" },
  ]);
});

test("Ctrl-C leaves a watched run, which goes on", async () => {
  const { house, world } = await scene();
  const id = await slowRun(world);
  const watched = world.run("run", "watch", id);
  await expect.poll(() => house.events.open).toBe(1);
  world.interrupt();
  expect((await watched).exitCode).toBe(130);
  await expect.poll(() => house.events.open).toBe(0);
  expect(house.runs.get(id)?.state).toBe("running");
});

test("a watch whose token is revoked, and one whose daemon stops, say so and end refused and unreachable", async () => {
  const { house, world } = await scene();
  const id = await slowRun(world);
  const made = await house.tokens.create({ name: "other", scopes: ["read"] }, "test");
  const refused = new FakeWorld(house, made.token).run("run", "watch", id);
  const stopped = world.run("run", "watch", id);
  await expect.poll(() => house.events.open).toBe(2);
  await house.tokens.remove(made.id, "test");
  expect(await refused).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("auth.required") as string });
  house.phase = "stopping";
  expect(await stopped).toMatchObject({ exitCode: 4, stderr: expect.stringContaining(`rumi run watch ${id}`) as string });
});

test("run logs prints the lines of all steps or one; --follow waits for the rest", async () => {
  const { house, world } = await scene();
  const id = await slowRun(world);
  for (let n = 0; n < 1100; n += 1) house.events.log(id, n % 2 === 0 ? "a" : "b", `line ${n}`);
  const all = (await world.run("run", "logs", id)).stdout.trimEnd().split("\n");
  expect([all.length, all.at(-1)]).toEqual([1100, "2026-01-01T00:00:00.000Z  b  line 1099"]);
  expect((await world.run("run", "logs", id, "--step", "a")).stdout.trimEnd().split("\n")).toHaveLength(550);
  const followed = world.run("run", "logs", id, "-f", "--step", "b");
  await expect.poll(() => house.events.open).toBe(1);
  house.events.log(id, "b", "last");
  house.finish();
  expect((await followed).stdout.trimEnd().split("\n").at(-1)).toBe("2026-01-01T00:00:00.000Z  b  last");
  const { data } = JSON.parse((await world.run("run", "logs", id, "--json")).stdout) as { data: { count: number } };
  expect(data.count).toBe(1101);
});

test("flow plan ends 0 when a flow is ready, 1 with what is missing and what would mend it", async () => {
  const { house, world } = await scene();
  expect(await world.run("flow", "plan", "hello")).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining("It could run now.") as string,
  });
  house.work.missing.push({ step: "say", code: "approval.not_approved", message: "not\u0007 approved", remedy: "rumi pack review p" });
  const { exitCode, stdout } = await world.run("flow", "plan", "hello");
  expect(exitCode).toBe(1);
  expect(stdout).toContain("say  approval.not_approved  not\\u{7} approved");
  expect(stdout).toContain("to mend it: rumi pack review p");
  expect((await world.run("flow", "plan", "none")).exitCode).toBe(6);
});

test("flow diff shows what a file or a pack would alter; --exit-code says so by 10, an error by 1", async () => {
  const { house, world } = await scene();
  world.files.set("new.yaml", "flow_id: hello\n");
  world.files.set("bad.yaml", "broken\n");
  const { stdout, exitCode } = await world.run("flow", "diff", "hello", "new.yaml");
  expect(exitCode).toBe(0);
  expect(stdout).toContain('+ new\n- old\n~ say.input  null -> {"text":"flow_id: hello\\n"}\n');
  expect((await world.run("flow", "diff", "hello", "my_pack", "--exit-code")).exitCode).toBe(10);
  expect(await world.run("flow", "diff", "hello", "bad.yaml")).toMatchObject({
    exitCode: 1,
    stdout: expect.stringContaining("error  flow.invalid_condition  hello.flow.yaml:3  steps[1].when") as string,
  });
  expect((await world.run("flow", "diff", "hello", "no_pack")).exitCode).toBe(6);
  expect(house.work.flows.size).toBe(0);
});

test("H43 flow put refuses a text with an error and shows every problem; the old one stays", async () => {
  const { house, world } = await scene();
  world.files.set("mine.yaml", 'flow_id: "mine" # mine\nsteps: []\n');
  expect((await world.run("flow", "put", "mine.yaml")).exitCode).toBe(0);
  world.files.set("mine.yaml", "flow_id: mine\nbroken\n");
  const { exitCode, stderr } = await world.run("flow", "put", "mine.yaml");
  expect(exitCode).toBe(1);
  expect(stderr).toContain("steps[0].type: type must be known");
  expect(stderr).toContain("steps[1].when: when must be a condition");
  expect(house.work.flows.get("mine")).toContain("steps: []");
  expect((await world.run("flow", "rm", "mine")).exitCode).toBe(0);
  expect((await world.run("flow", "rm", "mine")).exitCode).toBe(6);
  world.files.set("noid.yaml", "steps: []\n");
  expect((await world.run("flow", "put", "noid.yaml")).exitCode).toBe(2);
});

test("modifier check composes a file or a pack and changes nothing; put saves; a wide one is warned of", async () => {
  const { house, world } = await scene();
  world.interactive = true;
  world.files.set("m.yaml", "modifier_id: add_one\ntarget_flow_id: '*'\n");
  const checked = await world.run("modifier", "check", "m.yaml");
  expect(checked.exitCode).toBe(0);
  expect(checked.stdout).toContain("hello  applied");
  expect(checked.stdout).toContain("\u001b[31m! It reaches every flow");
  expect(house.work.modifiers.size).toBe(0);
  expect((await world.run("modifier", "check", "my_pack")).stdout).toContain("live");
  expect((await world.run("modifier", "put", "m.yaml")).exitCode).toBe(0);
  expect((await world.run("modifier", "ls")).stdout).toContain("add_one");
  expect((await world.run("modifier", "rm", "add_one", "--dry-run")).exitCode).toBe(0);
  expect(house.work.modifiers.size).toBe(1);
  expect((await world.run("modifier", "rm", "add_one")).exitCode).toBe(0);
  expect((await world.run("modifier", "rm", "add_one")).stderr).toContain("modifier.not_found");
  expect((await world.run("completion", "ids", "modifiers")).stdout).toBe("");
});

test("schedules are listed, paused, let go on and triggered", async () => {
  const { house, world } = await scene();
  house.work.addSchedule("hello", { skipped_overlap: 2 });
  expect((await world.run("schedule", "list")).stdout).toMatch(/hello\s+every 60 s\s+UTC\s+2026-01-01T00:01:00.000Z\s+-\s+2/u);
  expect((await world.run("schedule", "disable", "hello")).stdout).toContain("paused");
  expect((await world.run("schedules", "enable", "hello")).exitCode).toBe(0);
  expect((await world.run("schedule", "trigger", "hello")).stdout).toMatch(/^run_[0-9a-f-]+\n$/u);
  expect((await world.run("schedule", "trigger", "none")).exitCode).toBe(6);
});

test("flow graph is Mermaid: containers hold their steps, an injected step names its modifier, and no text of a pack breaks out", () => {
  const evil = 'a"] --> x["\u202e\n```';
  const graph = flowGraph({
    flow_id: "f",
    steps: [
      { id: "first", type: "set", protected: true },
      { id: "each", type: "foreach", items: "${ctx.list}", steps: [{ id: "in", type: "file_call", owner_pack: "p", file: "blocks/a.py" }] },
      JSON.parse('{"id":"choose","type":"if","if":"${ctx.n} >= 3","then":[{"id":"t","type":"flow","flow":"g"}],"else":[]}'),
      { id: "both", type: "parallel", branches: { left: [{ id: "l", type: "set" }], right: [{ id: "r", type: "set" }] } },
      { id: "added", type: "set", when: evil, origin: { source: "pack", pack_id: "q", modifier_id: "m", action: "inject_after" } },
    ],
    removed: [{ id: "gone", by: { modifier_id: "m2", pack_id: null } }],
  });
  expect(graph).toContain('n1["first (set)"]:::protected\n');
  expect(graph).toContain(
    '  subgraph s2["each (foreach)<br>each of $#123;ctx.list#125;"]\n    n3["in (file_call)<br>p/blocks/a.py"]\n  end\n',
  );
  expect(graph).toContain('subgraph g5["then"]');
  expect(graph).toContain("s2 --> s4");
  expect(graph).toContain('<br>inject_after: q/m"]:::injected');
  expect(graph).toContain('["gone (removed)<br>by m2"]:::removed');
  expect(graph).not.toMatch(/a"\]|```|\u202e/u);
  expect(graph.split("\n")[0]).toBe("flowchart TD");
});

test("run show tells how a run went, a line for each step, and what it gave", async () => {
  const { house, world } = await scene();
  const id = "run_0190a0a0-0000-7000-8000-000000000000";
  const step = { type: "set", status: "done", attempts: 1, ms: 0.25, reason: null, origin: null, failure: null };
  house.runs.set(id, {
    run_id: id,
    flow_id: "f",
    state: "failed",
    code: "flow.step_failed",
    reason: "two failed\u001b[2J",
    trigger: "schedule",
    caller: "scheduler",
    started_at: "2026-01-01T00:00:00.000Z",
    execution_time: 1.5,
    resumes: 2,
    result: { a: 1 },
    steps: [
      { ...step, path: "one" },
      { ...step, path: "two", status: "failed", attempts: 3, failure: { code: "sandbox.timeout", message: "too\nlong" } },
      { ...step, path: "three", status: "skipped", ms: null, reason: "dependency", origin: { pack_id: "p", modifier_id: "m" } },
      "nonsense",
    ],
  });
  const { stdout } = await world.run("run", "show", id);
  expect(stdout.split("\n")).toEqual([
    `${id}  f  failed  1.5 s`,
    "  2026-01-01T00:00:00.000Z  schedule  scheduler  resumes=2",
    "  flow.step_failed: two failed\\u{1b}[2J",
    "",
    "STEP   TYPE  STATUS   TRIES  MS   WHY",
    "one    set   done     1      0.3  -",
    "two    set   failed   3      0.3  sandbox.timeout: too\\u{a}long",
    "three  set   skipped  1      -    dependency; by p m",
    "",
    "{",
    '  "a": 1',
    "}",
    "",
  ]);
});
