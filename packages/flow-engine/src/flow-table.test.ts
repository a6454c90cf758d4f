import { expect, test } from "vitest";
import { FlowTable } from "./flow-table.ts";
import { contextHandlers } from "./kernel-handlers.ts";
import { FakeBlocks, blockGives, fakeDigest, flowFile } from "./testing/index.ts";
import type { KernelHandler } from "./ports.ts";

const OPERATOR: KernelHandler = { name: "kernel:capability.grant", kind: "operator", run: () => null };
const blocks = new FakeBlocks({ "p/x.py": () => blockGives(1), "q/y.js": () => blockGives(2) });
const options = { blocks, handlers: [...contextHandlers(), OPERATOR] };

function flow(id: string, steps = "[]"): string {
  return `flow_id: ${id}\nphases: [a]\nsteps: ${steps}\n`;
}

function compose(...files: Parameters<typeof FlowTable.compose>[0]): FlowTable {
  return FlowTable.compose(files, options);
}

test("F10 an official id stays official, the shared file is duplicate_id", () => {
  const table = compose(
    flowFile(flow("startup"), { file: "s.flow.yaml" }),
    flowFile(flow("startup"), { source: "official", file: "o.flow.yaml" }),
  );
  expect(table.get("startup")?.definition.source.source).toBe("official");
  expect(table.skipped).toMatchObject([{ code: "flow.duplicate_id", file: "s.flow.yaml", source: "shared", count: 1 }]);
});

test("F11 a shared flow shadows a pack's, whose file is duplicate_id", () => {
  const table = compose(flowFile(flow("p.a"), { pack: "p", file: "p.flow.yaml" }), flowFile(flow("p.a"), { file: "s.flow.yaml" }));
  expect(table.get("p.a")?.definition.source.file).toBe("s.flow.yaml");
  expect(table.problems).toMatchObject([{ code: "flow.duplicate_id", file: "p.flow.yaml" }]);
});

test("F12 a pack's foreign id is refused, its other files load", () => {
  const table = compose(
    flowFile(flow("q.a"), { pack: "p", file: "1.flow.yaml" }),
    flowFile(flow("p.a"), { pack: "p", file: "2.flow.yaml" }),
  );
  expect(table.list().map((each) => each.definition.flow_id)).toEqual(["p.a"]);
  expect(table.skipped).toMatchObject([{ code: "flow.foreign_id", pack_id: "p" }]);
});

test("F13 skip records of packs that may not run are kept as given", () => {
  const record = {
    source: "pack",
    pack_id: null,
    file: null,
    code: "approval.not_approved",
    reason: "installed",
    count: 3,
    ts: "2026-01-01T00:00:00.000Z",
  } as const;
  expect(FlowTable.compose([], { ...options, skipped: [record] }).skipped).toEqual([record]);
});

test("files of one source go by path, whatever order they were read in", () => {
  const table = compose(flowFile(flow("x"), { file: "b.flow.yaml" }), flowFile(flow("x"), { file: "a.flow.yaml" }));
  expect(table.get("x")?.definition.source.file).toBe("a.flow.yaml");
});

test("F15 F17 attempts to grow rights become security events", () => {
  const table = compose(
    flowFile(flow("p", "[{id: x, phase: a, type: handler, input: 'kernel:capability.grant'}]"), { pack: "p" }),
    flowFile(flow("q", "[{id: x, phase: a, type: set, input: {key: k}, principal_id: p}]"), { pack: "q" }),
  );
  expect(table.securityEvents).toMatchObject([
    { category: "security", action: "handler_not_allowed", success: false, owner_pack: "p" },
    { category: "security", action: "principal_id_overridden", success: false, owner_pack: "q" },
  ]);
});

test("a flow is bound to the snapshots of its packs, nested steps too", () => {
  const text = flow(
    "f",
    "[{id: x, phase: a, type: file_call, owner_pack: p, file: x.py}, {id: c, phase: a, type: if, if: true, then: [{id: y, type: file_call, owner_pack: q, file: y.js}, {id: z, type: file_call, owner_pack: r, file: z.js}]}]",
  );
  const composed = compose(flowFile(text)).get("f");
  expect(Object.fromEntries(composed?.packs ?? [])).toEqual({ p: fakeDigest("p"), q: fakeDigest("q") });
  expect(composed?.targets.get("z")).toMatchObject({ found: false });
});

test("the effective digest follows meaning and snapshots, not comments or blanks", () => {
  const digestOf = (text: string, resolver = blocks): string | undefined =>
    FlowTable.compose([flowFile(text)], { ...options, blocks: resolver }).get("f")?.digest;
  const text = flow("f", "[{id: x, phase: a, type: file_call, owner_pack: p, file: x.py}]");
  expect(digestOf(text)).toBe(digestOf(`# a comment\n${text.replace("[a]", "[ a ]")}`));
  expect(digestOf(text)).not.toBe(digestOf(text.replace("id: x", "id: y")));
  expect(digestOf(text)).not.toBe(digestOf(text, new FakeBlocks()));
});

test("steps come in the order they run", () => {
  const set = (id: string, more: string): string => `{id: ${id}, phase: a, type: set, input: {key: k}, ${more}}`;
  const composed = compose(
    flowFile(flow("f", `[${set("c", "priority: 30")}, ${set("b", "priority: 20, depends_on: [a]")}, ${set("a", "priority: 25")}]`)),
  ).get("f");
  expect(composed?.order.map((step) => step.id)).toEqual(["a", "b", "c"]);
});
