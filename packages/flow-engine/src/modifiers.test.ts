import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FlowTable } from "./flow-table.ts";
import type { ComposeOptions } from "./flow-table.ts";
import { contextHandlers } from "./kernel-handlers.ts";
import type { ModifierFacts, ModifierRights } from "./modifier.ts";
import { parseModifier } from "./parse-modifier.ts";
import { FakeBlocks, flowFile } from "./testing/index.ts";

const NOTHING: ModifierFacts = { hasInterface: () => false, hasCapability: () => false, resolve: (_namespace, token) => token };
const NO_RIGHTS: ModifierRights = { mayReachWide: () => false, consentedOverwrites: () => new Set() };
const options: ComposeOptions = { blocks: new FakeBlocks({}), handlers: contextHandlers() };

interface Wish {
  readonly flows?: readonly ReturnType<typeof flowFile>[];
  readonly modifiers: readonly ReturnType<typeof flowFile>[];
  readonly rights?: Partial<ModifierRights>;
  readonly facts?: Partial<ModifierFacts>;
}

const set = (id: string, more = "") =>
  `  - { id: ${id}, phase: main, type: set, input: { key: ${id.replace(/\W/g, "_")}, value: 1 }${more} }\n`;
const flow = (id: string, steps = set("x"), phases = "[main]") => `flow_id: ${id}\nphases: ${phases}\nsteps:\n${steps}`;
const BASE = flowFile(flow("base"), { file: "base.flow.yaml" });

/** A modifier that brings the step `set <stepId>`. */
function modifier(id: string, fields: string, step: string | null = id): string {
  const brought = step === null ? "" : `step: { id: ${step}, type: set, input: { key: ${step}, value: 2 } }\n`;
  return `modifier_id: ${id}\ntarget_flow_id: base\n${fields}\n${brought}`;
}
const shared = (text: string, file = "m.modifier.yaml") => flowFile(text, { file });
const ofPack = (text: string, pack = "p", file = "m.modifier.yaml") => flowFile(text, { pack, file });

function compose({ flows = [BASE], modifiers, rights = {}, facts = {} }: Wish): FlowTable {
  return FlowTable.compose(flows, {
    ...options,
    modifiers,
    surroundings: { rights: { ...NO_RIGHTS, ...rights }, facts: { ...NOTHING, ...facts } },
  });
}

const ids = (table: FlowTable, flowId = "base") => table.get(flowId)?.order.map((step): string => step.id);
const reasons = (table: FlowTable) => Object.fromEntries(table.modifiers.map((record) => [record.modifier_id, record.skipped_reason]));

