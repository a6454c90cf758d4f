import type { PackId, Refusal } from "@rumi/core";
import { expect, test } from "vitest";
import { diffFlows } from "./diff-flow.ts";
import { FlowTable } from "./flow-table.ts";
import { planFlow } from "./plan-flow.ts";
import type { PlanFacts } from "./plan-flow.ts";
import { blockGives, FakeBlocks, flowFile } from "./testing/index.ts";

const blocks = new FakeBlocks({ "p/a.py": () => blockGives(1) });
const table = (steps: string, more = "", modifiers: string[] = []) =>
  FlowTable.compose(
    [flowFile(`flow_id: f\nphases: [m]\n${more}steps:\n${steps}`), flowFile("flow_id: g\nphases: [m]\n", { file: "g.flow.yaml" })],
    {
      blocks,
      handlers: [],
      modifiers: modifiers.map((text, index) => flowFile(text, { file: `${index}.modifier.yaml` })),
    },
  );
const set = (id: string, value = 1) => `  - { id: ${id}, phase: m, type: set, input: { key: ${id}, value: ${value} } }\n`;

test("H70 the diff of two effective flows names what came, went and changed, by field", () => {
  const before = table(set("a") + set("b") + set("c")).get("f");
  const after = table(set("a", 2) + set("c") + set("d"), "description: new\n").get("f");
  expect(diffFlows(before, after)).toMatchObject({
    base_digest: before?.digest,
    digest: after?.digest,
    added: ["d"],
    removed: ["b"],
    changed: [
      { step: null, field: "description", from: null, to: "new" },
      { step: "a", field: "input", from: { key: "a", value: 1 }, to: { key: "a", value: 2 } },
    ],
  });
  expect(diffFlows(before, before)).toMatchObject({ added: [], removed: [], changed: [] });
});

test("a modifier's work shows: what it injects, what it replaces and where that comes from; a flow that comes or goes too", () => {
  const before = table(set("a")).get("f");
  const replace =
    "modifier_id: m\ntarget_flow_id: f\naction: replace\ntarget_step_id: a\nstep: { id: x, type: set, input: { key: a, value: 9 } }\n";
  const append = "modifier_id: n\ntarget_flow_id: f\naction: append\nstep: { id: y, type: set, input: { key: y, value: 9 } }\n";
  const diff = diffFlows(before, table(set("a"), "", [replace, append]).get("f"));
  expect(diff.added).toEqual(["y"]);
  expect(diff.changed.map(({ step, field }) => `${step} ${field}`)).toEqual(["a input", "a origin"]);
  expect(diffFlows(undefined, before)).toMatchObject({ base_digest: null, added: ["a"], removed: [] });
  expect(diffFlows(before, undefined)).toMatchObject({ digest: null, added: [], removed: ["a"] });
});

const READY: PlanFacts = { pack: () => null, callable: () => null, mayRunFlow: () => true, runtime: () => null };
const NO: Refusal = { allowed: false, code: "approval.modified", reason: "it was modified", remedy: "rumi pack review p" };

test("a plan names what a run would stumble over, and runs nothing", () => {
  const steps =
    "  - { id: a, phase: m, type: file_call, owner_pack: p, file: a.py }\n" +
    "  - { id: none, phase: m, type: file_call, owner_pack: p, file: b.py }\n" +
    "  - { id: i, phase: m, type: if, if: true, then: [{ id: deep, type: function, function: 'q:send' }] }\n" +
    "  - { id: lost, phase: m, type: flow, flow: nowhere }\n";
  const made = table(steps, "inputs: { city: { type: string, required: true } }\n");
  const flow = made.get("f");
  if (flow === undefined) throw new Error("refused");
  expect(planFlow(flow, { city: "x" }, made, READY).missing.map(({ step, code }) => [step, code])).toEqual([
    ["lost", "flow.missing_target"],
    ["none", "flow.missing_target"],
  ]);
  const closed = planFlow(flow, {}, made, { ...READY, pack: () => NO, callable: () => NO });
  expect(closed.missing[0]).toMatchObject({ step: null, code: "flow.input_type", remedy: "rumi flow show f" });
  expect(closed.missing.map(({ step }) => step)).toEqual([null, "a", "deep", "lost", "none"]);
  expect(closed.missing[1]).toEqual({ step: "a", code: "approval.modified", message: "it was modified", remedy: "rumi pack review p" });
  expect(closed.order).toEqual(["a", "i", "lost", "none"]);
});

test("F48 a pack's flow that starts another's without a grant is not ready", () => {
  const made = FlowTable.compose(
    [
      flowFile("flow_id: p.a\nphases: [m]\nsteps:\n  - { id: s, phase: m, type: flow, flow: q.x }\n", { pack: "p" }),
      flowFile("flow_id: q.x\nphases: [m]\n", { pack: "q", file: "q.flow.yaml" }),
    ],
    { blocks, handlers: [] },
  );
  const flow = made.get("p.a");
  if (flow === undefined) throw new Error("refused");
  const denied = planFlow(flow, {}, made, { ...READY, mayRunFlow: (principal) => principal !== ("p" as PackId) });
  expect(denied.missing).toMatchObject([
    { step: "s", code: "flow.run_denied", remedy: expect.stringContaining("rumi grant add p flow.run") },
  ]);
});
