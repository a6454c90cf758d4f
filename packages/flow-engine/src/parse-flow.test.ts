import type { PackId } from "@rumi/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LoadProblem } from "./definition.ts";
import { contextHandlers } from "./kernel-handlers.ts";
import { MAX_FLOW_FILE_BYTES } from "./limits.ts";
import { parseFlow } from "./parse-flow.ts";
import type { ParsedFlow } from "./parse-flow.ts";
import type { KernelHandler } from "./ports.ts";

const OPERATOR: KernelHandler = { name: "kernel:capability.grant", kind: "operator", run: () => null };
const HANDLERS = [...contextHandlers(), OPERATOR];

function parse(text: string, pack?: string, source: "shared" | "official" = "shared"): ParsedFlow {
  return parseFlow(
    text,
    { source: pack === undefined ? source : "pack", pack_id: (pack as PackId | undefined) ?? null, file: "f.flow.yaml" },
    { handlers: HANDLERS },
  );
}

/** A flow `f` with one phase `a` and the given steps. */
function withSteps(...steps: string[]): string {
  return `flow_id: f\nphases: [a]\nsteps:\n${steps.map((step) => `  - ${step.replaceAll("\n", "\n    ")}\n`).join("")}`;
}

/** A `set` step with more fields. */
function setStep(id: string, more = ""): string {
  return `id: ${id}\nphase: a\ntype: set\ninput: {key: k, value: 1}${more === "" ? "" : `\n${more}`}`;
}

function codes(parsed: ParsedFlow, severity: LoadProblem["severity"] = "error"): string[] {
  return parsed.problems.filter((problem) => problem.severity === severity).map((problem) => problem.code.replace(/^flow\./u, ""));
}

function only(parsed: ParsedFlow): LoadProblem | undefined {
  expect(parsed.problems).toHaveLength(1);
  return parsed.problems[0];
}

test.each([
  ["", ""],
  ["phases: []\n", "[]"],
  ["phases: [a, a]\n", "[a, a]"],
  ["phases: a\n", "text"],
])("F1 phases %j are invalid_phases", (phases) => {
  const parsed = parse(`flow_id: f\n${phases}`);
  expect(parsed.flow).toBeNull();
  expect(codes(parsed)).toEqual(["invalid_phases"]);
});

test("F2 a number in a name is its source text, with a warning", () => {
  const parsed = parse("flow_id: 1.5\nphases: [0150, true]\nsteps:\n  - {id: 0x10, phase: 0150, type: set, input: {key: k}}\n");
  expect(parsed.flow?.flow_id).toBe("1.5");
  expect(parsed.flow?.phases).toEqual(["0150", "true"]);
  expect(parsed.flow?.steps[0]?.id).toBe("0x10");
  expect(new Set(codes(parsed, "warning"))).toEqual(new Set(["coerced"]));
});

test.each(["..", "a/b", "a..b", ".a", "a.", "a b", '"a\\n"', "''", "[a]", "x".repeat(129)])("F2 flow_id %s is invalid_id", (id) => {
  expect(codes(parse(`flow_id: ${id}\nphases: [a]\n`))).toEqual(["invalid_id"]);
});

test("F3 an id at the top and in a then is twice, and the file's other errors come too, in file order", () => {
  const parsed = parse(
    withSteps(
      setStep("x"),
      "id: c\nphase: a\ntype: if\nif: bad word\nthen:\n  - id: x\n    type: set\n    input: {key: k}",
      setStep("d", "priority: high\nretry: {max_attempts: 11}"),
    ),
  );
  expect(codes(parsed)).toEqual(["invalid_condition", "duplicate_step_id", "invalid_retry"]);
  expect(codes(parsed, "warning")).toEqual(["invalid_field"]);
  const duplicate = parsed.problems.find((problem) => problem.code === "flow.duplicate_step_id");
  expect(duplicate).toMatchObject({ path: "steps[1].then[0].id", line: 13, column: 13, file: "f.flow.yaml" });
});