describe("where steps go", () => {
  test("F62 two before, two after: by priority, nearest last", () => {
    const modifiers = [
      ["b50", "before", 50],
      ["b200", "before", 200],
      ["a50", "after", 50],
      ["a200", "after", 200],
    ] as const;
    const table = compose({
      modifiers: modifiers.map(([id, where, priority], index) =>
        shared(modifier(id, `action: inject_${where}\ntarget_step_id: x\npriority: ${priority}`), `${9 - index}.modifier.yaml`),
      ),
    });
    expect(ids(table)).toEqual(["b50", "b200", "x", "a50", "a200"]);
  });

  test("F64 append without a phase goes to the end of the last; an unknown phase is phase_not_found", () => {
    const table = compose({
      flows: [
        flowFile(flow("base", set("x") + "  - { id: y, phase: late, type: set, input: { key: y, value: 1 } }\n", "[main, empty, late]")),
      ],
      modifiers: [
        shared(modifier("end", "action: append"), "1.modifier.yaml"),
        shared(modifier("middle", "action: append\nphase: empty"), "2.modifier.yaml"),
        shared(modifier("first", "action: append\nphase: main"), "3.modifier.yaml"),
        shared(modifier("lost", "action: append\nphase: nowhere"), "4.modifier.yaml"),
      ],
    });
    expect(ids(table)).toEqual(["x", "first", "middle", "y", "end"]);
    expect(table.get("base")?.order.map((step) => step.phase)).toEqual(["main", "main", "empty", "late", "late"]);
    expect(reasons(table)).toMatchObject({ end: null, lost: "phase_not_found" });
  });

  test("a place follows what replaced and removed steps left", () => {
    const table = compose({
      flows: [flowFile(flow("base", set("x") + set("y") + set("z")))],
      modifiers: [
        shared(modifier("gone", "action: remove\ntarget_step_id: __first__", null), "1.modifier.yaml"),
        shared(modifier("head", "action: inject_before\ntarget_step_id: __first__"), "2.modifier.yaml"),
        shared(modifier("tail", "action: inject_after\ntarget_step_id: __last__\nphase: main"), "3.modifier.yaml"),
      ],
    });
    expect(ids(table)).toEqual(["head", "y", "z", "tail"]);
  });

  test("a later pass may mean a step of an earlier one", () => {
    const table = compose({
      modifiers: [
        shared(modifier("one", "action: inject_before\ntarget_step_id: x"), "1.modifier.yaml"),
        shared(modifier("two", "action: inject_after\ntarget_step_id: one"), "2.modifier.yaml"),
      ],
    });
    expect(ids(table)).toEqual(["one", "two", "x"]);
  });

  test("replace takes place, id, phase and dependencies; its own id stays in its origin", () => {
    const table = compose({
      flows: [flowFile(flow("base", set("a") + set("b", ", depends_on: [a]") + set("c", ", depends_on: [b]")))],
      modifiers: [shared(modifier("new", "action: replace\ntarget_step_id: b", "fresh"))],
    });
    const replaced = table.get("base")?.order[1];
    expect(replaced).toMatchObject({ id: "b", phase: "main", depends_on: ["a"], key: "fresh", on_error: "continue" });
    expect(table.get("base")?.origins.get("b")).toMatchObject({ modifier_id: "new", action: "replace", replaced_id: "fresh" });
    expect(ids(table)).toEqual(["a", "b", "c"]);
  });

  test("F72 fifty appends give fifty steps with origins; the base is unchanged", () => {
    const modifiers = Array.from({ length: 50 }, (_, index) =>
      shared(modifier(`m${index}`, "action: append"), `${String(index).padStart(2, "0")}.modifier.yaml`),
    );
    const before = compose({ modifiers: [] }).get("base");
    const after = compose({ modifiers }).get("base");
    expect(after?.order).toHaveLength(51);
    expect(after?.order.slice(1).every((step) => after.origins.get(step.id)?.action === "append")).toBe(true);
    expect(after?.definition.steps).toEqual(before?.definition.steps);
    expect(after?.digest).not.toBe(before?.digest);
    expect(compose({ modifiers }).get("base")?.digest).toBe(after?.digest);
  });
});

