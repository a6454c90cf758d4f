import { mkdir, readFile, writeFile } from "node:fs/promises";
import { globSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { Ajv2020 } from "ajv/dist/2020.js";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { parseFlow, parseModifier } from "../../packages/flow-engine/src/index.ts";
import { ComponentJson, FunctionJson, HandlerJson, readPack, UnitJson } from "../../packages/pack-manifest/src/index.ts";

const root = join(import.meta.dirname, "../..");
const ajv = new Ajv2020({ strict: false, allErrors: false });

/** What an editor says of a file, by the schema that it was given. */
function editor(kind: string): (value: unknown) => boolean {
  const schema = JSON.parse(readFileSync(join(root, "schemas", `${kind}.schema.json`), "utf8")) as object;
  const validate = ajv.compile(schema);
  return (value) => validate(value);
}

const SOURCE = { source: "shared", pack_id: null, file: "x" } as const;
/** What the daemon says of a file. */
const daemon = {
  flow: (text: string) => parseFlow(text, SOURCE).flow !== null,
  modifier: (text: string) => parseModifier(text, SOURCE).modifier !== null,
  handler: (text: string) => v.is(HandlerJson, parse(text)),
  function: (text: string) => v.is(FunctionJson, parse(text)),
  unit: (text: string) => v.is(UnitJson, parse(text)),
  component: (text: string) => v.is(ComponentJson, parse(text)),
};

const FLOW = "flow_id: f\nphases: [m]\n";
const step = (fields: string): string => `${FLOW}steps:\n  - { id: s, phase: m, ${fields} }\n`;
const nested = (fields: string): string => step(`type: if, if: true, then: [{ id: n, ${fields} }]`);
const call = "type: python_file_call, owner_pack: p";
const MODIFIER = "modifier_id: m\ntarget_flow_id: f\n";
const SET = "{ id: s, type: set, input: { key: k, value: 1 } }";

/** Files, and whether they are fine. What only the daemon can tell (conditions, references, unique ids) is not here. */
const FILES: readonly (readonly [kind: keyof typeof daemon, fine: boolean, name: string, text: string])[] = [
  ["flow", true, "the least", FLOW],
  ["flow", true, "no steps but null", `${FLOW}steps: null\n`],
  ["flow", true, "an unknown key", `${FLOW}more: 1\n`],
  ["flow", true, "a number as id", "flow_id: 1.5\nphases: [m, 2]\n"],
  ["flow", false, "no phases", "flow_id: f\n"],
  ["flow", false, "empty phases", "flow_id: f\nphases: []\n"],
  ["flow", false, "phases that are no list", "flow_id: f\nphases: m\n"],
  ["flow", false, "a phase with a blank", "flow_id: f\nphases: ['a b']\n"],
  ["flow", false, "an id with a slash", "flow_id: a/b\nphases: [m]\n"],
  ["flow", false, "an id of dots", "flow_id: '..'\nphases: [m]\n"],
  ["flow", false, "no id", "phases: [m]\n"],
  ["flow", false, "steps that are a map", `${FLOW}steps: {}\n`],
  ["flow", false, "a list as file", "[]\n"],
  ["flow", true, "inputs and outputs", `${FLOW}inputs: { a: string, b: { type: int, required: true, default: 1 }, c: null }\noutputs: { a: any }\n`],
  ["flow", true, "an unknown type of input", `${FLOW}inputs: { a: banana }\n`],
  ["flow", false, "an input that is a number", `${FLOW}inputs: { a: 5 }\n`],
  ["flow", false, "an input with a leading _", `${FLOW}inputs: { _a: string }\n`],
  ["flow", false, "required as text", `${FLOW}inputs: { a: { required: 'yes' } }\n`],
  ["flow", false, "an output that is a list", `${FLOW}outputs: { a: [1] }\n`],
  ["flow", true, "defaults", `${FLOW}defaults: { fail_soft: false, on_missing_step: fail, vocab_normalize: false }\n`],
  ["flow", false, "on_missing_step of another word", `${FLOW}defaults: { on_missing_step: stop }\n`],
  ["flow", false, "fail_soft as text", `${FLOW}defaults: { fail_soft: 'no' }\n`],
  ["flow", true, "a schedule, even a bad one", `${FLOW}schedule: { cron: nonsense }\n`],
  ["flow", true, "a description of the wrong kind", `${FLOW}description: [a]\n`],
  ["flow", true, "a Python call", step(`${call}, file: blocks/a.py, input: { x: 1 }, output: y, timeout_seconds: 0.5`)],
  ["flow", true, "a call of any kind", step("type: file_call, owner_pack: p, file: a.mts")],
  ["flow", true, "a Node call", step("type: node_file_call, owner_pack: p, file: a.cjs")],
  ["flow", false, "no file", step(call)],
  ["flow", false, "a file of the other runtime", step(`${call}, file: a.js`)],
  ["flow", false, "a Python file for Node", step("type: node_file_call, owner_pack: p, file: a.py")],
  ["flow", false, "a file without a known ending", step("type: file_call, owner_pack: p, file: a.rb")],
  ["flow", false, "a file above the pack", step(`${call}, file: ../a.py`)],
  ["flow", false, "a file in the middle above", step(`${call}, file: a/../b.py`)],
  ["flow", false, "an absolute file", step(`${call}, file: /a.py`)],
  ["flow", false, "an empty segment", step(`${call}, file: a//b.py`)],
  ["flow", false, "a dot segment", step(`${call}, file: ./a.py`)],
  ["flow", false, "a backslash", step(`${call}, file: 'a\\b.py'`)],
  ["flow", false, "a drive letter", step(`${call}, file: 'c:/a.py'`)],
  ["flow", true, "a file with dots in its name", step(`${call}, file: ..a/b..c.py`)],
  ["flow", true, "a hidden file", step(`${call}, file: .a.py`)],
  ["flow", false, "an owner that is no pack id", step("type: python_file_call, owner_pack: 'a b', file: a.py")],
  ["flow", false, "an unknown type", step("type: universal_call, file: a.py")],
  ["flow", false, "no type", step("file: a.py")],
  ["flow", false, "a type that is a list", step("type: [set]")],
  ["flow", false, "no id", `${FLOW}steps:\n  - { phase: m, type: set, input: { key: k, value: 1 } }\n`],
  ["flow", false, "an id starting with __", `${FLOW}steps:\n  - { id: __s, phase: m, type: set, input: { key: k, value: 1 } }\n`],
  ["flow", false, "a step that is text", `${FLOW}steps: [hello]\n`],
  ["flow", true, "a set by output", step("type: set, input: { value: 1 }, output: k")],
  ["flow", true, "a handler by name", step("type: handler, input: 'kernel:noop'")],
  ["flow", true, "a handler with args", step("type: handler, input: { handler: 'kernel:ctx.get', args: { key: a } }")],
  ["flow", false, "a handler without a name", step("type: handler, input: { args: {} }")],
  ["flow", false, "a handler of no form", step("type: handler, input: Kernel.noop")],
  ["flow", false, "a handler without input", step("type: handler")],
  ["flow", false, "args that are a list", step("type: handler, input: { handler: 'kernel:noop', args: [1] }")],
  ["flow", false, "a set without input", step("type: set")],
  ["flow", false, "a key that is none", step("type: set, input: { key: 'a b', value: 1 }")],
  ["flow", false, "a key of the daemon", step("type: set, input: { key: _trigger, value: 1 }")],
  ["flow", true, "the one key of the route", step("type: set, input: { key: _response, value: 1 }")],
  ["flow", false, "an output that is no key", step(`${call}, file: a.py, output: '1a'`)],
  ["flow", true, "when as boolean", step("type: set, when: false, input: { key: k, value: 1 }")],
  ["flow", false, "when as number", step("type: set, when: 3, input: { key: k, value: 1 }")],
  ["flow", false, "an empty condition", step("type: set, when: '', input: { key: k, value: 1 }")],
  ["flow", true, "a retry", step(`${call}, file: a.py, retry: { max_attempts: 10, delay_seconds: 0, backoff: exponential }`)],
  ["flow", false, "eleven attempts", step(`${call}, file: a.py, retry: { max_attempts: 11 }`)],
  ["flow", false, "half an attempt", step(`${call}, file: a.py, retry: { max_attempts: 1.5 }`)],
  ["flow", false, "another backoff", step(`${call}, file: a.py, retry: { backoff: linear }`)],
  ["flow", false, "a retry that is a number", step(`${call}, file: a.py, retry: 3`)],
  ["flow", false, "a timeout of 0", step(`${call}, file: a.py, timeout_seconds: 0`)],
  ["flow", true, "a timeout that will be clamped", step(`${call}, file: a.py, timeout_seconds: 9999`)],
  ["flow", false, "a timeout as text", step(`${call}, file: a.py, timeout_seconds: '5'`)],
  ["flow", true, "a priority of the wrong kind", step("type: set, priority: high, input: { key: k, value: 1 }")],
  ["flow", false, "on_error of another word", step("type: set, on_error: stop, input: { key: k, value: 1 }")],
  ["flow", false, "protected as text", step("type: set, protected: 'x', input: { key: k, value: 1 }")],
  ["flow", false, "depends_on as text", step("type: set, depends_on: a, input: { key: k, value: 1 }")],
  ["flow", true, "an if", nested("type: set, input: { key: k, value: 1 }")],
  ["flow", false, "an if with output", step("type: if, if: true, output: x, then: []")],
  ["flow", false, "an if without a condition", step("type: if, then: []")],
  ["flow", false, "an if without then", step("type: if, if: true")],
  ["flow", false, "a nested step with a phase", nested("phase: m, type: set, input: { key: k, value: 1 }")],
  ["flow", false, "a nested step with a priority", nested("priority: 1, type: set, input: { key: k, value: 1 }")],
  ["flow", false, "a nested step with depends_on", nested("depends_on: [], type: set, input: { key: k, value: 1 }")],
  ["flow", false, "a nested step of an unknown type", nested("type: nope")],
  ["flow", false, "a bad step two levels down", nested("type: if, if: true, then: [{ id: d, type: set }]")],
  ["flow", true, "a foreach", step("type: foreach, items: [1], steps: [], concurrency: 16, collect: 1, output: all")],
  ["flow", false, "seventeen at once", step("type: foreach, items: [1], steps: [], concurrency: 17")],
  ["flow", false, "items that are a number", step("type: foreach, items: 5, steps: []")],
  ["flow", false, "a foreach without steps", step("type: foreach, items: [1]")],
  ["flow", true, "a repeat", step("type: repeat, until: true, steps: [], delay_seconds: 3600")],
  ["flow", false, "a thousand and one passes", step("type: repeat, max_iterations: 1001, steps: []")],
  ["flow", false, "a repeat with output", step("type: repeat, max_iterations: 2, steps: [], output: x")],
  ["flow", true, "a parallel", step("type: parallel, branches: { a: [], b: [] }")],
  ["flow", false, "one branch", step("type: parallel, branches: { a: [] }")],
  ["flow", false, "a branch that is no list", step("type: parallel, branches: { a: [], b: {} }")],
  ["flow", false, "a branch with a blank", step("type: parallel, branches: { a: [], 'b c': [] }")],
  ["flow", true, "a sub-flow", step("type: flow, flow: other.one, input: { a: 1 }")],
  ["flow", false, "a sub-flow without a name", step("type: flow")],
  ["flow", true, "a function", step("type: function, function: 'p:send', args: { a: 1 }")],
  ["flow", false, "a function of no form", step("type: function, function: 'p send'")],

  ["modifier", true, "an append", `${MODIFIER}action: append\nstep: ${SET}\n`],
  ["modifier", true, "a replace", `${MODIFIER}action: replace\ntarget_step_id: __first__\npriority: 5\nphase: m\nstep: ${SET}\n`],
  ["modifier", true, "a remove", `${MODIFIER}action: remove\ntarget_step_id: x\n`],
  ["modifier", true, "a glob and the rest", `modifier_id: m\ntarget_flow_id: 'p.*'\naction: append\nrequires: { interfaces: [a.b] }\nconflicts_with: [x, p/y]\nresolve_target: true\nstep: ${SET}\n`],
  ["modifier", false, "no step", `${MODIFIER}action: append\n`],
  ["modifier", false, "no target step", `${MODIFIER}action: inject_before\nstep: ${SET}\n`],
  ["modifier", false, "another action", `${MODIFIER}action: delete\ntarget_step_id: x\n`],
  ["modifier", false, "an action that is a list", `${MODIFIER}action: [append]\nstep: ${SET}\n`],
  ["modifier", false, "no id", `target_flow_id: f\naction: append\nstep: ${SET}\n`],
  ["modifier", false, "a target with a blank", `modifier_id: m\ntarget_flow_id: 'a b'\naction: append\nstep: ${SET}\n`],
  ["modifier", false, "a step with a phase", `${MODIFIER}action: append\nstep: { id: s, phase: m, type: set, input: { key: k, value: 1 } }\n`],
  ["modifier", false, "a step of an unknown type", `${MODIFIER}action: append\nstep: { id: s, type: nope }\n`],
  ["modifier", false, "requires that is a list", `${MODIFIER}action: append\nrequires: [a]\nstep: ${SET}\n`],
  ["modifier", false, "an interface in capitals", `${MODIFIER}action: append\nrequires: { interfaces: [A] }\nstep: ${SET}\n`],
  ["modifier", false, "resolve_target as text", `${MODIFIER}action: append\nresolve_target: 'yes'\nstep: ${SET}\n`],
  ["modifier", false, "a rival that is no id", `${MODIFIER}action: append\nconflicts_with: ['a/b/c']\nstep: ${SET}\n`],

  ["handler", true, "the least", '{"handler_id":"h","permission_id":"fs.read","entrypoint":"handler.py:execute"}'],
  ["handler", false, "a permission of the house", '{"handler_id":"h","permission_id":"store.x","entrypoint":"a.py:f"}'],
  ["handler", false, "no entrypoint", '{"handler_id":"h","permission_id":"fs.read"}'],
  ["handler", false, "another mode", '{"handler_id":"h","permission_id":"fs.read","entrypoint":"a.py:f","mode":"root"}'],
  ["function", true, "the least", '{"function_id":"send"}'],
  ["function", false, "an id in capitals", '{"function_id":"Send"}'],
  ["function", false, "a timeout past two minutes", '{"function_id":"send","timeout_seconds":121}'],
  ["unit", true, "the least", '{"unit_id":"u","version":"1.0.0"}'],
  ["unit", true, "one that runs", '{"unit_id":"u","version":"1","kind":"python","entrypoint":"a.py:run","exec_modes_allowed":["sandbox"]}'],
  ["unit", false, "another kind", '{"unit_id":"u","version":"1","kind":"ruby"}'],
  ["unit", false, "another mode", '{"unit_id":"u","version":"1","exec_modes_allowed":["host"]}'],
  ["component", true, "the least, with keys of its own", '{"id":"c","type":"thing","more":{"a":1}}'],
  ["component", false, "a policy with an unknown key", '{"id":"c","type":"thing","addon_policy":{"allow_all":true}}'],
  ["component", false, "no type", '{"id":"c"}'],
];

describe("an editor rejects exactly what the daemon rejects", () => {
  test.each(FILES)("%s, fine %s: %s", (kind, fine, _name, text) => {
    expect(daemon[kind](text), "the daemon").toBe(fine);
    expect(editor(kind)(parse(text)), "the editor").toBe(fine);
  });

  const MANIFEST = { pack_id: "p", pack_identity: "local:p" };
  const PACKS: readonly (readonly [fine: boolean, name: string, files: Readonly<Record<string, object>>])[] = [
    [true, "the least", { "ecosystem.json": MANIFEST }],
    [true, "keys of its own", { "ecosystem.json": { ...MANIFEST, more: 1 } }],
    [false, "no identity", { "ecosystem.json": { pack_id: "p" } }],
    [false, "an identity without a scheme", { "ecosystem.json": { ...MANIFEST, pack_identity: "nothing" } }],
    [false, "a description that is a list", { "ecosystem.json": { ...MANIFEST, description: [] } }],
    [false, "a store without an id", { "ecosystem.json": { ...MANIFEST, stores: [{}] } }],
    [false, "eleven stores", { "ecosystem.json": { ...MANIFEST, stores: Array.from({ length: 11 }, (_, n) => ({ store_id: `s${n}` })) } }],
    [false, "another type of pack", { "ecosystem.json": { ...MANIFEST, pack_type: "driver" } }],
  ];
  test.each(PACKS)("ecosystem, fine %s: %s", async (fine, _name, files) => {
    await using folder = await temporaryFolder();
    const pack = join(folder.path, "p");
    await mkdir(pack);
    for (const [file, content] of Object.entries(files)) await writeFile(join(pack, file), JSON.stringify(content));
    expect((await readPack(pack, "p")).ok, "the daemon").toBe(fine);
    expect(editor("ecosystem")(files["ecosystem.json"]), "the editor").toBe(fine);
  });
});

test("F18 every file of the example packs is fine for the editor too", async () => {
  const kinds = { "flow.yaml": "flow", "modifier.yaml": "modifier", "ecosystem.json": "ecosystem", "permissions.json": "permissions", "routes.json": "routes" };
  let seen = 0;
  for (const [ending, kind] of Object.entries(kinds)) {
    for (const file of globSync(`examples/**/*${ending}`, { cwd: root })) {
      expect(editor(kind)(parse(await readFile(join(root, file), "utf8"))), file).toBe(true);
      seen += 1;
    }
  }
  expect(seen).toBeGreaterThan(10);
});

test("pack authors install the same schemas", async () => {
  const names = readdirSync(join(root, "schemas"));
  expect(names.length).toBeGreaterThanOrEqual(9);
  for (const name of names)
    expect(await readFile(join(root, "packages/pack-sdk/schemas", name), "utf8")).toBe(await readFile(join(root, "schemas", name), "utf8"));
});