test("F4 a priority that is no number is 100 with a warning; an infinite one refuses the file", () => {
  const parsed = parse(withSteps(setStep("x", "priority: high")));
  expect(parsed.flow?.steps[0]?.priority).toBe(100);
  expect(only(parsed)).toMatchObject({
    code: "flow.invalid_field",
    severity: "warning",
    message: 'steps[0].priority must be a number, got text "high"; read as 100',
  });
  expect(codes(parse(withSteps(setStep("x", "priority: .inf"))))).toEqual(["parse_error"]);
});

test.each(["3", "no", '""', "[a]", "{a: 1}"])("F5 when: %s is invalid_condition", (when) => {
  expect(codes(parse(withSteps(setStep("x", `when: ${when}`))))).toEqual(["invalid_condition"]);
});

test("F5 when: false loads", () => {
  expect(parse(withSteps(setStep("x", "when: false"))).flow?.steps[0]?.when).toEqual({ kind: "value", value: false });
});

test.each([
  "",
  "file: ../x.py",
  "file: x.js",
  "file: /x.py",
  "file: a//x.py",
  "file: a/./x.py",
  "file: C:/x.py",
  "file: 'a\\x.py'",
  "file: x",
  "file: 3",
  'file: "a\\u0001.py"',
  `file: ${"a".repeat(510)}.py`,
])("F6 python_file_call with %s is invalid_step", (file) => {
  expect(codes(parse(withSteps(`id: x\nphase: a\ntype: python_file_call\nowner_pack: p\n${file}`)))).toEqual(["invalid_step"]);
});

test("F7 a file of 1 MiB loads and one byte more does not", () => {
  const flow = withSteps(setStep("x"));
  const room = MAX_FLOW_FILE_BYTES - flow.length;
  const padded = `${flow}${`${"#".repeat(1023)}\n`.repeat(Math.floor(room / 1024))}${"#".repeat(room % 1024)}`;
  expect(new TextEncoder().encode(padded)).toHaveLength(MAX_FLOW_FILE_BYTES);
  expect(parse(padded).problems).toEqual([]);
  expect(codes(parse(`${padded}#`))).toEqual(["file_too_large"]);
  expect(codes(parse(`${flow}# ${"é".repeat(MAX_FLOW_FILE_BYTES / 2)}`))).toEqual(["file_too_large"]);
});

describe("F8 complexity", () => {
  const nested = (levels: number): string => `flow_id: f\nphases: [a]\nx: ${"[".repeat(levels)}${"]".repeat(levels)}\n`;
  test("F8 depth 32 loads, depth 33 is too_complex", () => {
    expect(parse(nested(32)).flow).not.toBeNull();
    expect(codes(parse(nested(33)))).toEqual(["too_complex"]);
    expect(codes(parse(nested(50_000)))).toContain("too_complex");
    expect(codes(parse(`flow_id: f\nphases: [a]\nx:\n  ${"- ".repeat(5_000)}1\n`))).toEqual(["too_complex"]);
  });
  test("F8 nodes are counted with aliases expanded", () => {
    const list = (count: number): string =>
      `flow_id: f\nphases: [a]\nbase: &b [${Array.from({ length: 97 }, () => "1").join(",")}]\nx: [${Array.from({ length: count }, () => "*b").join(",")}]\n`;
    expect(parse(list(100)).flow).not.toBeNull();
    expect(codes(parse(list(101)))).toEqual(["too_complex"]);
    const laughs = Array.from(
      { length: 20 },
      (_, index) => `l${index + 1}: &l${index + 1} [${Array.from({ length: 10 }, () => `*l${index}`).join(",")}]`,
    ).join("\n");
    expect(codes(parse(`flow_id: f\nphases: [a]\nl0: &l0 [1]\n${laughs}\n`))).toEqual(["too_complex"]);
  });
  test("F8 exactly 10,000 nodes load", () => {
    const items = 10_000 - 7;
    const text = (count: number): string => `flow_id: f\nphases: [a]\nx: [${Array.from({ length: count }, () => "1").join(",")}]\n`;
    expect(parse(text(items)).flow).not.toBeNull();
    expect(codes(parse(text(items + 1)))).toEqual(["too_complex"]);
  });
  test("F8 the input of a step is at most 20 deep", () => {
    const step = (levels: number): string =>
      withSteps(`id: x\nphase: a\ntype: file_call\nowner_pack: p\nfile: x.py\ninput: ${"{a: ".repeat(levels)}1${"}".repeat(levels)}`);
    expect(parse(step(21)).flow).not.toBeNull();
    expect(codes(parse(step(22)))).toEqual(["too_complex"]);
  });
  test("F8 steps, nesting and phases have limits", () => {
    const many = (count: number): string =>
      withSteps(...Array.from({ length: count }, (_, index) => `{id: s${index}, phase: a, type: set, input: {key: k}}`));
    expect(parse(many(800)).flow?.steps).toHaveLength(800);
    const nesting = (levels: number): string => {
      let inner = "{id: leaf, type: set, input: {key: k}}";
      for (let level = levels; level > 1; level -= 1) inner = `{id: c${level}, type: if, if: true, then: [${inner}]}`;
      return withSteps(`{id: c1, phase: a, type: if, if: true, then: [${inner}]}`);
    };
    expect(parse(nesting(6)).flow).not.toBeNull();
    expect(codes(parse(nesting(7)))).toEqual(["too_complex"]);
    const phases = (count: number): string =>
      `flow_id: f\nphases: [${Array.from({ length: count }, (_, index) => `p${index}`).join(",")}]\n`;
    expect(parse(phases(64)).flow).not.toBeNull();
    expect(codes(parse(phases(65)))).toEqual(["too_complex"]);
  });
});