describe("what is skipped, and why", () => {
  test("F63 remove and inject_before on one step: removed, target_step_not_found, warned", () => {
    const table = compose({
      flows: [flowFile(flow("base", set("x") + set("y", ", depends_on: [x]")))],
      modifiers: [
        shared(modifier("out", "action: remove\ntarget_step_id: x", null), "1.modifier.yaml"),
        shared(modifier("in", "action: inject_before\ntarget_step_id: x"), "2.modifier.yaml"),
      ],
    });
    expect(ids(table)).toEqual(["y"]);
    expect(reasons(table)).toEqual({ out: null, in: "target_step_not_found" });
    expect(table.get("base")?.removed).toEqual([{ id: "x", by: { modifier_id: "out", pack_id: null } }]);
    expect(table.problems.map((problem) => problem.code)).toEqual(["modifier.shared_target", "modifier.orphans_dependents"]);
  });

  test("a second replace or remove of a step is a conflict", () => {
    const table = compose({
      modifiers: [
        shared(modifier("b", "action: replace\ntarget_step_id: x"), "1.modifier.yaml"),
        shared(modifier("a", "action: remove\ntarget_step_id: x", null), "2.modifier.yaml"),
      ],
    });
    expect(reasons(table)).toEqual({ a: null, b: "conflict" });
  });

  test("F65 patterns: *, **, p* are not allowed to pack p; p.* meets p.sub, not p2.sub", () => {
    const flows = [flowFile(flow("p.sub"), { pack: "p" }), flowFile(flow("p2.sub"), { pack: "p2", file: "2.flow.yaml" }), BASE];
    for (const glob of ["*", "**", "p*", "p?sub", "[p].sub", "[!x]*"]) {
      const text = `modifier_id: m\ntarget_flow_id: "${glob}"\naction: append\nstep: { id: s, type: set, input: { key: s, value: 1 } }\n`;
      const table = compose({ flows, modifiers: [ofPack(text)] });
      expect(
        table.modifiers.filter((record) => record.applied),
        glob,
      ).toEqual([]);
      expect(new Set(table.modifiers.map((record) => record.skipped_reason)), glob).toEqual(new Set(["wildcard_not_allowed"]));
    }
    const own = compose({
      flows,
      modifiers: [ofPack("modifier_id: m\ntarget_flow_id: p.*\naction: append\nstep: { id: s, type: set, input: { key: s, value: 1 } }\n")],
    });
    expect(own.modifiers).toMatchObject([{ target_flow_id: "p.sub", applied: true, wide: false }]);
  });

  test("F67 a pack replaces another's step only with the privilege, a protected one never", () => {
    const text = modifier("m", "action: replace\ntarget_step_id: x");
    const rights = { mayReachWide: () => true };
    expect(reasons(compose({ modifiers: [ofPack(text)] }))).toEqual({ m: "replace_not_allowed" });
    expect(reasons(compose({ modifiers: [ofPack(text)], rights }))).toEqual({ m: null });
    const flows = [flowFile(flow("base", set("x", ", protected: true")))];
    for (const action of ["replace", "inject_before", "inject_after", "remove"]) {
      const table = compose({
        flows,
        modifiers: [shared(modifier("m", `action: ${action}\ntarget_step_id: x`, action === "remove" ? null : "s"))],
        rights,
      });
      expect(reasons(table), action).toEqual({ m: "protected_step" });
    }
  });

  test("a new step may not write what a protected step writes", () => {
    const flows = [flowFile(flow("base", set("x", ", protected: true") + set("y")))];
    const text = "modifier_id: m\ntarget_flow_id: base\naction: append\nstep: { id: s, type: set, input: { key: x, value: 2 } }\n";
    expect(reasons(compose({ flows, modifiers: [shared(text)] }))).toEqual({ m: "protected_step" });
  });

  test("F68 an official flow stays as it is, whoever asks", () => {
    const flows = [flowFile(flow("startup"), { source: "official", file: "o.flow.yaml" })];
    const text = "modifier_id: m\ntarget_flow_id: startup\naction: remove\ntarget_step_id: x\n";
    const table = compose({ flows, modifiers: [shared(text)], rights: { mayReachWide: () => true } });
    expect(reasons(table)).toEqual({ m: "official_flow" });
    expect(ids(table, "startup")).toEqual(["x"]);
  });

  test("F69 packs p and q may use one id; p twice is modifier.duplicate_id, the first stays", () => {
    const table = compose({
      modifiers: [
        ofPack(modifier("m", "action: append", "s1"), "p", "1.modifier.yaml"),
        ofPack(modifier("m", "action: append", "s2"), "p", "2.modifier.yaml"),
        ofPack(modifier("m", "action: append", "s3"), "q", "3.modifier.yaml"),
      ],
    });
    expect(ids(table)).toEqual(["x", "s1", "s3"]);
    expect(table.skipped).toMatchObject([{ code: "modifier.duplicate_id", file: "2.modifier.yaml" }]);
  });

  test("F70 an id that is there already is refused, nested ones too; a requirement waits until something meets it", () => {
    expect(reasons(compose({ modifiers: [shared(modifier("m", "action: append", "x"))] }))).toEqual({ m: "duplicate_step_id" });
    const nested =
      "modifier_id: m\ntarget_flow_id: base\naction: append\nstep: { id: s, type: if, if: true, then: [{ id: x, type: set, input: { key: k, value: 1 } }] }\n";
    expect(reasons(compose({ modifiers: [shared(nested)] }))).toEqual({ m: "duplicate_step_id" });
    const wants = modifier("m", "action: append\nrequires: { interfaces: [ai.client], capabilities: [tool_support] }");
    expect(reasons(compose({ modifiers: [shared(wants)] }))).toEqual({ m: "requires_not_satisfied:ai.client" });
    const half = { hasInterface: (name: string) => name === "ai.client" };
    expect(reasons(compose({ modifiers: [shared(wants)], facts: half }))).toEqual({ m: "requires_not_satisfied:tool_support" });
    expect(reasons(compose({ modifiers: [shared(wants)], facts: { ...half, hasCapability: () => true } }))).toEqual({ m: null });
  });

  test("F71 writing a key that the approval did not list is consent_missing; inputs count", () => {
    const writes = (key: string) =>
      `modifier_id: m\ntarget_flow_id: base\naction: append\nstep: { id: s, type: set, input: { key: ${key}, value: 1 } }\n`;
    const flows = [flowFile(`flow_id: base\ninputs: { city: string }\nphases: [main]\nsteps:\n${set("x")}`)];
    for (const key of ["x", "city"]) {
      expect(reasons(compose({ flows, modifiers: [ofPack(writes(key))] })), key).toEqual({ m: "consent_missing" });
      expect(
        reasons(compose({ flows, modifiers: [ofPack(writes(key))], rights: { consentedOverwrites: () => new Set([key]) } })),
        key,
      ).toEqual({ m: null });
      expect(reasons(compose({ flows, modifiers: [shared(writes(key))] })), key).toEqual({ m: null });
    }
    expect(reasons(compose({ flows, modifiers: [ofPack(writes("free"))] }))).toEqual({ m: null });
  });

  test("a given phase that is not the target's, a rival, and a step that would wait for one behind it", () => {
    const flows = [
      flowFile(flow("base", set("x") + "  - { id: y, phase: late, type: set, input: { key: y, value: 1 } }\n", "[main, late]")),
    ];
    const table = compose({
      flows,
      modifiers: [
        shared(modifier("phase", "action: inject_after\ntarget_step_id: x\nphase: late"), "1.modifier.yaml"),
        shared(modifier("polite", "action: append\nconflicts_with: [p/loud]"), "2.modifier.yaml"),
        ofPack(modifier("loud", "action: append"), "p", "3.modifier.yaml"),
        shared(
          "modifier_id: waits\ntarget_flow_id: base\naction: inject_before\ntarget_step_id: x\nstep: { id: waits, type: set, depends_on: [y], input: { key: w, value: 1 } }\n",
          "4.modifier.yaml",
        ),
      ],
    });
    expect(reasons(table)).toEqual({ phase: "phase_mismatch", polite: "conflicts_with:p/loud", loud: null, waits: "invalid_result" });
  });

  test("a modifier whose flow is not there is told as such", () => {
    expect(compose({ flows: [], modifiers: [shared(modifier("m", "action: append"))] }).modifiers).toMatchObject([
      { modifier_id: "m", target_flow_id: "base", applied: false, skipped_reason: "flow_not_found" },
    ]);
  });

  test("F88 a wide target of a privileged pack or of the operator applies, is marked, and is warned about with its flows", () => {
    const flows = [BASE, flowFile(flow("q.a"), { pack: "q", file: "q.flow.yaml" })];
    const wide = (glob: string) =>
      `modifier_id: m\ntarget_flow_id: "${glob}"\naction: append\nstep: { id: s, type: set, input: { key: s, value: 1 } }\n`;
    const privileged = compose({ flows, modifiers: [ofPack(wide("*"))], rights: { mayReachWide: () => true } });
    expect(privileged.modifiers).toMatchObject([
      { applied: true, wide: true },
      { applied: true, wide: true },
    ]);
    const operator = compose({ flows, modifiers: [shared(wide("q.*"))] });
    expect(operator.modifiers).toMatchObject([{ applied: true, wide: true, target_flow_id: "q.a" }]);
    for (const table of [privileged, operator]) expect(table.problems).toMatchObject([{ code: "modifier.wide", severity: "warning" }]);
    expect(operator.problems[0]?.message).toContain("q.a");
  });

  test("a target may be mapped through the dictionary", () => {
    const text =
      "modifier_id: m\ntarget_flow_id: talk\nresolve_target: true\naction: append\nstep: { id: s, type: set, input: { key: s, value: 1 } }\n";
    const resolve = (namespace: string, token: string) => (namespace === "flow_id" && token === "talk" ? "base" : token);
    expect(ids(compose({ modifiers: [shared(text)], facts: { resolve } }))).toEqual(["x", "s"]);
  });
});

