import { sha256, systemClock } from "@rumi/core";
import type { PackId } from "@rumi/core";
import { MemoryAudit, silentLogger } from "@rumi/core/testing";
import { FlowRunner, FlowTable } from "@rumi/flow-engine";
import type { FlowFile, FlowSource, RunAnswer } from "@rumi/flow-engine";
import { expect, test } from "vitest";
import { EventBus } from "./event-bus.ts";
import type { BusEvent } from "./event-bus.ts";
import { interfaceKernelHandlers } from "./interface-handlers.ts";
import type { ComponentPlace } from "./interface-keys.ts";
import { InterfaceRegistry } from "./interface-registry.ts";

function make() {
  const open = new Set(["p", "q"]);
  const audit = new MemoryAudit();
  const registry = new InterfaceRegistry({
    gate: { gate: (id: PackId) => ({ allowed: open.has(id) }) as never },
    isKnownPack: (id) => open.has(id),
    audit,
    logger: silentLogger,
  });
  const bus = new EventBus({ logger: silentLogger });
  const handlers = interfaceKernelHandlers({ registry, bus });
  const blocks = { resolve: () => ({ found: false, missing: "pack", message: "none" }) as const };
  const compose = (files: readonly FlowFile[], modifiers: readonly FlowFile[] = []): FlowTable =>
    FlowTable.compose(files, {
      blocks,
      handlers,
      modifiers,
      surroundings: {
        rights: { mayReachWide: () => false, consentedOverwrites: () => new Set() },
        facts: {
          hasInterface: (name) => registry.has(name),
          hasCapability: (name) => registry.hasCapability(name),
          resolve: (_, token) => token,
        },
      },
    });
  const run = (table: FlowTable, id: string): Promise<RunAnswer> =>
    new FlowRunner({
      table: () => table,
      handlers,
      blocks: { run: () => Promise.reject(new Error("no blocks")) },
      audit,
      clock: systemClock,
      logger: silentLogger,
    }).run(id, {}, { caller: "test", trigger: "api" });
  return { open, registry, bus, compose, run };
}

function file(text: string, pack: string | null = null, name = "x.flow.yaml"): FlowFile {
  const source: FlowSource = { source: pack === null ? "shared" : "pack", pack_id: pack as PackId | null, file: name };
  return { text, source };
}

const place = (pack: string, provides: readonly string[] = []): ComponentPlace => ({
  pack_id: pack as PackId,
  component_id: "c",
  digest: sha256(pack),
  provides,
});
const call = (id: string, name: string, args: string): string =>
  `  - {id: ${id}, phase: a, type: handler, input: {handler: "kernel:${name}", args: ${args}}, output: ${id}}\n`;
const flow = (id: string, steps: string): string => `flow_id: ${id}\nphases: [a]\nsteps:\n${steps}`;

test("F70 a modifier waits until a component registers what it requires, is applied after the next composition, and goes with it", () => {
  const { compose, open, registry } = make();
  const base = [file(flow("base", "  - {id: x, phase: a, type: set, input: {key: k, value: 1}}\n"))];
  const modifier = file(
    "modifier_id: m\ntarget_flow_id: base\naction: append\nrequires: {interfaces: [ai.client], capabilities: [tools]}\nstep: {id: s, type: set, input: {key: s, value: 1}}\n",
    "q",
    "m.modifier.yaml",
  );
  const looked = (): unknown => compose(base, [modifier]).modifiers.map((record) => record.skipped_reason ?? "applied");
  let recomposed: unknown = looked();
  registry.onChange(() => (recomposed = looked()));
  expect(recomposed).toEqual(["requires_not_satisfied:ai.client"]);
  registry.publish(place("p", ["ai.client"]), { "ai.client": { url: "x" } });
  expect(recomposed).toEqual(["requires_not_satisfied:tools"]);
  registry.publish(place("p", ["ai.client"]), { "ai.client": { url: "x" }, "component.capabilities": { tools: true } });
  expect(recomposed).toEqual(["applied"]);
  open.delete("p");
  registry.packChanged("p" as PackId);
  expect(recomposed).toEqual(["requires_not_satisfied:ai.client"]);
});

test("flows read interfaces and tell events as the step's principal", async () => {
  const { bus, compose, registry, run } = make();
  registry.publish(place("p"), { "p.greeting": { text: "hi" }, "p.other": 1 });
  const heard: BusEvent[] = [];
  for (const topic of ["q.greeted", "flows.greeted", "p.greeted"]) bus.on(topic, (event) => void heard.push(event));
  const steps =
    call("got", "interfaces.get", "{key: p.greeting}") +
    call("none", "interfaces.get", "{key: p.none}") +
    call("list", "interfaces.list", "{prefix: p.}") +
    call("told", "emit", '{event: greeted, data: {text: "${ctx.got.text}"}}');
  const table = compose([file(flow("q", steps), "q"), file(flow("shared", steps))]);
  expect((await run(table, "q")).result).toEqual({
    got: { text: "hi" },
    none: null,
    list: ["p.greeting", "p.other"],
    told: { topic: "q.greeted" },
  });
  expect((await run(table, "shared")).result?.["told"]).toEqual({ topic: "flows.greeted" });
  expect(heard).toEqual([
    { topic: "q.greeted", data: { text: "hi" } },
    { topic: "flows.greeted", data: { text: "hi" } },
  ]);
});

test("what a pack may not read or tell fails its step, literal faults their file", async () => {
  const { compose, run } = make();
  const late =
    call("a", "interfaces.get", '{key: "${ctx.key}"}') +
    call("b", "emit", '{event: "${ctx.event}"}') +
    call("c", "interfaces.get", "{key: system.ready}");
  const table = compose([file(flow("q", late), "q")]);
  expect((await run(table, "q")).failed_steps.map((step) => [step.step_id, step.code])).toEqual([
    ["a", "kernel.invalid_args"],
    ["b", "kernel.invalid_args"],
    ["c", "interface.key_denied"],
  ]);
  for (const bad of [call("a", "interfaces.get", "{}"), call("a", "emit", "{event: a b}"), call("a", "interfaces.list", "{prefix: 5}")]) {
    expect(
      compose([file(flow("f", bad))]).problems.map((problem) => problem.code),
      bad,
    ).toEqual(["kernel.invalid_args"]);
  }
});
