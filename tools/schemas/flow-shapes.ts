// The shapes of flow and modifier files, for editors. The daemon reads these files with its own parser, which knows lines,
// columns, conditions and references; `schemas.test.ts` holds both to the same verdict wherever JSON Schema can tell.
import * as v from "valibot";

/** A field that is null is absent. */
const maybe = <Schema extends v.GenericSchema>(schema: Schema) => v.nullish(schema);
/** A number or boolean in a name's place is its source text. */
const named = (pattern: RegExp) => v.union([v.pipe(v.string(), v.regex(pattern)), v.number(), v.boolean()]);
const text = (pattern: RegExp) => v.pipe(v.string(), v.regex(pattern));

const ID = /^(?=.{1,128}$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/u;
const STEP_ID = /^(?!__)[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/u;
const NAME = /^[A-Za-z0-9_-]{1,64}$/u;
const KEY = /^([A-Za-z][A-Za-z0-9_-]{0,63}|_response)$/u;
const INPUT_KEY = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/u;
const SERVICE = /^(?=.{1,128}$)[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$/u;
const PATH = String.raw`(?![A-Za-z]:)(?!(?:.*\/)?\.{0,2}(?:\/|$))(?!.*\/\.{0,2}\/)[^\\\u0000-\u001f\u007f]{1,508}`;
const PYTHON_FILE = new RegExp(String.raw`^${PATH}\.py$`, "u");
const NODE_FILE = new RegExp(String.raw`^${PATH}\.[mc]?[jt]s$`, "u");
const ANY_FILE = new RegExp(String.raw`^${PATH}\.(py|[mc]?[jt]s)$`, "u");

const Condition = v.union([v.pipe(v.string(), v.minLength(1), v.maxLength(4096)), v.boolean()]);
const Output = maybe(named(KEY));
const Retry = v.looseObject({
  max_attempts: maybe(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10))),
  delay_seconds: maybe(v.pipe(v.number(), v.minValue(0), v.maxValue(3600))),
  backoff: maybe(v.picklist(["fixed", "exponential"])),
});
const Map = v.record(v.string(), v.unknown());

/** What all steps share. */
const COMMON = {
  id: named(STEP_ID),
  when: maybe(Condition),
  output: Output,
  retry: maybe(Retry),
  timeout_seconds: maybe(v.pipe(v.number(), v.gtValue(0))),
  on_error: maybe(v.picklist(["abort", "continue"])),
  vocab_normalize: maybe(v.boolean()),
};
const TOP = {
  phase: named(NAME),
  depends_on: maybe(v.array(named(STEP_ID))),
  protected: maybe(v.boolean()),
};
const none = v.nullish(v.never());
const NESTED = { phase: none, priority: none, depends_on: none, protected: none };
const INJECTED = { phase: none, priority: none, depends_on: maybe(v.array(named(STEP_ID))), protected: maybe(v.boolean()) };

/** What each type of step has of its own. Steps without a value take no `output`. */
function byType(): v.GenericSchema {
  const step = (type: string, entries: v.ObjectEntries) => v.looseObject({ type: v.literal(type), ...entries });
  const call = { owner_pack: maybe(text(NAME)), input: v.optional(v.unknown()) };
  const body = v.array(v.lazy(() => NestedStep));
  return v.variant("type", [
    step("python_file_call", { file: text(PYTHON_FILE), ...call }),
    step("node_file_call", { file: text(NODE_FILE), ...call }),
    step("file_call", { file: text(ANY_FILE), ...call }),
    step("handler", {
      input: v.union([
        text(/^kernel:[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$/u),
        v.looseObject({ handler: text(/^kernel:[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$/u), args: maybe(v.union([Map, v.string()])) }),
      ]),
    }),
    step("set", { input: v.looseObject({ key: maybe(named(KEY)), value: v.optional(v.unknown()) }) }),
    // oxlint-disable-next-line unicorn/no-thenable -- the format's word; nobody awaits this map
    step("if", { if: Condition, then: body, else: maybe(body), output: none }),
    step("foreach", {
      items: v.union([v.array(v.unknown()), Map, v.string()]),
      steps: body,
      as: maybe(named(KEY)),
      index_as: maybe(named(KEY)),
      concurrency: maybe(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(16))),
      collect: v.optional(v.unknown()),
    }),
    step("repeat", {
      steps: body,
      until: maybe(Condition),
      max_iterations: maybe(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1000))),
      delay_seconds: maybe(v.pipe(v.number(), v.minValue(0), v.maxValue(3600))),
      index_as: maybe(named(KEY)),
      output: none,
    }),
    step("parallel", { branches: v.pipe(v.record(text(NAME), body), v.minEntries(2), v.maxEntries(16)), output: none }),
    step("flow", { flow: named(ID), input: v.optional(v.unknown()), args: v.optional(v.unknown()) }),
    step("function", {
      function: named(/^(?=.{1,256}$)[A-Za-z0-9_-]+([.:][A-Za-z0-9_-]+)*$/u),
      input: v.optional(v.unknown()),
      args: v.optional(v.unknown()),
    }),
  ] as never);
}

