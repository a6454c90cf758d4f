import { systemClock } from "@rumi/core";
import { MemoryAudit, silentLogger } from "@rumi/core/testing";
import { describe, expect, test } from "vitest";
import { flowHandlers } from "./flow-handler.ts";
import { FlowRunner } from "./flow-runner.ts";
import { FlowTable } from "./flow-table.ts";
import { contextHandlers } from "./kernel-handlers.ts";
import { blockFails, blockGives, FakeBlocks, flowFile, MemoryRunJournal, TestBench } from "./testing/index.ts";
import type { TestBenchOptions } from "./testing/index.ts";

const WORDS: Readonly<Record<string, string>> = { "flow_id greet": "child", "own greet": "child", "flow_id loop": "f" };
const handlers = [...contextHandlers(), ...flowHandlers((namespace, token) => WORDS[`${namespace} ${token}`] ?? token)];
const by = (args: string, more = ""): string =>
  `flow_id: f\nphases: [a]\nsteps:\n  - {id: s, phase: a, type: handler, input: {handler: "kernel:flow.execute_by_id", args: ${args}}, output: got${more}}\n`;
const child = flowFile(
  "flow_id: child\nphases: [a]\noutputs: {said: string}\nsteps: [{id: say, phase: a, type: set, input: {key: said, value: 'Hi ${ctx.name}'}}]\n",
  { file: "child.flow.yaml" },
);

function bench(files: readonly ReturnType<typeof flowFile>[], options: TestBenchOptions = {}): TestBench {
  return new TestBench(files, { handlers, ...options });
}