test.each([
  ["duplicate key", "flow_id: f\nflow_id: g\nphases: [a]\n"],
  ["duplicate nested key", "flow_id: f\nphases: [a]\nx: {a: 1, a: 2}\n"],
  ["keys equal as text", 'flow_id: f\nphases: [a]\nx: {1: 1, "1": 2}\n'],
  ["__proto__", "flow_id: f\nphases: [a]\nx: {__proto__: {a: 1}}\n"],
  ["quoted __proto__", 'flow_id: f\nphases: [a]\nx: {"\\u005f_proto__": 1}\n'],
  ["!!set", "flow_id: f\nphases: [a]\nx: !!set {a}\n"],
  ["!!str", "flow_id: !!str f\nphases: [a]\n"],
  ["local tag", "flow_id: f\nphases: !mine [a]\n"],
  ["second document", "flow_id: f\nphases: [a]\n---\nflow_id: g\n"],
  ["syntax", "flow_id: [f\nphases: a: b\n"],
  ["root list", "- flow_id: f\n"],
  ["empty", ""],
  [".nan", "flow_id: f\nphases: [a]\nx: .nan\n"],
  ["number past 2^53", "flow_id: f\nphases: [a]\nx: 9007199254740993\n"],
  ["YAML 1.1", "%YAML 1.1\n---\nflow_id: f\nphases: [a]\n"],
  ["unknown alias", "flow_id: *x\nphases: [a]\n"],
  ["alias in itself", "flow_id: f\nphases: [a]\nx: &x [*x]\n"],
  ["half a surrogate", 'flow_id: f\nphases: [a]\nx: "\\ud800"\n'],
  ["list as key", "flow_id: f\nphases: [a]\n? [a]\n: 1\n"],
])("F9 %s is parse_error", (_, text) => {
  const parsed = parse(text);
  expect(parsed.flow).toBeNull();
  expect(new Set(codes(parsed))).toEqual(new Set(["parse_error"]));
  for (const problem of parsed.problems) {
    expect(problem.line).toBeGreaterThanOrEqual(1);
    expect(problem.column).toBeGreaterThanOrEqual(1);
  }
});

test("a YAML 1.2 directive, anchors, merge-looking keys and a byte order mark are plain YAML", () => {
  expect(parse("%YAML 1.2\n---\nflow_id: f\nphases: &p [a]\nx: {<<: 1, y: *p}\n").flow?.phases).toEqual(["a"]);
  expect(parse("\uFEFFflow_id: f\nphases: [a]\n").flow?.flow_id).toBe("f");
});

