import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Digest, FlowId, JsonValue, RunId } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import type { JournaledRun, RunEnd, StepFinish, StepStart } from "@rumi/flow-engine";
import { blockGives, FakeBlocks, flowFile, TestBench } from "@rumi/flow-engine/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import type { RunEvent } from "./event-feed.ts";
import { DEFAULT_RETENTION } from "./retention.ts";
import { SqliteRunJournal } from "./sqlite-run-journal.ts";
import type { ValueSeal } from "./sqlite-run-journal.ts";

const NOW = Date.UTC(2026, 5, 1);

interface Opened {
  readonly now?: number;
  readonly seal?: ValueSeal;
  readonly perFlow?: number;
}

function open(folder: string, { now = NOW, seal, perFlow = 1000 }: Opened = {}): Promise<SqliteRunJournal> {
  const deps = { logger: silentLogger, now: () => now, ...(seal === undefined ? {} : { seal }) };
  return SqliteRunJournal.open(join(folder, "runs", "runs.db"), deps, { ...DEFAULT_RETENTION, perFlow });
}

let count = 0;
function run(more: Partial<JournaledRun> = {}): JournaledRun {
  count += 1;
  return {
    run_id: `run_${count}` as RunId,
    flow_id: "f" as FlowId,
    digest: "sha256:0" as Digest,
    trigger: "api",
    caller: "token:1",
    inputs: { a: 1 },
    daemon_inputs: {},
    timeout_ms: 1000,
    started_at: new Date(NOW).toISOString(),
    state: "running",
    active_ms: 0,
    resumes: 0,
    ...more,
  };
}

const start = (path: string, attempt = 1): StepStart => ({
  path,
  step_id: path,
  type: "file_call",
  flow_id: "f" as FlowId,
  attempt,
  child_digest: null,
  origin: null,
  started_at: "t",
});
const finish = (path: string, value: JsonValue, more: Partial<StepFinish> = {}): StepFinish => ({
  path,
  step_id: path,
  type: "file_call",
  flow_id: "f" as FlowId,
  status: "done",
  attempts: 1,
  value,
  writes: null,
  failure: null,
  reason: null,
  abort: null,
  ms: 1.5,
  finished_at: "t",
  active_ms: 7,
  ...more,
});
const end = (more: Partial<RunEnd> = {}): RunEnd => ({
  state: "completed",
  code: null,
  reason: null,
  result: { x: 1 },
  truncated: false,
  failed_steps: [],
  warnings: ["w"],
  execution_mode: "container",
  active_ms: 12,
  finished_at: new Date(NOW).toISOString(),
  ...more,
});

test("what was told is there for the next process", async () => {
  await using home = await temporaryFolder();
  const one = run();
  {
    await using journal = await open(home.path);
    journal.begin(one);
    await journal.started(one.run_id, start("a"));
    journal.finished(one.run_id, finish("a", { deep: [1, "日"] }, { writes: { k: null } }));
    await journal.started(one.run_id, start("b", 2));
    expect((await stat(join(home.path, "runs", "runs.db"))).mode & 0o777).toBe(0o600);
  }
  await using journal = await open(home.path);
  expect(journal.unfinished()).toEqual([{ ...one, active_ms: 7 }]);
  expect(journal.find(one.run_id, "a")).toMatchObject({ finished: true, status: "done", value: { deep: [1, "日"] }, writes: { k: null } });
  expect(journal.find(one.run_id, "b")).toEqual({ finished: false, attempt: 2, child_digest: null });
  expect(journal.find(one.run_id, "c")).toBeUndefined();
  journal.running(one.run_id, true);
  expect(journal.unfinished()[0]?.resumes).toBe(1);
  await journal.ended(one.run_id, end());
  expect(journal.unfinished()).toEqual([]);
  expect(journal.history.get(one.run_id)).toMatchObject({
    state: "completed",
    result: { x: 1 },
    warnings: ["w"],
    steps: [{ path: "a" }, { path: "b" }],
  });
});

