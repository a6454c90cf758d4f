import type { Digest } from "@rumi/core";
import { describe, expect, test } from "vitest";
import { FlowTable } from "./flow-table.ts";
import type { KernelHandler } from "./ports.ts";
import { blockFails, blockGives, FakeBlocks, flowFile, TestBench } from "./testing/index.ts";

const call = (id: string, pack = "p"): string => `{id: ${id}, phase: a, type: file_call, owner_pack: ${pack}, file: ${id}.py}`;
const flow = (...steps: string[]): string => `flow_id: f\nphases: [a]\nsteps: [${steps.join(", ")}]\n`;

/** Blocks of two packs whose gates are open as long as they are not in `closed`. */
function packs(closed: Set<string>) {
  const block = (pack: string) => () =>
    closed.has(pack) ? { ...blockFails("approval.blocked", "it is blocked", false), remedy: "rumi pack review p" } : blockGives(1);
  const names = ["p/a.py", "p/b.py", "q/c.py"];
  return Object.fromEntries(names.map((name) => [name, block(name.slice(0, 1))]));
}

describe("F58 a pack revoked while a run goes on", () => {
  test("F58 its next step is pack_changed, with the reason and the remedy", async () => {
    const closed = new Set<string>();
    const blocks = packs(closed);
    const made = new TestBench([flowFile(flow(call("a"), call("b")))], {
      blocks: new FakeBlocks({
        ...blocks,
        "p/a.py": () => {
          closed.add("p");
          return blockGives(1);
        },
      }),
    });
    expect(await made.run("f")).toMatchObject({
      state: "completed",
      failed_steps: [
        {
          step_id: "b",
          code: "flow.pack_changed",
          attempts: 1,
          message: 'pack "p" may not run any more: it is blocked',
          remedy: "rumi pack review p",
          details: { code: "approval.blocked" },
        },
      ],
    });
  });

  test("F58 one that was closed before the run called it is told as closed, others go on", async () => {
    const made = new TestBench([flowFile(flow(call("a"), call("b"), call("c", "q")))], { blocks: new FakeBlocks(packs(new Set(["p"]))) });
    const answer = await made.run("f");
    expect(answer.failed_steps.map((step) => [step.step_id, step.code])).toEqual([
      ["a", "approval.blocked"],
      ["b", "approval.blocked"],
    ]);
  });

  test("F58 so is the next step that its modifier brought, of whatever type", async () => {
    const closed = new Set<string>();
    const blocks = new FakeBlocks({
      "q/c.py": () => {
        closed.add("p");
        return blockGives(1);
      },
    });
    const made = new TestBench([], {
      blocks,
      deps: { consent: { holds: ({ pack_id: pack }) => pack === null || !closed.has(pack), isCurrent: (pack) => !closed.has(pack) } },
    });
    made.table = FlowTable.compose([flowFile(flow(call("c", "q")))], {
      blocks,
      handlers: [],
      modifiers: [1, 2].map((nth) =>
        flowFile(
          `modifier_id: m${nth}\ntarget_flow_id: f\naction: inject_${nth === 1 ? "before" : "after"}\ntarget_step_id: c\nstep: {id: s${nth}, type: set, input: {key: k${nth}, value: 1}}\n`,
          { pack: "p", file: `m${nth}.modifier.yaml` },
        ),
      ),
    });
    expect(await made.run("f")).toMatchObject({ result: { k1: 1 }, failed_steps: [{ step_id: "s2", code: "flow.pack_changed" }] });
  });
});

test("F58 a pack's own step acts from the bytes it stands in: once others are approved, no function, handler or flow goes on from them", async () => {
  const [old, next] = ["sha256:1", "sha256:2"] as readonly string[] as readonly [Digest, Digest];
  let current = old;
  const acted: string[] = [];
  const handler = (id: string): KernelHandler => ({
    name: `kernel:${id}`,
    kind: "open",
    run() {
      acted.push(id);
      if (id === "swap") current = next;
      return id;
    },
  });
  const made = new TestBench([], {
    handlers: [handler("swap"), handler("act")],
    deps: {
      consent: { holds: () => true, isCurrent: (pack, digest) => pack === "p" && digest === current },
      functions: {
        async call(ask) {
          acted.push(`${ask.name} from ${ask.principal_digest}`);
          return { found: true, owner_pack: null, outcome: blockGives(1) };
        },
      },
    },
  });
  const text = flow(
    "{id: a, phase: a, type: function, function: 'q:f'}",
    "{id: b, phase: a, type: handler, input: 'kernel:swap'}",
    "{id: c, phase: a, type: set, input: {key: k, value: 1}}",
    "{id: d, phase: a, type: handler, input: 'kernel:act', on_error: continue}",
    "{id: e, phase: a, type: function, function: 'q:f', on_error: continue}",
    "{id: f, phase: a, type: flow, flow: other, on_error: continue}",
  ).replace("flow_id: f", "flow_id: p.f");
  const compose = (digest: Digest): FlowTable =>
    FlowTable.compose([flowFile(text, { pack: "p", digest })], { blocks: made.blocks, handlers: [handler("swap"), handler("act")] });
  made.table = compose(old);
  const answer = await made.run("p.f");
  expect(answer.failed_steps.map((step) => [step.step_id, step.code])).toEqual([
    ["d", "flow.pack_changed"],
    ["e", "flow.pack_changed"],
    ["f", "flow.pack_changed"],
  ]);
  expect(answer.result).toMatchObject({ k: 1 });
  expect(acted).toEqual(["q:f from sha256:1", "swap"]);
  // So is the run as a whole: the same file in other bytes is another flow to go on with.
  expect(compose(next).get("p.f")?.digest).not.toBe(compose(old).get("p.f")?.digest);
});

test("F15 an operator handler is refused at run, too, whatever the table was composed with", async () => {
  const calls: string[] = [];
  const handler = (kind: KernelHandler["kind"]): KernelHandler => ({
    name: "kernel:capability.grant",
    kind,
    run: () => {
      calls.push(kind);
      return null;
    },
  });
  const text = flow("{id: s, phase: a, type: handler, input: 'kernel:capability.grant'}");
  const made = new TestBench([], { handlers: [handler("operator")] });
  const composed = (source: "shared" | "official"): FlowTable =>
    FlowTable.compose([flowFile(text, { source })], { blocks: made.blocks, handlers: [handler("open")] });
  made.table = composed("shared");
  expect((await made.run("f")).failed_steps).toMatchObject([{ code: "flow.handler_not_allowed" }]);
  expect(calls).toEqual([]);
  made.table = composed("official");
  expect(await made.run("f", {}, { trigger: "boot" })).toMatchObject({ failed_steps: [] });
  expect(calls).toEqual(["operator"]);
});