test("F12 a pack's flow must be named for the pack", () => {
  for (const id of ["p", "p.a", "p.a.b"]) expect(parse(`flow_id: ${id}\nphases: [a]\n`, "p").flow?.flow_id).toBe(id);
  for (const id of ["q.a", "p__c.a", "px", "P.a"]) expect(codes(parse(`flow_id: ${id}\nphases: [a]\n`, "p")), id).toEqual(["foreign_id"]);
});

test("F15 handlers must exist and operator handlers are for official flows only", () => {
  const step = (handler: string): string =>
    withSteps(`id: x\nphase: a\ntype: handler\ninput: {handler: "${handler}"}`).replace("flow_id: f", "flow_id: p");
  expect(codes(parse(step("kernel:capability.grant"), "p"))).toEqual(["handler_not_allowed"]);
  expect(codes(parse(step("kernel:capability.grant")))).toEqual(["handler_not_allowed"]);
  expect(codes(parse(step("kernel:capability.grant"), undefined, "official"))).toEqual([]);
  expect(codes(parse(step("kernel:nope"), "p"))).toEqual(["unknown_handler"]);
  expect(codes(parse(step("${ctx.h}"), "p"))).toEqual(["unknown_handler"]);
  expect(codes(parse(withSteps("id: x\nphase: a\ntype: universal_call")))).toEqual(["unknown_type"]);
  expect(codes(parse(withSteps("id: x\nphase: a\ntype: handler\ninput: kernel:noop")))).toEqual([]);
});

test("handler arguments that are wrong or must be literal are found at load", () => {
  const step = (args: string): string => withSteps(`id: x\nphase: a\ntype: handler\ninput: {handler: "kernel:ctx.set", args: ${args}}`);
  expect(codes(parse(step("{key: k, value: '${ctx.v}'}")))).toEqual([]);
  for (const args of ["{value: 1}", "{key: _x, value: 1}", "{key: k}", "{key: '${ctx.k}', value: 1}", "'${ctx.all}'"]) {
    expect(codes(parse(step(args))), args).toEqual(["kernel.invalid_args"]);
  }
});

test("F16 a pack's flow names only its own pack, nested steps too", () => {
  const nested =
    "flow_id: p\nphases: [a]\nsteps:\n  - {id: c, phase: a, type: if, if: true, then: [{id: x, type: file_call, owner_pack: q, file: x.py}]}\n";
  expect(codes(parse(nested, "p"))).toEqual(["foreign_owner_pack"]);
  expect(parse(nested.replace("owner_pack: q, ", ""), "p").flow).not.toBeNull();
  expect(codes(parse(nested))).toEqual([]);
});

test("outside packs the owner is written or read from the path", () => {
  const step = (more: string): string => withSteps(`id: x\nphase: a\ntype: file_call\n${more}`);
  expect(codes(parse(step("file: x.py")))).toEqual(["invalid_step"]);
  for (const file of ["ecosystem/my_pack/blocks/x.mts", "ecosystem/packs/my_pack/blocks/x.mts"]) {
    expect(parse(step(`file: ${file}`)).flow?.steps[0]).toMatchObject({ owner_pack: "my_pack", file: "blocks/x.mts", runtime: "node" });
  }
  expect(codes(parse(step("file: ecosystem/my_pack/../x.py")))).toEqual(["invalid_step"]);
});

test("F17 a differing principal_id is ignored with a warning", () => {
  const parsed = parse(
    withSteps(setStep("x", "principal_id: q"), setStep("y", "principal_id: p")).replace("flow_id: f", "flow_id: p"),
    "p",
  );
  expect(parsed.flow?.steps.map((step) => [step.principal, step.claimed_principal])).toEqual([
    ["p", "q"],
    ["p", undefined],
  ]);
  expect(codes(parsed, "warning")).toEqual(["principal_id_overridden"]);
});