test("runs are listed newest first, by flow, state and caller, page by page", async () => {
  await using home = await temporaryFolder();
  await using journal = await open(home.path);
  const runs = Array.from({ length: 7 }, (_, index) =>
    run({ flow_id: (index % 2 === 0 ? "even" : "odd") as FlowId, caller: index < 3 ? "a" : "b" }),
  );
  for (const each of runs) journal.begin(each);
  for (const each of runs.slice(6)) await journal.ended(each.run_id, end({ state: "failed" }));
  const ids = (filter: Parameters<typeof journal.history.list>[0]) => journal.history.list(filter).map((each) => each.run_id);
  const all = runs.map((each) => each.run_id as string).toReversed();
  expect(ids({ limit: 10 })).toEqual(all);
  expect(ids({ limit: 2, before: all[1] ?? "" })).toEqual(all.slice(2, 4));
  expect(ids({ limit: 10, flow_id: "odd", caller: "b" })).toEqual([runs[5]?.run_id, runs[3]?.run_id]);
  expect(ids({ limit: 10, state: "failed" })).toEqual([runs[6]?.run_id]);
  expect(journal.history.get("run_none")).toBeNull();
});

test("H39 who follows from a number misses nothing and sees nothing twice, over a restart too", async () => {
  await using home = await temporaryFolder();
  const one = run();
  const seen: number[] = [];
  const take = async (events: AsyncGenerator<RunEvent>, most: number): Promise<void> => {
    for await (const event of events) {
      seen.push(event.seq);
      if (seen.length >= most) return;
    }
  };
  {
    await using journal = await open(home.path);
    journal.begin(one);
    const live = take(journal.feed.follow(one.run_id, 0, new AbortController().signal), 4);
    await journal.started(one.run_id, start("a"));
    journal.tell(one.run_id, "log", { step_id: "a", stream: "stdout", text: "hello" });
    journal.finished(one.run_id, finish("a", 1));
    await live;
    await journal.started(one.run_id, start("b"));
  }
  await using journal = await open(home.path);
  journal.unfinished();
  const rest = take(journal.feed.follow(one.run_id, seen.at(-1) ?? 0, new AbortController().signal), 100);
  journal.running(one.run_id, true);
  journal.finished(one.run_id, finish("b", 2));
  await journal.ended(one.run_id, end());
  await rest;
  expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(journal.history.logs(one.run_id)).toMatchObject([{ step_id: "a", stream: "stdout", text: "hello" }]);
  expect(journal.history.logs(one.run_id, "b")).toEqual([]);
});

test("who follows is let go when they leave, when the run ends, and when the daemon stops", async () => {
  await using home = await temporaryFolder();
  const journal = await open(home.path);
  const one = run();
  journal.begin(one);
  const leave = new AbortController();
  const drain = async (signal: AbortSignal): Promise<number> => {
    let events = 0;
    for await (const _event of journal.feed.follow(one.run_id, 0, signal)) events += 1;
    return events;
  };
  const left = drain(leave.signal);
  const stays = drain(new AbortController().signal);
  await new Promise((resolve) => setImmediate(resolve));
  leave.abort();
  expect(await left).toBe(1);
  await journal[Symbol.asyncDispose]();
  expect(await stays).toBe(1);
});

test("ended runs go when they are too old or too many; those that go on stay", async () => {
  await using home = await temporaryFolder();
  const old = run({ flow_id: "old" as FlowId });
  const going = run({ flow_id: "old" as FlowId });
  {
    await using journal = await open(home.path);
    for (const each of [old, going]) journal.begin(each);
    await journal.started(old.run_id, start("a"));
    await journal.ended(old.run_id, end());
    for (let index = 0; index < 5; index += 1) {
      const each = run({ flow_id: "many" as FlowId });
      journal.begin(each);
      await journal.ended(each.run_id, end());
    }
  }
  await using surplus = await open(home.path, { perFlow: 2 });
  expect(surplus.history.list({ flow_id: "many", limit: 10 })).toHaveLength(2);
  await surplus[Symbol.asyncDispose]();
  await using later = await open(home.path, { now: NOW + 8 * 86_400_000 });
  expect(later.history.list({ limit: 10 }).map((each) => each.run_id)).toEqual([going.run_id]);
  expect(later.history.get(old.run_id)).toBeNull();
});

