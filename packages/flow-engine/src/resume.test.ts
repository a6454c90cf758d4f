import { RumiError } from "@rumi/core";
import type { JsonObject } from "@rumi/core";
import { describe, expect, test } from "vitest";
import type { RunAnswer } from "./run-answer.ts";
import { blockFails, blockGives, FakeBlocks, flowFile, MemoryRunJournal, TestBench } from "./testing/index.ts";
import type { FakeBlock } from "./testing/index.ts";

const call = (id: string, more = "") => `{ id: ${id}, type: file_call, owner_pack: p, file: ${id}.py, output: ${id}${more} }`;
const top = (id: string, more = "") =>
  `  - { id: ${id}, phase: main, type: file_call, owner_pack: p, file: ${id}.py, output: ${id}${more} }\n`;
const flow = (steps: string, id = "f") => `flow_id: ${id}\nphases: [main]\nsteps:\n${steps}`;

/** Blocks of one life of the daemon: each gives its own name; the `nth` call in all never ends, as when the process is killed in it. */
function life(names: readonly string[], killAt = Number.POSITIVE_INFINITY, special: Readonly<Record<string, FakeBlock>> = {}) {
  const done: string[] = [];
  const reached = Promise.withResolvers<void>();
  let calls = 0;
  const fake =
    (name: string): FakeBlock =>
    async (asked, signal) => {
      calls += 1;
      if (calls === killAt) {
        reached.resolve();
        return new Promise(() => {});
      }
      const outcome = await (special[name]?.(asked, signal) ?? blockGives(`${name} ${JSON.stringify(asked.input)}`));
      done.push(asked.step_path);
      return outcome;
    };
  const blocks = new FakeBlocks(Object.fromEntries(names.map((name) => [`p/${name}.py`, fake(name)])));
  return { blocks, done, reached: reached.promise };
}

function bench(
  text: string | readonly string[],
  blocks: FakeBlocks,
  journal: MemoryRunJournal,
  limits: { readonly maxConcurrentRuns?: number } = {},
): TestBench {
  const texts = typeof text === "string" ? [text] : text;
  return new TestBench(
    texts.map((each, index) => flowFile(each, { file: `${index}.flow.yaml` })),
    { blocks, deps: { journal }, ...limits },
  );
}

/** Takes the runs up again in a new process, and waits for their ends. */
async function goOnUntilEnd(text: string | readonly string[], blocks: FakeBlocks, journal: MemoryRunJournal): Promise<void> {
  bench(text, blocks, journal).runner.resume();
  await waitForEnds(journal);
}

async function waitForEnds(journal: MemoryRunJournal): Promise<void> {
  while (journal.unfinished().length > 0) await new Promise((resolve) => setImmediate(resolve));
}

