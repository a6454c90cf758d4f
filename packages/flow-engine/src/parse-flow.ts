import { LineCounter } from "yaml";
import type { FlowDefaults, FlowDefinition, FlowSource, InputDeclaration, LoadProblem, ValueType } from "./definition.ts";
import { VALUE_TYPES } from "./definition.ts";
import { locator, readDocument, toJson } from "./document.ts";
import type { DocMap } from "./document.ts";
import { Fields, gotText, mapJson, nameOf } from "./fields.ts";
import { MAX_FLOW_FILE_BYTES, MAX_PHASES } from "./limits.ts";
import { isFlowId, isInputKey, isOwnFlow, isPhaseName } from "./names.ts";
import { orderSteps } from "./order.ts";
import { StepParser } from "./parse-step.ts";
import type { KernelHandler } from "./ports.ts";
import { Problems } from "./problems.ts";
import { parseSchedule } from "./schedule.ts";

/** What parsing may know beside the file. */
export interface ParseFlowOptions {
  /** Handlers that exist; absent: `handler` names are checked by their form only. */
  readonly handlers?: readonly KernelHandler[];
  /** `RUMI_MAX_FLOW_FILE_BYTES`. */
  readonly maxFileBytes?: number;
}

/** A flow, or null with at least one error among the problems. */
export interface ParsedFlow {
  readonly flow: FlowDefinition | null;
  readonly problems: LoadProblem[];
}

const TYPE_ALIASES: ReadonlyMap<string, ValueType> = new Map<string, ValueType>([
  ...VALUE_TYPES.map((type) => [type, type] as const),
  ["str", "string"],
  ["int", "integer"],
  ["float", "number"],
  ["bool", "boolean"],
  ["dict", "object"],
  ["map", "object"],
  ["list", "array"],
]);

/**
 * Parses one flow file. `text` is untrusted. All problems of the file come together, in file order; a flow comes back only
 * when none of them is an error.
 */
export function parseFlow(text: string, source: FlowSource, options: ParseFlowOptions = {}): ParsedFlow {
  const counter = new LineCounter();
  const problems = new Problems(source.file, locator(counter));
  const maxBytes = options.maxFileBytes ?? MAX_FLOW_FILE_BYTES;
  if (text.length > maxBytes || new TextEncoder().encode(text).length > maxBytes) {
    problems.error("flow.file_too_large", "", 0, `the file must be at most ${maxBytes} bytes`);
    return { flow: null, problems: problems.list() };
  }
  const root = readDocument(text, counter, problems);
  const flow = root === null ? null : readFlow(root, source, problems, options.handlers ?? null);
  return { flow: problems.errors > 0 ? null : flow, problems: problems.list() };
}

function readFlow(root: DocMap, source: FlowSource, problems: Problems, handlers: readonly KernelHandler[] | null): FlowDefinition | null {
  const fields = new Fields(root, "", problems);
  const flowId = readFlowId(fields, source);
  const phases = readPhases(fields);
  const defaults = readDefaults(fields);
  const parser = new StepParser({ source, problems, phases, defaults, handlers });
  const stepsField = fields.take("steps");
  if (stepsField !== null && stepsField.node.kind !== "list") fields.fail("flow.invalid_field", "steps", "a list of steps");
  const steps = stepsField?.node.kind === "list" ? parser.topLevel(stepsField.node) : [];
  const inputs = readInputs(fields);
  const outputs = readOutputs(fields);
  const description = readDescription(fields);
  const { schedule, fires } = readSchedule(fields, inputs);
  fields.finish();
  checkCycles(steps, parser, problems);
  if (flowId === null || problems.errors > 0) return null;
  return {
    flow_id: flowId,
    source,
    description,
    phases,
    inputs,
    outputs,
    defaults,
    schedule,
    fires,
    steps,
    raw: mapJson(root),
  };
}

function readFlowId(fields: Fields, source: FlowSource): FlowDefinition["flow_id"] | null {
  const expected = "a flow id: words of A-Z a-z 0-9 _ - joined by dots, at most 128 characters";
  if (!fields.has("flow_id")) fields.fail("flow.invalid_id", "flow_id", expected);
  const id = fields.name("flow_id", "flow.invalid_id", isFlowId, expected);
  if (id === null || !isFlowId(id)) return null;
  if (source.pack_id !== null && !isOwnFlow(source.pack_id, id)) {
    fields.fail("flow.foreign_id", "flow_id", `${source.pack_id} or start with ${source.pack_id}.`);
    return null;
  }
  return id;
}

function readPhases(fields: Fields): string[] {
  const field = fields.take("phases");
  const expected = `a list of 1 to ${MAX_PHASES} distinct names`;
  if (field === null || field.node.kind !== "list" || field.node.items.length === 0) {
    fields.fail("flow.invalid_phases", "phases", field?.node.kind === "list" ? `${expected} (it is empty)` : expected);
    return [];
  }
  if (field.node.items.length > MAX_PHASES) {
    fields.problems.error(
      "flow.too_complex",
      "phases",
      field.node.offset,
      `phases must be at most ${MAX_PHASES}, got ${field.node.items.length}`,
    );
  }
  const phases: string[] = [];
  for (const [index, node] of field.node.items.entries()) {
    const path = `phases[${index}]`;
    const name = nameOf({ node, path }, fields.problems);
    if (name === null || !isPhaseName(name)) {
      fields.problems.error(
        "flow.invalid_phases",
        path,
        node.offset,
        `${path} must be a name of A-Z a-z 0-9 _ -, at most 64 characters, got ${gotText(node)}`,
      );
    } else if (phases.includes(name)) {
      fields.problems.error("flow.invalid_phases", path, node.offset, `${path} must be distinct, got ${name} again`);
    } else phases.push(name);
  }
  return phases;
}

