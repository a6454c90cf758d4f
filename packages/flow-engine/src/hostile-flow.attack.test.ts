import type { JsonValue } from "@rumi/core";
import { expect, test } from "vitest";
import { MAX_FAILED_STEPS } from "./limits.ts";
import { blockFails, blockGives, FakeBlocks, flowFile, TestBench } from "./testing/index.ts";
import type { FakeBlock } from "./testing/index.ts";

function bench(steps: string, blocks: Record<string, FakeBlock> = {}): TestBench {
  const text = `flow_id: f\nphases: [a]\nsteps:\n${steps.replaceAll(/^/gmu, "  ")}\n`;
  const made = new TestBench([flowFile(text)], { blocks: new FakeBlocks(blocks) });
  expect(made.table.problems.filter((problem) => problem.severity === "error")).toEqual([]);
  return made;
}

const gives =
  (make: () => JsonValue): FakeBlock =>
  () =>
    blockGives(make());
const big = (): JsonValue => Array.from({ length: 700_000 }, (_, index) => index % 10);
const call = (id: string): string => `- {id: ${id}, phase: a, type: file_call, owner_pack: p, file: ${id}.py, output: ${id}}`;

const anyOf = (term: string): string => Array.from({ length: 150 }, () => `(${term})`).join(" and ");
const guarded = (condition: string): string =>
  [call("x"), call("y"), `- {id: z, phase: a, type: set, when: '${condition}', input: {key: k, value: 1}}`].join("\n");
const texts = "x".repeat(4_000_000);

test.each<[string, string, () => JsonValue]>([
  ["equal lists", "${ctx.x} == ${ctx.y}", () => Array.from({ length: 700_000 }, (_, index) => index % 10)],
  ["maps", "${ctx.x}", () => Object.fromEntries(Array.from({ length: 300_000 }, (_, index) => [`k${index}`, 1]))],
  ["equal maps", "${ctx.x} == ${ctx.y}", () => Object.fromEntries(Array.from({ length: 300_000 }, (_, index) => [`k${index}`, 1]))],
  ["texts", "${ctx.x} >= ${ctx.y}", () => `${texts}a`],
  ["digits", "${ctx.x} > 1", () => "1".repeat(4_000_000)],
])("a condition over large %s a hundred times fails its step instead of holding the daemon", async (_, term, make) => {
  const made = bench(guarded(anyOf(term)), { "p/x.py": gives(make), "p/y.py": gives(make) });
  expect(await made.run("f")).toMatchObject({ failed_steps: [{ step_id: "z", code: "flow.context_too_large" }] });
});

test("a condition over two of the largest values is judged", async () => {
  const most = (): JsonValue => Array.from({ length: 2_000_000 }, () => 1);
  const made = bench(guarded("${ctx.x} == ${ctx.y} and ${ctx.x}"), { "p/x.py": gives(most), "p/y.py": gives(most) });
  expect(await made.run("f", {}, {})).toMatchObject({ state: "completed", failed_steps: [] });
});

test("steps that copy a large value hundreds of times give way between copies", async () => {
  const loop = `- id: z\n  phase: a\n  type: repeat\n  max_iterations: 120\n  steps:\n    - {id: s, type: set, input: {key: k, value: "v \${ctx.x}"}}`;
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 1);
  const made = bench([call("x"), loop].join("\n"), { "p/x.py": gives(big) });
  expect(await made.run("f")).toMatchObject({ state: "completed" });
  clearInterval(timer);
  expect(turns).toBeGreaterThan(20);
}, 60_000);

test("thousands of failing steps leave an answer of bounded size, and retries of them end", async () => {
  const many = Array.from({ length: 2_000 }, (_, index) => index);
  const loop = `- id: z\n  phase: a\n  type: foreach\n  items: "\${ctx.x}"\n  steps:\n    - {id: s, type: file_call, owner_pack: p, file: z.py, on_error: continue, retry: {max_attempts: 4, delay_seconds: 0}}`;
  const made = bench([call("x"), loop].join("\n"), {
    "p/x.py": gives(() => many),
    "p/z.py": () => blockFails("sandbox.block_error", "y".repeat(100_000)),
  });
  const answer = await made.run("f");
  expect(answer.state).toBe("completed");
  expect(answer.failed_steps.length).toBe(MAX_FAILED_STEPS);
  expect(answer.warnings).toEqual([`more than ${MAX_FAILED_STEPS} steps failed; the audit log names the rest`]);
  expect(JSON.stringify(answer).length).toBeLessThan(1024 * 1024);
}, 60_000);
