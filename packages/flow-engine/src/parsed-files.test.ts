import { expect, test } from "vitest";
import { FlowTable } from "./flow-table.ts";
import { contextHandlers } from "./kernel-handlers.ts";
import { ParsedFiles } from "./parsed-files.ts";
import { FakeBlocks, flowFile } from "./testing/index.ts";

const handlers = contextHandlers();
const flow = (id: string, value = 1) =>
  `flow_id: ${id}\nphases: [a]\nsteps: [{id: s, phase: a, type: set, input: {key: k, value: ${value}}}]\n`;
const modifier = "modifier_id: m\ntarget_flow_id: f\naction: append\nstep: {id: m, type: set, input: {key: m, value: 1}}\n";

test("a file that did not change is parsed once, one that did anew; places are not mixed up", () => {
  const files = new ParsedFiles({ handlers });
  const first = files.flow(flowFile(flow("f")));
  expect(files.flow(flowFile(flow("f")))).toBe(first);
  expect(files.flow(flowFile(flow("f", 2)))).not.toBe(first);
  expect(files.flow(flowFile(flow("p"), { pack: "p" })).flow?.source.pack_id).toBe("p");
  expect(files.flow(flowFile(flow("p"), { pack: "q" })).problems[0]?.code).toBe("flow.foreign_id");
  const kept = files.modifier(flowFile(modifier));
  expect(files.modifier(flowFile(modifier))).toBe(kept);
  expect(kept.modifier?.modifier_id).toBe("m");
});

test("preparing gives way to other work, and forgets files that are gone", async () => {
  const parsed = new ParsedFiles({ handlers });
  const gone = flowFile(flow("gone"), { file: "gone.flow.yaml" });
  const before = parsed.flow(gone);
  const files = Array.from({ length: 400 }, (_, at) => flowFile(flow(`f${at}`), { file: `${at}.flow.yaml` }));
  let turns = 0;
  const count = (): void => {
    turns += 1;
    next = setImmediate(count);
  };
  let next = setImmediate(count);
  await parsed.prepare(files, [flowFile(modifier)]);
  clearImmediate(next);
  expect(turns).toBeGreaterThan(1);
  expect(parsed.flow(gone)).not.toBe(before);
});

test("a table made of what was prepared is the same as one made at once", async () => {
  const files = [flowFile(flow("f")), flowFile("flow_id: bad\n", { file: "bad.flow.yaml" })];
  const modifiers = [flowFile(modifier), flowFile(modifier, { file: "twice.modifier.yaml" })];
  const parsed = new ParsedFiles({ handlers });
  await parsed.prepare(files, modifiers);
  const [one, other] = [{ parsed }, {}].map((more) => FlowTable.compose(files, { blocks: new FakeBlocks(), handlers, modifiers, ...more }));
  expect(one?.list().map((each) => each.digest)).toEqual(other?.list().map((each) => each.digest));
  expect([one?.problems, one?.modifiers]).toEqual([other?.problems, other?.modifiers]);
});