describe("a modifier file", () => {
  const parse = (text: string, pack?: string) => parseModifier(text, flowFile("", pack === undefined ? {} : { pack }).source);
  const codes = (text: string, pack?: string) => parse(text, pack).problems.map((problem) => `${problem.code} ${problem.path}`);

  test("F4 a list where a word belongs is refused; all problems come together", () => {
    expect(codes("modifier_id: a/b\ntarget_flow_id: 'x y'\naction: [a]\nrequires: 5\n")).toEqual([
      "modifier.invalid_field step",
      "modifier.invalid_field modifier_id",
      "modifier.invalid_field target_flow_id",
      "modifier.invalid_field action",
      "modifier.invalid_field requires",
    ]);
  });

  test("F16 a foreign owner_pack is refused in a modifier, nested too", () => {
    const step = (inner: string) => `modifier_id: m\ntarget_flow_id: base\naction: append\nstep: ${inner}\n`;
    const call = "{ id: c, type: python_file_call, owner_pack: q, file: blocks/x.py }";
    expect(codes(step(call), "p")).toEqual(["flow.foreign_owner_pack step.owner_pack"]);
    expect(codes(step(`{ id: i, type: if, if: true, then: [${call}] }`), "p")).toEqual(["flow.foreign_owner_pack step.then[0].owner_pack"]);
  });

  test("phase and priority belong to the modifier, not to its step", () => {
    const text =
      "modifier_id: m\ntarget_flow_id: base\naction: append\nstep: { id: s, type: set, phase: main, priority: 1, input: { key: s, value: 1 } }\n";
    expect(codes(text)).toEqual(["flow.invalid_step step.phase", "flow.invalid_step step.priority"]);
  });

  test("the guide's examples load", () => {
    const logging = `modifier_id: add_logging\ntarget_flow_id: ai_response\nphase: postprocess\npriority: 90\naction: inject_after\ntarget_step_id: format_output\n
step:\n  id: log_response\n  type: python_file_call\n  owner_pack: logging_pack\n  file: blocks/log_ai_response.py\n  input:\n    response: "\${ctx.response}"\n`;
    expect(parse(logging)).toMatchObject({
      problems: [],
      modifier: { modifier_id: "add_logging", priority: 90, step: { id: "log_response" } },
    });
    const wide = `modifier_id: global_logging\ntarget_flow_id: "*"\nphase: postprocess\npriority: 99\naction: append\nstep:\n  id: global_log\n  type: python_file_call\n  owner_pack: logging_pack\n  file: blocks/log.py\n`;
    expect(parse(wide).problems).toEqual([]);
  });

  test("a file over the limit is refused", () => {
    const { problems } = parseModifier("x".repeat(11), flowFile("").source, { maxFileBytes: 10 });
    expect(problems).toMatchObject([{ code: "flow.file_too_large" }]);
  });
});