const GUIDE_FLOWS: readonly (readonly [string, string, string | undefined])[] = [
  [
    "hello",
    'flow_id: hello\ninputs:\n  name: string\noutputs:\n  greeting: object\n\nphases:\n  - main\n\nsteps:\n  - id: call_hello\n    phase: main\n    priority: 50\n    type: python_file_call\n    owner_pack: my_pack\n    file: blocks/hello.py\n    input:\n      name: "${ctx.name}"\n    output: greeting\n',
    undefined,
  ],
  [
    "ai_pipeline",
    'flow_id: ai_pipeline\nphases:\n  - prepare\n  - generate\n  - postprocess\n\nsteps:\n  - id: load_tools\n    phase: prepare\n    priority: 50\n    type: python_file_call\n    owner_pack: tool_pack\n    file: blocks/load_tools.py\n    output: tools\n\n  - id: generate\n    phase: generate\n    priority: 50\n    type: python_file_call\n    owner_pack: ai_client\n    file: blocks/generate.py\n    input:\n      tools: "${ctx.tools}"\n    output: response\n',
    undefined,
  ],
  [
    "weather_pack.fetch",
    'flow_id: weather_pack.fetch\nschedule:\n  interval: 300\nphases:\n  - main\nsteps:\n  - id: fetch\n    phase: main\n    priority: 50\n    type: python_file_call\n    owner_pack: weather_pack\n    file: blocks/fetch_weather.py\n    input:\n      city: "Tokyo"\n    output: result\n',
    "weather_pack",
  ],
  [
    "weather_pack.get",
    'flow_id: weather_pack.get\nphases:\n  - main\nsteps:\n  - id: get_cached\n    phase: main\n    priority: 50\n    type: python_file_call\n    owner_pack: weather_pack\n    file: blocks/get_cached_weather.py\n    input:\n      city: "${ctx.city}"\n    output: result\n',
    "weather_pack",
  ],
  [
    "step examples",
    'flow_id: examples\nphases: [prepare, generate]\nsteps:\n  - id: generate_response\n    phase: generate\n    priority: 50\n    type: python_file_call\n    owner_pack: ai_client\n    file: blocks/generate.py\n    input:\n      user_input: "${ctx.user_input}"\n    output: ai_output\n    timeout_seconds: 60\n  - id: load_context\n    phase: prepare\n    priority: 10\n    type: handler\n    input:\n      handler: "kernel:ctx.get"\n      args:\n        key: "context"\n    output: context\n  - id: set_default\n    phase: prepare\n    priority: 5\n    type: set\n    input:\n      key: "model"\n      value: "gpt-4"\n',
    undefined,
  ],
  ["daily_cleanup", 'flow_id: daily_cleanup\nschedule:\n  cron: "0 0 * * *"\n\nphases:\n  - main\nsteps:\n  # ...\n', undefined],
  ["health_check", "flow_id: health_check\nschedule:\n  interval: 30\n\nphases:\n  - main\nsteps:\n  # ...\n", undefined],
];

test.each(GUIDE_FLOWS)("F18 the guide's flow %s has no problem", (_, text, pack) => {
  const parsed = parse(text, pack);
  expect(parsed.problems).toEqual([]);
  expect(parsed.flow).not.toBeNull();
});

test("F22 F23 dependencies are checked: cycle, self and later phase refuse, an unknown id warns", () => {
  expect(codes(parse(withSteps(setStep("a", "depends_on: [b]"), setStep("b", "depends_on: [a]"))))).toEqual(["dependency_cycle"]);
  expect(codes(parse(withSteps(setStep("a", "depends_on: [a]"))))).toContain("invalid_depends_on");
  expect(codes(parse(withSteps(setStep("a", "depends_on: a"))))).toEqual(["invalid_depends_on"]);
  const later =
    "flow_id: f\nphases: [a, b]\nsteps:\n  - {id: x, phase: a, type: set, input: {key: k}, depends_on: [y]}\n  - {id: y, phase: b, type: set, input: {key: k}}\n";
  expect(codes(parse(later))).toEqual(["invalid_depends_on"]);
  const unknown = parse(withSteps(setStep("a", "depends_on: [zzz]")));
  expect(codes(unknown, "warning")).toEqual(["unknown_dependency"]);
  expect(unknown.flow).not.toBeNull();
});