test("a fire is kept with its run", async () => {
  await using home = await temporaryFolder();
  await using journal = await open(home.path);
  const row = {
    flow_id: "f" as FlowId,
    spec_hash: "h",
    registered_at: 1,
    last_fire_at: null,
    last_run_id: null,
    skipped_overlap: 3,
    enabled: false,
  };
  journal.schedules.save(row);
  const one = run({ trigger: "schedule" });
  journal.begin(one, { flow_id: "f" as FlowId, fire_at: 42 });
  expect(journal.schedules.load()).toEqual([{ ...row, last_fire_at: 42, last_run_id: one.run_id }]);
  expect(() => journal.begin(one, { flow_id: "f" as FlowId, fire_at: 43 })).toThrow(expect.objectContaining({ code: "state.corrupt" }));
  expect(journal.schedules.load()).toMatchObject([{ last_fire_at: 42 }]);
  journal.schedules.remove("f");
  expect(journal.schedules.load()).toEqual([]);
});

/** Seals what holds `secret`; while it is live, it is masked. */
function sealFor(secret: string, live: () => boolean = () => true): ValueSeal {
  return {
    holds: (text) => live() && text.includes(secret),
    seal: (text) => `sealed:${Buffer.from(text).toString("base64")}`,
    mask: (text) => (live() ? text.replaceAll(secret, "[REDACTED]") : text),
    open: (text) => (text.startsWith("sealed:") ? Buffer.from(text.slice(7), "base64").toString() : text),
  };
}

test("a value that holds a live secret is sealed at rest, and is there for the next life", async () => {
  await using home = await temporaryFolder();
  const seal = sealFor("hunter2hunter2");
  const one = run({ inputs: { password: "hunter2hunter2" } });
  await using journal = await open(home.path, { seal });
  journal.begin(one);
  expect(journal.unfinished()).toMatchObject([{ inputs: { password: "hunter2hunter2" } }]);
  const told = { abort: "because hunter2hunter2", reason: "hunter2hunter2 again" };
  journal.finished(one.run_id, { ...finish("a", { got: "hunter2hunter2" }), ...told });
  journal.finished(one.run_id, finish("b", "plain"));
  journal.tell(one.run_id, "log", { text: "hunter2hunter2" });
  expect(journal.find(one.run_id, "a")).toMatchObject({ value: { got: "hunter2hunter2" } });
  await journal.ended(one.run_id, end({ result: { a: "hunter2hunter2" }, reason: told.abort, warnings: ["odd: hunter2hunter2"] }));
  for (const suffix of ["", "-wal"])
    expect((await readFile(join(home.path, "runs", `runs.db${suffix}`))).includes("hunter2hunter2")).toBe(false);
});

test("a secret in a text that is escaped itself is found as well, though JSON escapes it once more", async () => {
  await using home = await temporaryFolder();
  // What a pack wrote as JSON inside its answer: the secret is whole in the text alone, not in the JSON around it.
  const secret = "hunter2\\u00e4hunter2";
  const one = run({ inputs: {} });
  await using journal = await open(home.path, { seal: sealFor(secret) });
  journal.begin(one);
  journal.finished(one.run_id, finish("a", { got: [`"${secret}"`], [secret]: 1 }));
  await journal.ended(one.run_id, end({ result: { a: `x${secret}`, b: "c:\\plain" } }));
  for (const suffix of ["", "-wal"]) {
    const bytes = await readFile(join(home.path, "runs", `runs.db${suffix}`));
    expect(bytes.includes("u00e4hunter2")).toBe(false);
  }
  expect(journal.history.get(one.run_id)).toMatchObject({ result: { a: "x[REDACTED]", b: "c:\\plain" } });
  expect(journal.find(one.run_id, "a")).toMatchObject({ value: { got: [`"${secret}"`], [secret]: 1 } });
});