describe("a run goes on after its process was killed", () => {
  test("F55 killed after step 2 of 4: 3 and 4 run, 1 and 2 not again", async () => {
    const text = flow(top("a") + top("b") + top("c") + top("d"));
    const journal = new MemoryRunJournal();
    const first = life(["a", "b", "c", "d"], 3);
    void bench(text, first.blocks, journal).run("f");
    await first.reached;
    expect(first.done).toEqual(["a", "b"]);
    const second = life(["a", "b", "c", "d"]);
    const next = bench(text, second.blocks, journal);
    const [runId] = next.runner.resume();
    await waitForEnds(journal);
    expect(second.done).toEqual(["c", "d"]);
    expect(journal.ends.get(runId ?? "")).toMatchObject({
      state: "completed",
      result: { a: "a {}", b: "b {}", c: "c {}", d: "d {}" },
    });
  });

  test("F56 killed inside a step: it runs again, with the same idempotency key and attempt", async () => {
    const text = flow(top("a") + top("b", ", retry: { max_attempts: 2, delay_seconds: 0 }"));
    const journal = new MemoryRunJournal();
    const first = life(["a", "b"], 3, { b: () => blockFails("sandbox.crashed") });
    void bench(text, first.blocks, journal).run("f");
    await first.reached;
    const second = life(["a", "b"], Number.POSITIVE_INFINITY, { b: () => blockFails("sandbox.crashed") });
    await goOnUntilEnd(text, second.blocks, journal);
    const before = first.blocks.calls.at(-1);
    expect(second.blocks.calls).toHaveLength(1);
    expect(second.blocks.calls[0]).toMatchObject({ idempotency_key: before?.idempotency_key, attempt: 2, run_id: before?.run_id });
  });

  test("F57 a flow or a snapshot that changed while it was down ends the run as flow.definition_changed", async () => {
    const journal = new MemoryRunJournal();
    const first = life(["a", "b"], 2);
    void bench(flow(top("a") + top("b")), first.blocks, journal).run("f");
    await first.reached;
    const second = life(["a", "b"]);
    await goOnUntilEnd(flow(top("a") + top("b", ", priority: 5")), second.blocks, journal);
    expect([...journal.ends.values()]).toMatchObject([{ state: "failed", code: "flow.definition_changed" }]);
    expect(second.done).toEqual([]);
  });

  test("a child flow that changed while it was down ends the run too", async () => {
    const parent = flow("  - { id: s, phase: main, type: flow, flow: g }\n");
    const journal = new MemoryRunJournal();
    const first = life(["a", "b"], 2);
    void bench([parent, flow(top("a") + top("b"), "g")], first.blocks, journal).run("f");
    await first.reached;
    await goOnUntilEnd([parent, flow(top("b") + top("a"), "g")], life(["a", "b"]).blocks, journal);
    expect([...journal.ends.values()]).toMatchObject([{ state: "failed", code: "flow.definition_changed" }]);
  });

  test("F59 a foreach killed in pass 7: passes 0 to 6 not again", async () => {
    const text = flow(
      `  - id: each\n    phase: main\n    type: foreach\n    items: [0, 1, 2, 3, 4, 5, 6, 7, 8]\n    collect: \${ctx.a}\n    output: all\n    steps:\n      - ${call("a", ", input: { n: '${ctx.item}' }")}\n`,
    );
    const journal = new MemoryRunJournal();
    const first = life(["a"], 8);
    void bench(text, first.blocks, journal).run("f");
    await first.reached;
    const second = life(["a"]);
    await goOnUntilEnd(text, second.blocks, journal);
    expect(second.done).toEqual(["each/7/a", "each/8/a"]);
    expect([...journal.ends.values()][0]?.result?.["all"]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8].map((n) => `a {"n":${n}}`));
  });

  test("F60 the fourth time a run is taken up it ends as flow.resume_limit", async () => {
    const text = flow(top("a"));
    const journal = new MemoryRunJournal();
    for (let lives = 0; lives < 4; lives += 1) {
      const { blocks, reached } = life(["a"], 1);
      const next = bench(text, blocks, journal);
      if (lives === 0) void next.run("f");
      else next.runner.resume();
      await reached;
    }
    await goOnUntilEnd(text, life(["a"]).blocks, journal);
    expect([...journal.ends.values()]).toMatchObject([{ state: "failed", code: "flow.resume_limit" }]);
  });

  test("runs of boot, and of a block's flow.run, end with their process", async () => {
    const text = flow(top("a"));
    const journal = new MemoryRunJournal();
    for (const trigger of ["boot", "flow.run"] as const) {
      const { blocks, reached } = life(["a"], 1);
      void bench(text, blocks, journal).run("f", {}, { trigger });
      await reached;
    }
    const second = life(["a"]);
    await goOnUntilEnd(text, second.blocks, journal);
    expect(second.done).toEqual([]);
    expect([...journal.ends.values()]).toMatchObject([{ state: "cancelled" }, { state: "cancelled" }]);
  });

  test("what the daemon's stop interrupts is not ended: it goes on", async () => {
    const text = flow(top("a") + top("b"));
    const journal = new MemoryRunJournal();
    const first = life(["a", "b"], Number.POSITIVE_INFINITY, {
      b: (_call, signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(blockFails("sandbox.cancelled")))),
    });
    const one = bench(text, first.blocks, journal);
    const answer = one.run("f");
    while (first.blocks.calls.length < 2) await new Promise((resolve) => setImmediate(resolve));
    await one.runner.drain(0);
    expect(await answer).toMatchObject({ state: "cancelled", code: "daemon.stopping" });
    expect(journal.unfinished()).toHaveLength(1);
    const second = life(["a", "b"]);
    await goOnUntilEnd(text, second.blocks, journal);
    expect(second.done).toEqual(["b"]);
    expect([...journal.ends.values()]).toMatchObject([{ state: "completed" }]);
  });
});

const EVERYTHING = flow(
  top("a") +
    "  - { id: keep, phase: main, type: set, input: { key: kept, value: '${ctx.a}' } }\n" +
    "  - { id: copy, phase: main, type: handler, input: { handler: 'kernel:ctx.copy', args: { from_key: kept, to_key: copied } } }\n" +
    `  - { id: choose, phase: main, type: if, if: "\${ctx.copied} != null", then: [${call("b")}], else: [${call("no")}] }\n` +
    `  - { id: loop, phase: main, type: foreach, items: [1, 2, 3], concurrency: 2, collect: "\${ctx.c}", output: all, steps: [${call("c", ", input: { n: '${ctx.item}' }")}] }\n` +
    `  - { id: again, phase: main, type: repeat, until: "\${ctx.i} >= 1", index_as: i, steps: [${call("d")}] }\n` +
    `  - { id: both, phase: main, type: parallel, branches: { left: [${call("l")}], right: [${call("r")}, ${call("s")}] } }\n` +
    "  - { id: child, phase: main, type: flow, flow: g, input: { x: '${ctx.l}' }, output: child }\n" +
    top("flaky", ", retry: { max_attempts: 3, delay_seconds: 0 }") +
    top("bad") +
    top("skipped", ", depends_on: [bad]") +
    top("z"),
);
const CHILD = flow(top("g1", ", input: { x: '${ctx.x}' }") + top("g2"), "g");
const NAMES = ["a", "b", "no", "c", "d", "l", "r", "s", "flaky", "bad", "skipped", "z", "g1", "g2"];