describe("kernel:flow.execute_by_id", () => {
  test("runs a flow that is named while it runs, as a flow step does: only its inputs in, its result out", async () => {
    const made = bench([flowFile(by('{flow_id: "${ctx.which}", inputs: {name: "${ctx.who}"}}')), child]);
    expect(await made.run("f", { which: "child", who: "Rumi" })).toMatchObject({ result: { got: { said: "Hi Rumi" } }, failed_steps: [] });
    expect(await made.run("f", { which: "nope" })).toMatchObject({
      state: "completed",
      warnings: ["step s was skipped: there is no flow nope"],
    });
    expect((await made.run("f", { which: 5 })).failed_steps[0]).toMatchObject({ code: "kernel.invalid_args" });
  });

  test("maps the id through the dictionary only where the call says so", async () => {
    const got = async (args: string): Promise<unknown> => (await bench([flowFile(by(args)), child]).run("f")).result?.["got"];
    expect(await got("{flow_id: greet}")).toBeUndefined();
    expect(await got("{flow_id: greet, resolve: true}")).toEqual({ said: "Hi " });
    expect(await got("{flow_id: greet, resolve: true, resolve_namespace: own}")).toEqual({ said: "Hi " });
    expect(await got("{flow_id: greet, resolve: true, resolve_namespace: other}")).toBeUndefined();
  });

  test("has the rules of a flow step: rights after the dictionary, chains, official flows, failures of the child", async () => {
    const failing = async (text: string, pack?: string): Promise<unknown> =>
      (
        await bench(
          [
            flowFile(text, pack === undefined ? {} : { pack }),
            child,
            flowFile(
              "flow_id: bad\nphases: [a]\ndefaults: {fail_soft: false}\nsteps: [{id: b, phase: a, type: file_call, owner_pack: q, file: b.py}]\n",
              {
                file: "bad.flow.yaml",
              },
            ),
            flowFile("flow_id: boot\nphases: [a]\nsteps: []\n", { source: "official" }),
          ],
          { blocks: new FakeBlocks({ "q/b.py": () => blockFails("sandbox.block_error") }) },
        ).run(pack ?? "f")
      ).failed_steps.at(-1)?.code;
    const ofPack = (args: string): string => by(args).replace("flow_id: f", "flow_id: p");
    expect(await failing(ofPack("{flow_id: child}"), "p")).toBe("flow.run_denied");
    expect(await failing(ofPack("{flow_id: greet, resolve: true}"), "p")).toBe("flow.run_denied");
    expect(await failing(by("{flow_id: loop, resolve: true}"))).toBe("flow.recursive");
    expect(await failing(by("{flow_id: boot}"))).toBe("flow.not_runnable");
    expect(await failing(by("{flow_id: bad}"))).toBe("flow.child_failed");
  });

  test("the shorter timeout of the call stops the child", async () => {
    const blocks = new FakeBlocks({
      "q/b.py": (_, signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(blockFails("sandbox.cancelled")))),
    });
    const slow = flowFile("flow_id: slow\nphases: [a]\nsteps: [{id: b, phase: a, type: file_call, owner_pack: q, file: b.py}]\n", {
      file: "slow.flow.yaml",
    });
    const answer = await bench([flowFile(by("{flow_id: slow, timeout_seconds: 0.02}")), slow], { blocks }).run("f");
    expect(answer).toMatchObject({ state: "completed", failed_steps: [{ step_id: "s", code: "flow.step_timeout" }] });
  });

  test("literal arguments are judged when the file loads", () => {
    for (const args of [
      "{}",
      "{flow_id: 5}",
      "{flow_id: c, inputs: [1]}",
      "{flow_id: c, timeout_seconds: 0}",
      "{flow_id: c, resolve: 1}",
    ]) {
      const { problems } = FlowTable.compose([flowFile(by(args))], { blocks: new FakeBlocks(), handlers });
      expect(
        problems.map((problem) => problem.code),
        args,
      ).toEqual(["kernel.invalid_args"]);
    }
  });

  test("a run that goes on enters the child again without repeating it, and refuses one that changed", async () => {
    const parent = by("{flow_id: two}");
    const two = (more = ""): ReturnType<typeof flowFile> =>
      flowFile(
        `flow_id: two\nphases: [a]\nsteps: [{id: x, phase: a, type: file_call, owner_pack: q, file: x.py, output: x}, {id: y, phase: a, type: file_call, owner_pack: q, file: y.py, output: y}]\n${more}`,
        { file: "two.flow.yaml" },
      );
    for (const changed of [false, true]) {
      const journal = new MemoryRunJournal();
      const reached = Promise.withResolvers<void>();
      const first = new FakeBlocks({
        "q/x.py": () => blockGives("x"),
        "q/y.py": () => {
          reached.resolve();
          return new Promise(() => {});
        },
      });
      void bench([flowFile(parent), two()], { blocks: first, deps: { journal } }).run("f");
      await reached.promise;
      const second = new FakeBlocks({ "q/x.py": () => blockGives("again"), "q/y.py": () => blockGives("y") });
      bench([flowFile(parent), two(changed ? "description: other\n" : "")], { blocks: second, deps: { journal } }).runner.resume();
      while (journal.unfinished().length > 0) await new Promise((resolve) => setImmediate(resolve));
      const [end] = [...journal.ends.values()];
      if (changed) expect(end).toMatchObject({ state: "failed", code: "flow.definition_changed" });
      else expect(end).toMatchObject({ state: "completed", result: { got: { x: "x", y: "y" } } });
      expect(second.calls.map((call) => call.step_path)).toEqual(changed ? [] : ["s/y"]);
    }
  });
});

test("a flow step that a pack's modifier brought needs the pack's right, whoever's flow it stands in", async () => {
  const base = flowFile("flow_id: base\nphases: [a]\nsteps: [{id: x, phase: a, type: set, input: {key: k, value: 1}}]\n");
  const brought = (id: string, step: string): ReturnType<typeof flowFile> =>
    flowFile(`modifier_id: ${id}\ntarget_flow_id: base\naction: append\nstep: ${step}\n`, { pack: "p", file: `${id}.modifier.yaml` });
  const audit = new MemoryAudit();
  const blocks = new FakeBlocks();
  const table = FlowTable.compose([base, child], {
    blocks,
    handlers,
    modifiers: [
      brought("m1", "{id: m1, type: flow, flow: child, output: one}"),
      brought("m2", "{id: m2, type: handler, input: {handler: 'kernel:flow.execute_by_id', args: {flow_id: child}}, output: two}"),
    ],
  });
  const runner = new FlowRunner({ table: () => table, blocks, handlers, audit, clock: systemClock, logger: silentLogger });
  const answer = await runner.run("base", {}, { caller: "t", trigger: "api" });
  expect(answer.failed_steps.map((step) => [step.step_id, step.code])).toEqual([
    ["m1", "flow.run_denied"],
    ["m2", "flow.run_denied"],
  ]);
});
