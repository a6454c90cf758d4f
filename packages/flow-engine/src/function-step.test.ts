import type { PackId } from "@rumi/core";
import { expect, test } from "vitest";
import type { FunctionAsk, FunctionOutcome, FunctionRunner } from "./ports.ts";
import { blockFails, blockGives, flowFile, TestBench } from "./testing/index.ts";

const OWNER = "q" as PackId;

class Functions implements FunctionRunner {
  readonly asked: FunctionAsk[] = [];
  readonly #gives: (ask: FunctionAsk, signal: AbortSignal) => FunctionOutcome | Promise<FunctionOutcome>;

  constructor(gives: (ask: FunctionAsk, signal: AbortSignal) => FunctionOutcome | Promise<FunctionOutcome>) {
    this.#gives = gives;
  }

  async call(ask: FunctionAsk, signal: AbortSignal): Promise<FunctionOutcome> {
    this.asked.push(ask);
    return this.#gives(ask, signal);
  }
}

const step = (more: string) =>
  `flow_id: f\nphases: [m]\nsteps:\n  - { id: s, phase: m, type: function, function: "q:send", output: out${more} }\n  - { id: after, phase: m, type: set, input: { key: after, value: 1 } }\n`;
const bench = (functions: FunctionRunner, more = ", input: { text: '${ctx.word}' }", pack?: string) =>
  new TestBench(
    [
      flowFile(
        step(more).replace("flow_id: f", pack === undefined ? "flow_id: f" : `flow_id: ${pack}.f`),
        pack === undefined ? {} : { pack },
      ),
    ],
    {
      deps: { functions },
    },
  );

test("a function step gives its input as args, as its principal, within its time and chain", async () => {
  const functions = new Functions((ask) => ({ found: true, owner_pack: OWNER, outcome: blockGives({ got: ask.args }) }));
  const answer = await bench(functions).run("f", { word: "hi" });
  expect(answer).toMatchObject({ state: "completed", result: { out: { got: { text: "hi" } }, after: 1 } });
  expect(functions.asked).toMatchObject([{ name: "q:send", principal: "system", chain: ["f"], attempt: 1, timeout_ms: 30_000 }]);
  const ofPack = new Functions(() => ({ found: true, owner_pack: OWNER, outcome: blockGives(1) }));
  await bench(ofPack, "", "p").run("p.f");
  expect(ofPack.asked).toMatchObject([{ principal: "p", args: {} }]);
});

test("a name that is nothing is missing, a refusal fails the step, an outcome of running is retried", async () => {
  const nothing = await bench(new Functions(() => ({ found: false, message: "there is no function q:send" }))).run("f");
  expect(nothing).toMatchObject({ state: "completed", failed_steps: [], result: { after: 1 } });
  const refused = new Functions(() => ({
    found: true,
    owner_pack: OWNER,
    outcome: blockFails("function.call_denied", "p may not", false),
  }));
  const denied = await bench(refused, ", retry: { max_attempts: 3, delay_seconds: 0 }").run("f");
  expect(denied.failed_steps).toMatchObject([{ code: "function.call_denied", attempts: 1 }]);
  let tries = 0;
  const flaky = new Functions(() => {
    tries += 1;
    return { found: true, owner_pack: OWNER, outcome: tries < 3 ? blockFails("sandbox.crashed") : blockGives("at last") };
  });
  expect(await bench(flaky, ", retry: { max_attempts: 3, delay_seconds: 0 }").run("f")).toMatchObject({ result: { out: "at last" } });
  expect(new Set(flaky.asked.map((ask) => ask.idempotency_key)).size).toBe(1);
});

test("F43 a function's value may end the flow; a capability's value is normalised by nobody", async () => {
  const aborting = new Functions(() => ({
    found: true,
    owner_pack: OWNER,
    outcome: blockGives({ __flow_control: "abort", reason: "bad" }),
  }));
  expect(await bench(aborting).run("f")).toMatchObject({ state: "aborted", reason: "bad" });
  const seen: string[] = [];
  const vocabulary = { normalize: (pack: PackId) => (seen.push(pack), { value: "own words", warnings: [] }) };
  const run = (owner: PackId | null) =>
    new TestBench([flowFile(step(""))], {
      deps: { vocabulary, functions: new Functions(() => ({ found: true, owner_pack: owner, outcome: blockGives("as is") })) },
    }).run("f");
  expect((await run(OWNER)).result).toMatchObject({ out: "own words" });
  expect((await run(null)).result).toMatchObject({ out: "as is" });
  expect(seen).toEqual(["q"]);
});

test("without a runner of functions every function is missing; an input that is no map is refused", async () => {
  expect((await new TestBench([flowFile(step(""))]).run("f")).state).toBe("completed");
  const functions = new Functions(() => ({ found: true, owner_pack: OWNER, outcome: blockGives(1) }));
  expect((await bench(functions, ", input: '${ctx.word}'").run("f", { word: "text" })).failed_steps).toMatchObject([
    { code: "flow.invalid_input" },
  ]);
  expect(functions.asked).toEqual([]);
});