test("F28 a stray ${ is invalid_reference, at its own line", () => {
  const parsed = parse(
    "flow_id: f\nphases: [a]\nsteps:\n  - id: x\n    phase: a\n    type: set\n    input:\n      key: k\n      value:\n        - ok\n        - ${HOME}\n",
  );
  expect(only(parsed)).toMatchObject({ code: "flow.invalid_reference", line: 11, column: 11, path: "steps[0].input.value[1]" });
  expect(codes(parse(withSteps('id: x\nphase: a\ntype: flow\nflow: "${ctx.f}"')))).toContain("invalid_reference");
  expect(codes(parse(withSteps(setStep("x", 'note: ["${ctx.f}"]'))))).toEqual(["invalid_reference"]);
});

test("old reference spellings are text with a warning", () => {
  const parsed = parse(withSteps('id: x\nphase: a\ntype: set\ninput: {key: k, value: "$ctx.x {{y}}"}'));
  expect(codes(parsed, "warning")).toEqual(["legacy_reference"]);
});

test("timeouts are clamped with a warning and refused when they are none", () => {
  const step = (timeout: string): string =>
    withSteps(`id: x\nphase: a\ntype: file_call\nowner_pack: p\nfile: x.py\ntimeout_seconds: ${timeout}`);
  expect(parse(step("0.5")).flow?.steps[0]?.timeout_ms).toBe(500);
  const clamped = parse(step("121"));
  expect(clamped.flow?.steps[0]?.timeout_ms).toBe(120_000);
  expect(codes(clamped, "warning")).toEqual(["invalid_timeout"]);
  for (const timeout of ["0", "-1", "soon", "[1]"]) expect(codes(parse(step(timeout)))).toEqual(["invalid_timeout"]);
  expect(parse(withSteps("id: x\nphase: a\ntype: file_call\nowner_pack: p\nfile: x.py")).flow?.steps[0]?.timeout_ms).toBe(60_000);
});

test.each([
  ["foreach", "items: '${ctx.l}'\nsteps: [{id: y, type: set, input: {key: k}}]\ncollect: '${ctx.item}'\noutput: o\nconcurrency: 16", []],
  ["foreach", "items: '${ctx.l}'\nsteps: []\ncollect: 1", ["invalid_step"]],
  ["foreach", "items: 5\nsteps: []", ["invalid_step"]],
  ["foreach", "items: []\nsteps: []\nconcurrency: 17\nas: _x", ["invalid_step", "invalid_step"]],
  ["foreach", "items: []", ["invalid_step"]],
  ["repeat", "steps: []\nuntil: '${ctx.n} >= 3'", []],
  ["repeat", "steps: []\nmax_iterations: 1000", []],
  ["repeat", "steps: []", ["invalid_step"]],
  ["repeat", "steps: []\nmax_iterations: 1001", ["invalid_step"]],
  ["parallel", "branches: {a: [], b: []}", []],
  ["parallel", "branches: {a: []}", ["invalid_step"]],
  ["parallel", "branches: [a, b]", ["invalid_step"]],
  ["flow", "flow: g\nargs: {a: 1}", []],
  ["flow", "flow: g\nargs: {a: 1}\ninput: {a: 1}", ["invalid_step"]],
  ["flow", "input: {}", ["invalid_step"]],
  ["function", "function: p:send\ninput: {a: 1}", []],
  ["function", "input: {a: 1}", ["invalid_step"]],
  ["if", "if: true\nthen: []\nelse: []", []],
  ["if", "if: true\nthen: []\noutput: k", ["invalid_step"]],
  ["if", "then: []", ["invalid_condition"]],
  ["if", "if: true", ["invalid_step"]],
  [
    "if",
    "if: true\nthen: [{id: y, type: set, input: {key: k}, phase: a, priority: 1, depends_on: [], protected: true}]",
    ["invalid_step", "invalid_step", "invalid_step", "invalid_step"],
  ],
  ["set", "input: {value: 1}", ["invalid_step"]],
  ["set", "input: {value: 1}\noutput: k", []],
  ["set", "input: {key: _private, value: 1}", ["invalid_step"]],
  ["set", "input: {key: _response, value: 1}", []],
  ["set", "input: {key: k}\noutput: __x", ["invalid_output"]],
  ["set", "input: {key: k}\non_error: ignore", ["invalid_step"]],
])("a %s step with %j gives %j", (type, fields, expected) => {
  expect(codes(parse(withSteps(`id: x\nphase: a\ntype: ${type}\n${fields}`)))).toEqual(expected);
});

