import type { PackId } from "@rumi/core";
import { judgeBlockFile, splitEcosystemPath } from "./block-file.ts";
import type { FileCallStep, FlowSource, Step, StepCommon } from "./definition.ts";
import type { Expression } from "./expression.ts";
import { literalExpression } from "./expression.ts";
import { gotText } from "./fields.ts";
import type { Field, Fields } from "./fields.ts";
import { isContextKey, isFlowId, isPackId, isPhaseName } from "./names.ts";
import type { StepReader } from "./step-reader.ts";
import { readHandlerStep } from "./parse-handler-step.ts";
import { writtenKeys } from "./written-keys.ts";

/** Every step type; another one refuses the file. */
export const STEP_TYPES = [
  "python_file_call",
  "node_file_call",
  "file_call",
  "handler",
  "set",
  "if",
  "foreach",
  "repeat",
  "parallel",
  "flow",
  "function",
] as const satisfies readonly Step["type"][];

const CONTEXT_KEY = "a context key: a letter, then A-Z a-z 0-9 _ -, at most 64 characters";

/** Reads what is particular to one step type. `nesting` counts the containers down to this step, itself included. */
export function readTypedStep(type: Step["type"], fields: Fields, common: StepCommon, parser: StepReader, nesting: number): Step | null {
  switch (type) {
    case "python_file_call":
    case "node_file_call":
    case "file_call":
      return readFileCall(type, fields, common, parser);
    case "handler":
      return readHandlerStep(fields, common, parser);
    case "set":
      return readSet(fields, common, parser);
    case "if":
      return readIf(fields, common, parser, nesting);
    case "foreach":
      return readForeach(fields, common, parser, nesting);
    case "repeat":
      return readRepeat(fields, common, parser, nesting);
    case "parallel":
      return readParallel(fields, common, parser, nesting);
    case "flow":
      return readSubFlow(fields, common, parser);
    case "function":
      return readFunction(fields, common, parser);
  }
}

function readFileCall(type: FileCallStep["type"], fields: Fields, common: StepCommon, parser: StepReader): FileCallStep | null {
  const input = inputOf(fields, parser, ["input"]);
  let file = fields.text("file", "flow.invalid_step", "a file of the pack");
  if (file === null) {
    if (!fields.has("file")) fields.fail("flow.invalid_step", "file", "a file of the pack");
    readOwner(fields, parser.context.source, null);
    return null;
  }
  const inferred = parser.context.source.pack_id === null && !fields.has("owner_pack") ? splitEcosystemPath(file) : null;
  if (inferred !== null) file = inferred.file;
  const owner = readOwner(fields, parser.context.source, inferred?.pack ?? null);
  const judged = judgeBlockFile(file);
  if (!judged.ok) {
    fields.fail("flow.invalid_step", "file", judged.expected);
    return null;
  }
  const wanted = type === "python_file_call" ? "python" : type === "node_file_call" ? "node" : judged.runtime;
  if (judged.runtime !== wanted) {
    fields.fail("flow.invalid_step", "file", `a ${wanted} file for ${type}`);
    return null;
  }
  return owner === null ? null : { ...common, type, runtime: judged.runtime, owner_pack: owner, file, input };
}

function readOwner(fields: Fields, source: FlowSource, inferred: string | null): PackId | null {
  const field = fields.take("owner_pack");
  const written = field?.node.kind === "string" ? String(field.node.value) : field === null ? inferred : null;
  if (source.pack_id !== null) {
    if (field === null || written === source.pack_id) return source.pack_id;
    fields.fail("flow.foreign_owner_pack", "owner_pack", `${source.pack_id}: the steps of a pack's flow name only their own pack`);
    return null;
  }
  if (written !== null && isPackId(written)) return written;
  fields.fail("flow.invalid_step", "owner_pack", "a pack id (or file must be ecosystem/<pack>/<file>)");
  return null;
}

/** The `input` of a step (or its alias `args`); an empty map when absent. */
function inputOf(fields: Fields, parser: StepReader, names: readonly string[]): Expression {
  const given = names.map((name) => fields.take(name)).filter((field): field is Field => field !== null);
  const [field, second] = given;
  if (second !== undefined)
    parser.context.problems.error(
      "flow.invalid_step",
      second.path,
      second.node.offset,
      `${second.path} must not be given beside ${names[0] ?? ""}`,
    );
  return field === undefined ? literalExpression({}) : parser.expression(field.node, field.path);
}

function readSet(fields: Fields, common: StepCommon, parser: StepReader): Step | null {
  const input = fields.map("input", "flow.invalid_step");
  if (input === null && !fields.has("input")) fields.fail("flow.invalid_step", "input", "a map of key and value");
  if (input === null) return null;
  const key = input.name("key", "flow.invalid_step", isContextKey, CONTEXT_KEY) ?? (input.has("key") ? null : common.output);
  if (key === null && !input.has("key")) input.fail("flow.invalid_step", "key", `${CONTEXT_KEY} (or output must be given)`);
  const field = input.take("value");
  const value = field === null ? literalExpression(null) : parser.expression(field.node, field.path);
  input.finish();
  return key === null ? null : { ...common, type: "set", key, value };
}

function refuseOutput(fields: Fields, common: StepCommon): void {
  if (common.output !== null)
    fields.problems.error(
      "flow.invalid_step",
      fields.pathOf("output"),
      fields.offset,
      `${fields.pathOf("output")} must not be given: this step has no value`,
    );
}