/** `flaky` fails at its first two attempts in every life, `bad` always. */
const SPECIAL: Readonly<Record<string, FakeBlock>> = {
  flaky: (asked) => (asked.attempt < 3 ? blockFails("sandbox.crashed") : blockGives("at last")),
  bad: () => blockFails("sandbox.block_error"),
};

async function whole(): Promise<{ readonly answer: RunAnswer; readonly done: readonly string[] }> {
  const { blocks, done } = life(NAMES, Number.POSITIVE_INFINITY, SPECIAL);
  const answer = await bench([EVERYTHING, CHILD], blocks, new MemoryRunJournal()).run("f");
  return { answer, done };
}

test("killed in any of its calls, a flow of every step type ends as if it had not been, and repeats no finished step", async () => {
  const { answer, done } = await whole();
  expect(answer.state).toBe("completed");
  const total = done.length;
  expect(total).toBeGreaterThan(14);
  for (let killAt = 1; killAt <= total; killAt += 1) {
    const journal = new MemoryRunJournal();
    const first = life(NAMES, killAt, SPECIAL);
    void bench([EVERYTHING, CHILD], first.blocks, journal).run("f");
    await first.reached;
    // What else was under way in the killed process ends there, unseen by the journal's next reader.
    const finishedBefore = journal.told.filter((line) => line.startsWith("done ")).map((line) => line.slice(5));
    const frozen = journal.freeze();
    const second = life(NAMES, Number.POSITIVE_INFINITY, SPECIAL);
    await goOnUntilEnd([EVERYTHING, CHILD], second.blocks, frozen);
    const [end] = [...frozen.ends.values()];
    expect(end, `killed at ${killAt}`).toMatchObject({ state: "completed", result: answer.result as JsonObject });
    expect(end?.failed_steps, `killed at ${killAt}`).toMatchObject(
      answer.failed_steps.map(({ step_path: path, code }) => ({ step_path: path, code })),
    );
    for (const path of second.done) expect(finishedBefore, `killed at ${killAt}`).not.toContain(path);
  }
});

describe("what cannot be kept", () => {
  test("a journal that cannot be written ends the run before its next step", async () => {
    const journal = new MemoryRunJournal();
    const { blocks, done } = life(["a", "b"], Number.POSITIVE_INFINITY, {
      a: () => {
        journal.failWith(new RumiError("storage.full", "the disk is full"));
        return blockGives(1);
      },
    });
    const answer = await bench(flow(top("a") + top("b")), blocks, journal).run("f");
    expect(answer).toMatchObject({ state: "failed", code: "storage.full" });
    expect(done).toEqual(["a"]);
  });

  test("a run that cannot be kept at all does not start", async () => {
    const journal = new MemoryRunJournal();
    journal.failWith(new RumiError("storage.full", "the disk is full"));
    const { blocks, done } = life(["a"]);
    await expect(bench(flow(top("a")), blocks, journal).run("f")).rejects.toThrow(expect.objectContaining({ code: "storage.full" }));
    expect(done).toEqual([]);
  });
});

describe("waiting for a slot", () => {
  test("a scheduled run waits as queued, in line; an API run is refused", async () => {
    const journal = new MemoryRunJournal();
    const gate = Promise.withResolvers<void>();
    const { blocks, done } = life(["a"], Number.POSITIVE_INFINITY, { a: async () => (await gate.promise, blockGives(1)) });
    const one = bench(flow(top("a")), blocks, journal, { maxConcurrentRuns: 1 });
    const first = one.run("f");
    const fire = { flow_id: "f", fire_at: 5 } as never;
    const second = one.runner.start("f", {}, { caller: "scheduler", trigger: "schedule", fire });
    expect(() => one.runner.start("f", {}, { caller: "x", trigger: "api" })).toThrow(
      expect.objectContaining({ code: "flow.too_many_runs" }),
    );
    expect(one.runner.get(second.run_id)?.state).toBe("queued");
    expect(journal.runs.get(second.run_id)?.state).toBe("queued");
    expect(journal.fires).toEqual([fire]);
    gate.resolve();
    expect((await first).state).toBe("completed");
    expect((await second.done).state).toBe("completed");
    expect(done).toHaveLength(2);
    expect((await one.run("f")).state).toBe("completed");
  });

  test("a queued run can be cancelled, and leaves the line", async () => {
    const journal = new MemoryRunJournal();
    const gate = Promise.withResolvers<void>();
    const { blocks, done } = life(["a"], Number.POSITIVE_INFINITY, { a: async () => (await gate.promise, blockGives(1)) });
    const one = bench(flow(top("a")), blocks, journal, { maxConcurrentRuns: 1 });
    const first = one.run("f");
    const waiting = [1, 2].map(() => one.runner.start("f", {}, { caller: "scheduler", trigger: "schedule" }));
    one.runner.cancel(waiting[0]?.run_id ?? "");
    expect(await waiting[0]?.done).toMatchObject({ state: "cancelled", code: "flow.cancelled" });
    gate.resolve();
    await first;
    expect((await waiting[1]?.done)?.state).toBe("completed");
    expect(done).toHaveLength(2);
  });
});
