import type { JsonValue } from "@rumi/core";
import { expect, test } from "vitest";
import { blockGives, FakeBlocks, flowFile, TestBench } from "./testing/index.ts";

function nested(levels: number): JsonValue {
  let value: JsonValue = 1;
  for (let level = 0; level < levels; level += 1) value = [value];
  return value;
}

const call = "  - {id: a, phase: a, type: file_call, owner_pack: p, file: a.py, output: k}\n";
const head = "flow_id: f\nphases: [a]\nsteps:\n";

test.each([1_000, 20_000, 500_000])("a block's value nested %d deep fails its step; the answer can always be written", async (levels) => {
  const made = new TestBench([flowFile(head + call)], { blocks: new FakeBlocks({ "p/a.py": () => blockGives(nested(levels)) }) });
  const answer = await made.run("f");
  expect(answer).toMatchObject({ failed_steps: [{ step_id: "a", code: "flow.context_too_large" }] });
  expect(() => JSON.stringify(answer)).not.toThrow();
});

test("a flow that wraps a value in itself again and again cannot make it too deep to write", async () => {
  const loop =
    "  - id: b\n    phase: a\n    type: repeat\n    max_iterations: 1000\n    steps:\n      - {id: s, type: set, input: {key: k, value: [[[[[[[[[[[[[[[['${ctx.k}']]]]]]]]]]]]]]]]}}\n";
  const made = new TestBench([flowFile(head + call + loop)], { blocks: new FakeBlocks({ "p/a.py": () => blockGives(1) }) });
  const answer = await made.run("f");
  expect(answer.failed_steps.length).toBeGreaterThan(0);
  expect(() => JSON.stringify(answer)).not.toThrow();
});

test("a value as deep as a block may give passes whole", async () => {
  const made = new TestBench([flowFile(head + call)], { blocks: new FakeBlocks({ "p/a.py": () => blockGives(nested(200)) }) });
  expect(await made.run("f")).toMatchObject({ state: "completed", failed_steps: [], result: { k: nested(200) } });
});