function readIf(fields: Fields, common: StepCommon, parser: StepReader, nesting: number): Step | null {
  refuseOutput(fields, common);
  const condition = parser.condition(fields, "if");
  if (condition === null && !fields.has("if")) fields.fail("flow.invalid_condition", "if", "a condition");
  const thenSteps = parser.nested(fields, "then", nesting, true);
  const elseSteps = parser.nested(fields, "else", nesting, false);
  return condition === null ? null : { ...common, type: "if", condition, then_steps: thenSteps, else_steps: elseSteps };
}

function readForeach(fields: Fields, common: StepCommon, parser: StepReader, nesting: number): Step | null {
  const field = fields.take("items");
  const allowed = field?.node.kind === "list" || field?.node.kind === "map" || field?.node.kind === "string";
  if (!allowed) fields.fail("flow.invalid_step", "items", "a list, a map or a reference to one");
  const items = field === null ? literalExpression(null) : parser.expression(field.node, field.path);
  const collectField = fields.take("collect");
  if ((collectField === null) !== (common.output === null))
    fields.fail("flow.invalid_step", collectField === null ? "collect" : "output", "given when the other of collect and output is");
  const collect = collectField === null ? null : parser.expression(collectField.node, collectField.path);
  const as = fields.name("as", "flow.invalid_step", isContextKey, CONTEXT_KEY) ?? "item";
  const indexAs = fields.name("index_as", "flow.invalid_step", isContextKey, CONTEXT_KEY) ?? "index";
  const concurrency = fields.number("concurrency", "flow.invalid_step", { least: 1, most: 16, whole: true, standard: 1 });
  const steps = parser.nested(fields, "steps", nesting, true);
  return { ...common, type: "foreach", items, steps, as, index_as: indexAs, concurrency, collect };
}

function readRepeat(fields: Fields, common: StepCommon, parser: StepReader, nesting: number): Step | null {
  refuseOutput(fields, common);
  const until = parser.condition(fields, "until");
  if (!fields.has("until") && !fields.has("max_iterations")) fields.fail("flow.invalid_step", "max_iterations", "given when until is not");
  const maxIterations = fields.number("max_iterations", "flow.invalid_step", { least: 1, most: 1000, whole: true, standard: 10 });
  const delaySeconds = fields.number("delay_seconds", "flow.invalid_step", { least: 0, most: 3600, standard: 0 });
  const indexAs = fields.name("index_as", "flow.invalid_step", isContextKey, CONTEXT_KEY) ?? "index";
  const steps = parser.nested(fields, "steps", nesting, true);
  return { ...common, type: "repeat", steps, until, max_iterations: maxIterations, delay_seconds: delaySeconds, index_as: indexAs };
}

function readParallel(fields: Fields, common: StepCommon, parser: StepReader, nesting: number): Step | null {
  refuseOutput(fields, common);
  const field = fields.take("branches");
  if (field?.node.kind !== "map" || field.node.entries.length < 2 || field.node.entries.length > 16) {
    fields.fail("flow.invalid_step", "branches", "a map of 2 to 16 branches, each a list of steps");
    return null;
  }
  const branches: { readonly name: string; readonly steps: readonly Step[] }[] = [];
  const writer = new Map<string, string>();
  for (const entry of field.node.entries) {
    const path = `${field.path}.${entry.key}`;
    if (!isPhaseName(entry.key))
      fields.problems.error(
        "flow.invalid_step",
        path,
        entry.keyOffset,
        `a branch must be named with A-Z a-z 0-9 _ -, at most 64 characters`,
      );
    if (entry.value.kind !== "list") {
      fields.problems.error("flow.invalid_step", path, entry.value.offset, `${path} must be a list of steps, got ${gotText(entry.value)}`);
      continue;
    }
    const steps = parser.nestedList(entry.value, path, nesting);
    for (const key of writtenKeys(steps, parser.context.handlers ?? [])) {
      const other = writer.get(key);
      if (other === undefined) writer.set(key, entry.key);
      else
        fields.problems.error(
          "flow.branch_conflict",
          path,
          entry.keyOffset,
          `${path} must not write ${key}: branch ${other} writes it too`,
        );
    }
    branches.push({ name: entry.key, steps });
  }
  return { ...common, type: "parallel", branches };
}

function readSubFlow(fields: Fields, common: StepCommon, parser: StepReader): Step | null {
  const flow = fields.name("flow", "flow.invalid_step", isFlowId, "a flow id");
  if (flow === null && !fields.has("flow")) fields.fail("flow.invalid_step", "flow", "a flow id");
  const input = inputOf(fields, parser, ["input", "args"]);
  return flow !== null && isFlowId(flow) ? { ...common, type: "flow", flow, input } : null;
}

function readFunction(fields: Fields, common: StepCommon, parser: StepReader): Step | null {
  const name = fields.name(
    "function",
    "flow.invalid_step",
    (text) => /^[A-Za-z0-9_-]+(?:[.:][A-Za-z0-9_-]+)*$/u.test(text) && text.length <= 256,
    "a function: pack:function, an alias or a permission id",
  );
  if (name === null && !fields.has("function"))
    fields.fail("flow.invalid_step", "function", "a function: pack:function, an alias or a permission id");
  const input = inputOf(fields, parser, ["input", "args"]);
  return name === null ? null : { ...common, type: "function", function: name, input };
}