function readDefaults(fields: Fields): FlowDefaults {
  const map = fields.map("defaults", "flow.invalid_field");
  if (map === null) return { fail_soft: true, on_missing_step: "skip", vocab_normalize: true };
  const defaults: FlowDefaults = {
    fail_soft: map.boolean("fail_soft", "flow.invalid_field", true),
    on_missing_step: map.oneOf("on_missing_step", "flow.invalid_field", ["skip", "fail"], "skip"),
    vocab_normalize: map.boolean("vocab_normalize", "flow.invalid_field", true),
  };
  map.finish();
  return defaults;
}

function readInputs(fields: Fields): Map<string, InputDeclaration> {
  const declared = new Map<string, InputDeclaration>();
  const map = namedEntries(fields, "inputs");
  for (const { name, field } of map) {
    const { node, path } = field;
    if (node.kind === "string") declared.set(name, { type: readType(String(node.value), field, fields.problems), required: false });
    else if (node.kind === "map") declared.set(name, readInput(new Fields(node, path, fields.problems)));
    else if (node.kind === "null") declared.set(name, { type: "null", required: false });
    else fields.problems.error("flow.invalid_field", path, node.offset, `${path} must be a type or a map, got ${gotText(node)}`);
  }
  return declared;
}

function readInput(map: Fields): InputDeclaration {
  const type = map.take("type");
  if (type !== null && type.node.kind !== "string") map.fail("flow.invalid_field", "type", "a type");
  const standard = map.take("default");
  const description = map.text("description", "flow.invalid_field");
  const input: InputDeclaration = {
    type: type?.node.kind === "string" ? readType(String(type.node.value), type, map.problems) : "any",
    required: map.boolean("required", "flow.invalid_field", false),
    ...(standard === null ? {} : { default_value: toJson(standard.node) }),
    ...(description === null ? {} : { description }),
  };
  map.finish();
  return input;
}

function readOutputs(fields: Fields): Map<string, ValueType> | null {
  if (!fields.has("outputs")) {
    fields.take("outputs");
    return null;
  }
  const declared = new Map<string, ValueType>();
  for (const { name, field } of namedEntries(fields, "outputs")) {
    const { node, path } = field;
    if (node.kind === "string") declared.set(name, readType(String(node.value), field, fields.problems));
    else if (node.kind === "null") declared.set(name, "null");
    else fields.problems.error("flow.invalid_field", path, node.offset, `${path} must be a type, got ${gotText(node)}`);
  }
  return declared;
}

function namedEntries(
  fields: Fields,
  name: "inputs" | "outputs",
): { name: string; field: { node: DocMap["entries"][number]["value"]; path: string } }[] {
  const field = fields.take(name);
  if (field === null) return [];
  if (field.node.kind !== "map") {
    fields.fail("flow.invalid_field", name, "a map of name to type");
    return [];
  }
  return field.node.entries.flatMap((entry) => {
    const path = `${name}.${entry.key}`;
    if (isInputKey(entry.key)) return [{ name: entry.key, field: { node: entry.value, path } }];
    fields.problems.error(
      "flow.invalid_field",
      path,
      entry.keyOffset,
      `a name in ${name} must start with a letter and hold A-Z a-z 0-9 _ -, at most 64 characters`,
    );
    return [];
  });
}

function readType(
  text: string,
  field: { readonly node: { readonly offset: number }; readonly path: string },
  problems: Problems,
): ValueType {
  const type = TYPE_ALIASES.get(text);
  if (type !== undefined) return type;
  problems.warn("flow.invalid_field", field.path, field.node.offset, `${field.path} must be one of ${VALUE_TYPES.join(" ")}; read as any`);
  return "any";
}

function readSchedule(fields: Fields, inputs: FlowDefinition["inputs"]): Pick<FlowDefinition, "schedule" | "fires"> {
  const field = fields.take("schedule");
  if (field === null) return { schedule: null, fires: null };
  if (field.node.kind !== "map") {
    fields.warn("schedule.invalid", "schedule", `schedule must be a map, got ${gotText(field.node)}; the flow loads unscheduled`);
    return { schedule: null, fires: null };
  }
  const schedule = mapJson(field.node);
  const { spec, problems } = parseSchedule(schedule, inputs);
  for (const { code, member, message } of problems) {
    const entry = field.node.entries.find(({ key }) => key === member || (member === "interval" && key === "interval_seconds"));
    const path = member === "" ? "schedule" : `schedule.${member}`;
    fields.problems.warn(code, path, entry?.value.offset ?? field.node.offset, `${path}: ${message}`);
  }
  return { schedule, fires: spec };
}

function readDescription(fields: Fields): string {
  const field = fields.take("description");
  if (field === null) return "";
  if (field.node.kind === "string") return String(field.node.value);
  fields.warn("flow.invalid_field", "description", `description must be text, got ${gotText(field.node)}`);
  return "";
}

function checkCycles(steps: FlowDefinition["steps"], parser: StepParser, problems: Problems): void {
  const ordering = orderSteps(steps);
  if (ordering.ok) return;
  for (const cycle of ordering.cycles) {
    const first = steps.find((step) => step.id === cycle[0]);
    if (first === undefined) continue;
    const path = `${first.path}.depends_on`;
    problems.error(
      "flow.dependency_cycle",
      path,
      parser.offsetOf(first.id),
      `${path} must be free of cycles, got ${[...cycle, first.id].join(" -> ")}`,
    );
  }
}