/** What every step has, wherever it stands. */
export const TypedStep: v.GenericSchema = v.intersect([v.looseObject(COMMON), byType()]);

const placed = (place: v.ObjectEntries): v.GenericSchema => v.intersect([v.looseObject(place), TypedStep]);

/** A step inside a container. */
export const NestedStep: v.GenericSchema = placed(NESTED);
/** A step of a flow's own list. */
export const TopStep: v.GenericSchema = placed(TOP);
/** The step of a modifier. */
export const InjectedStep: v.GenericSchema = placed(INJECTED);

const Input = v.looseObject({
  type: maybe(v.string()),
  required: maybe(v.boolean()),
  default: v.optional(v.unknown()),
  description: maybe(v.string()),
});

/** `*.flow.yaml`. A `schedule` that does not hold leaves the flow unscheduled, so nothing of it refuses the file. */
export const FlowShape = v.looseObject({
  flow_id: named(ID),
  phases: v.pipe(v.array(named(NAME)), v.minLength(1), v.maxLength(64)),
  steps: maybe(v.array(TopStep)),
  inputs: maybe(v.record(text(INPUT_KEY), v.nullable(v.union([v.string(), Input])))),
  outputs: maybe(v.record(text(INPUT_KEY), v.nullable(v.string()))),
  defaults: maybe(
    v.looseObject({
      fail_soft: maybe(v.boolean()),
      on_missing_step: maybe(v.picklist(["skip", "fail"])),
      vocab_normalize: maybe(v.boolean()),
    }),
  ),
  schedule: v.optional(v.unknown()),
  description: v.optional(v.unknown()),
});

const TARGET = /^(?=.{1,128}$)[A-Za-z0-9_.*?[\]!-]+$/u;
const Place = named(/^((?!__)[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|__first__|__last__)$/u);
const Names = v.array(named(SERVICE));
const base = {
  modifier_id: named(ID),
  target_flow_id: named(TARGET),
  phase: maybe(named(NAME)),
  priority: v.optional(v.unknown()),
  requires: maybe(v.looseObject({ interfaces: maybe(Names), capabilities: maybe(Names) })),
  resolve_target: maybe(v.boolean()),
  resolve_namespace: maybe(v.string()),
  conflicts_with: maybe(v.array(named(/^([a-zA-Z0-9_-]{1,64}\/)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/u))),
};
const injecting = (action: string) =>
  v.looseObject({ ...base, action: v.literal(action), target_step_id: Place, step: InjectedStep });

/** `*.modifier.yaml`. */
export const ModifierShape = v.variant("action", [
  injecting("inject_before"),
  injecting("inject_after"),
  injecting("replace"),
  v.looseObject({ ...base, action: v.literal("append"), target_step_id: maybe(Place), step: InjectedStep }),
  v.looseObject({ ...base, action: v.literal("remove"), target_step_id: Place, step: v.optional(v.unknown()) }),
]);