test("F37 one key in two branches is branch_conflict, also when written through nested steps", () => {
  const parsed = parse(
    withSteps(
      "id: p\nphase: a\ntype: parallel\nbranches:\n  l: [{id: x, type: set, input: {key: k}}]\n  r: [{id: c, type: if, if: true, then: [{id: y, type: handler, input: {handler: 'kernel:ctx.copy', args: {from_key: a, to_key: k}}}]}]",
    ),
  );
  expect(codes(parsed)).toEqual(["branch_conflict"]);
});

test("inputs and outputs are declared with types, their aliases and defaults", () => {
  const parsed = parse(
    "flow_id: f\nphases: [a]\ninputs: {a: str, b: {type: int, required: true}, c: {default: [1]}, d: weird}\noutputs: {r: dict, s: list}\ndefaults: {fail_soft: false, on_missing_step: fail}\n",
  );
  expect([...(parsed.flow?.inputs ?? [])]).toEqual([
    ["a", { type: "string", required: false }],
    ["b", { type: "integer", required: true }],
    ["c", { type: "any", required: false, default_value: [1] }],
    ["d", { type: "any", required: false }],
  ]);
  expect([...(parsed.flow?.outputs ?? [])]).toEqual([
    ["r", "object"],
    ["s", "array"],
  ]);
  expect(parsed.flow?.defaults).toEqual({ fail_soft: false, on_missing_step: "fail", vocab_normalize: true });
  expect(codes(parsed, "warning")).toEqual(["invalid_field"]);
  expect(codes(parse("flow_id: f\nphases: [a]\ninputs: [a]\noutputs: {_x: any}\ndefaults: {fail_soft: 1}\nsteps: {}\n"))).toEqual([
    "invalid_field",
    "invalid_field",
    "invalid_field",
    "invalid_field",
  ]);
});

test("unknown fields warn, in the flow and in steps; a null field is absent", () => {
  const parsed = parse(`${withSteps(setStep("x", "colour: red\nretry: ~"))}extra: 1\ndescription:\n`);
  expect(parsed.flow).not.toBeNull();
  expect(parsed.problems.map((problem) => [problem.code, problem.path])).toEqual([
    ["flow.unknown_field", "steps[0].colour"],
    ["flow.unknown_field", "extra"],
  ]);
});

test("shown values are cut", () => {
  const parsed = parse(withSteps(setStep("x", `when: ${"w".repeat(5000)}`)));
  expect(parsed.problems[0]?.message.length).toBeLessThan(400);
});

test("any text either parses or gives an error with a place in it; it never throws", () => {
  const pieces = [
    "flow_id: f",
    "phases: [a]",
    "steps:",
    "  - id: x",
    "    phase: a",
    "    type: set",
    "    type: if",
    "    if: true",
    "    then:",
    "      - {}",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "!!x ",
    "'",
    '"',
    "|",
    ">",
    ": ",
    "? ",
    "---",
    "\t",
    "\u0000",
    "\ud800",
    "#",
    "%TAG",
    "${ctx.a}",
    "steps: [1, {}]",
    "retry: 3",
  ];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 12 }), fc.constantFrom("\n", " ", ""), (parts, glue) => {
      const text = parts.join(glue);
      const parsed = parse(text);
      expect(parsed.flow === null).toBe(codes(parsed).length > 0);
      for (const problem of parsed.problems) expect(problem.line).toBeLessThanOrEqual(text.split("\n").length);
    }),
    { numRuns: 500 },
  );
});