test("whatever modifiers come: the base is unaltered, what is not touched keeps its order, every record says why", () => {
  const action = fc.constantFrom("inject_before", "inject_after", "append", "replace", "remove");
  const target = fc.constantFrom("a", "b", "c", "d", "__first__", "__last__", "nowhere", "m0", "m1");
  const wish = fc.record({ action, target, priority: fc.integer({ min: 0, max: 3 }), pack: fc.constantFrom(undefined, "p", "q") });
  const base = compose({ flows: [flowFile(flow("base", set("a") + set("b") + set("c", ", depends_on: [b]") + set("d")))], modifiers: [] });
  const snapshot = JSON.stringify(base.get("base")?.definition.raw);
  fc.assert(
    fc.property(fc.array(wish, { maxLength: 8 }), fc.boolean(), (wishes, privileged) => {
      const modifiers = wishes.map((each, index) => {
        const place = each.action === "append" ? "" : `\ntarget_step_id: ${each.target}`;
        const text = modifier(
          `m${index}`,
          `action: ${each.action}${place}\npriority: ${each.priority}`,
          each.action === "remove" ? null : `m${index}`,
        );
        return flowFile(text, { file: `${index}.modifier.yaml`, ...(each.pack === undefined ? {} : { pack: each.pack }) });
      });
      const flows = [flowFile(flow("base", set("a") + set("b") + set("c", ", depends_on: [b]") + set("d")))];
      const table = compose({ flows, modifiers, rights: { mayReachWide: () => privileged } });
      const composed = table.get("base");
      if (composed === undefined) throw new Error("the flow is gone");
      expect(JSON.stringify(composed.definition.raw)).toBe(snapshot);
      const order = composed.order.map((step): string => step.id);
      expect(new Set(order).size).toBe(order.length);
      const kept = ["a", "b", "c", "d"].filter((id) => order.includes(id));
      expect(order.filter((id) => kept.includes(id))).toEqual(kept);
      expect([...composed.origins.keys()].toSorted()).toEqual(order.toSorted());
      expect(table.modifiers).toHaveLength(wishes.length);
      for (const record of table.modifiers) expect(record.applied).toBe(record.skipped_reason === null);
    }),
    { numRuns: 400 },
  );
});