test("what a view shows of a sealed value is without the secret, when that is no secret any more too", async () => {
  await using home = await temporaryFolder();
  let live = true;
  await using journal = await open(home.path, { seal: sealFor("hunter2hunter2", () => live) });
  const one = run({ inputs: { password: "hunter2hunter2", hunter2hunter2: 1 } });
  journal.begin(one);
  journal.finished(one.run_id, finish("a", { got: ["hunter2hunter2", 5] }));
  journal.finished(one.run_id, finish("b", "plain"));
  await journal.ended(one.run_id, end({ result: { a: "hunter2hunter2" }, reason: "because hunter2hunter2" }));
  live = false;
  expect(journal.history.get(one.run_id)).toMatchObject({
    state: "completed",
    reason: "because [REDACTED]",
    inputs: { password: "[REDACTED]", "[REDACTED]": 1 },
    result: { a: "[REDACTED]" },
    steps: [
      { path: "a", value: { got: ["[REDACTED]", 5] } },
      { path: "b", value: "plain" },
    ],
  });
  expect(JSON.stringify(journal.feed.after(one.run_id, 0))).not.toContain("hunter2");
});

test("an unfinished run whose inputs cannot be opened any more ends; the others go on", async () => {
  await using home = await temporaryFolder();
  const [lost, kept] = [run({ inputs: { password: "hunter2hunter2" } }), run()];
  {
    await using journal = await open(home.path, { seal: sealFor("hunter2hunter2") });
    journal.begin(lost);
    journal.begin(kept);
  }
  const open2 = (text: string): string => {
    if (text.startsWith("sealed:")) throw new Error("no key");
    return text;
  };
  await using journal = await open(home.path, { seal: { holds: () => false, seal: (text) => text, mask: (text) => text, open: open2 } });
  expect(journal.unfinished().map((one) => one.run_id)).toEqual([kept.run_id]);
  expect(journal.history.get(lost.run_id)).toMatchObject({ state: "failed", code: "state.corrupt", inputs: { password: "[REDACTED]" } });
  expect(journal.feed.after(lost.run_id, 0).at(-1)).toMatchObject({ type: "run.finished", data: { state: "failed" } });
  expect(journal.unfinished()).toHaveLength(1);
});

test("a file that is no database keeps nothing back: opening says so", async () => {
  await using home = await temporaryFolder();
  await (await open(home.path))[Symbol.asyncDispose]();
  await writeFile(join(home.path, "runs", "runs.db"), "garbage".repeat(1000));
  await expect(open(home.path)).rejects.toThrow(expect.objectContaining({ code: "safe_files.database_failed" }));
});

test("a real flow is taken up from the file by the next process", async () => {
  await using home = await temporaryFolder();
  const text = flowFile(
    "flow_id: f\nphases: [m]\nsteps:\n  - { id: a, phase: m, type: file_call, owner_pack: p, file: a.py, output: a }\n  - { id: b, phase: m, type: file_call, owner_pack: p, file: b.py, input: { a: '${ctx.a}' }, output: b }\n",
  );
  const reached = Promise.withResolvers<void>();
  const killed = await open(home.path);
  const first = new FakeBlocks({ "p/a.py": () => blockGives({ n: 1 }), "p/b.py": () => (reached.resolve(), new Promise(() => {})) });
  void new TestBench([text], { blocks: first, deps: { journal: killed } }).run("f");
  await reached.promise;
  await killed[Symbol.asyncDispose]();
  await using journal = await open(home.path);
  const second = new FakeBlocks({ "p/a.py": () => blockGives("again"), "p/b.py": (call) => blockGives(call.input) });
  const bench = new TestBench([text], { blocks: second, deps: { journal } });
  const [runId = ""] = bench.runner.resume();
  while (journal.unfinished().length > 0) await new Promise((resolve) => setImmediate(resolve));
  expect(second.calls.map((call) => call.file)).toEqual(["b.py"]);
  expect(journal.history.get(runId)).toMatchObject({ state: "completed", result: { a: { n: 1 }, b: { a: { n: 1 } } }, resumes: 1 });
});
