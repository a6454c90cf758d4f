import { LineCounter } from "yaml";
import type { FlowSource, LoadProblem } from "./definition.ts";
import { locator, readDocument } from "./document.ts";
import { Fields, gotText, nameOf } from "./fields.ts";
import { isGlob } from "./glob.ts";
import { MAX_MODIFIER_FILE_BYTES } from "./limits.ts";
import { MODIFIER_ACTIONS } from "./modifier.ts";
import type { ModifierAction, ModifierDefinition } from "./modifier.ts";
import { isFlowId, isPhaseName, isServiceName, isStepId } from "./names.ts";
import { StepParser } from "./parse-step.ts";
import type { KernelHandler } from "./ports.ts";
import { Problems } from "./problems.ts";
import { readPriority } from "./step-fields.ts";

/** What parsing may know beside the file. */
export interface ParseModifierOptions {
  readonly handlers?: readonly KernelHandler[];
  /** `RUMI_MAX_MODIFIER_FILE_BYTES`. */
  readonly maxFileBytes?: number;
}

/** A modifier, or null with at least one error among the problems. */
export interface ParsedModifier {
  readonly modifier: ModifierDefinition | null;
  readonly problems: LoadProblem[];
}

/** Longest target pattern. */
const MAX_GLOB_CHARS = 128;
const PLACES = new Set(["__first__", "__last__"]);
/** Injected steps do not bring the flow down unless they say so. */
const DEFAULTS = { fail_soft: true, on_missing_step: "skip", vocab_normalize: true } as const;

/** Parses one modifier file. `text` is untrusted. All problems of the file come together, in file order. */
export function parseModifier(text: string, source: FlowSource, options: ParseModifierOptions = {}): ParsedModifier {
  const counter = new LineCounter();
  const problems = new Problems(source.file, locator(counter));
  const maxBytes = options.maxFileBytes ?? MAX_MODIFIER_FILE_BYTES;
  if (text.length > maxBytes || new TextEncoder().encode(text).length > maxBytes) {
    problems.error("flow.file_too_large", "", 0, `the file must be at most ${maxBytes} bytes`);
    return { modifier: null, problems: problems.list() };
  }
  const root = readDocument(text, counter, problems);
  const modifier = root === null ? null : readModifier(new Fields(root, "", problems), source, options.handlers ?? null);
  return { modifier: problems.errors > 0 ? null : modifier, problems: problems.list() };
}

function readModifier(fields: Fields, source: FlowSource, handlers: readonly KernelHandler[] | null): ModifierDefinition | null {
  const code = "modifier.invalid_field";
  const id = required(fields, "modifier_id", isFlowId, "an id: words of A-Z a-z 0-9 _ - joined by dots, at most 128 characters");
  const target = required(fields, "target_flow_id", isTarget, "a flow id, or a pattern of *, ?, [abc] over flow ids");
  const action = readAction(fields);
  const step = fields.name("target_step_id", code, (text) => isStepId(text) || PLACES.has(text), "a step id, __first__ or __last__");
  if (action !== null && action !== "append" && !fields.has("target_step_id"))
    fields.fail(code, "target_step_id", "a step id, __first__ or __last__");
  if (action === "append" && step !== null)
    fields.warn(code, "target_step_id", "target_step_id is ignored: append goes to the end of a phase");
  const phase = fields.name("phase", code, isPhaseName, "a phase name");
  const priority = readPriority(fields);
  const requires = readRequires(fields);
  const resolves = fields.boolean("resolve_target", code, false);
  const namespace = fields.text("resolve_namespace", code) ?? "flow_id";
  const conflicts = readNames(fields, "conflicts_with", isModifierName, "modifier ids, plain or pack/id");
  const injected = readStep(fields, action, source, handlers);
  fields.finish();
  if (id === null || target === null || action === null || !isFlowId(id)) return null;
  if (action !== "remove" && injected === null) return null;
  return {
    modifier_id: id,
    source,
    target_flow_id: target,
    target_step_id: action === "append" ? null : step,
    action,
    phase,
    priority,
    step: injected,
    requires,
    resolve_namespace: resolves ? namespace : null,
    conflicts_with: conflicts,
  };
}

function required(fields: Fields, name: string, matches: (text: string) => boolean, expected: string): string | null {
  if (!fields.has(name)) fields.fail("modifier.invalid_field", name, expected);
  return fields.name(name, "modifier.invalid_field", matches, expected);
}

function readAction(fields: Fields): ModifierAction | null {
  const field = fields.take("action");
  const action = MODIFIER_ACTIONS.find((each) => field?.node.kind === "string" && field.node.value === each);
  if (action !== undefined) return action;
  fields.fail("modifier.invalid_field", "action", `one of ${MODIFIER_ACTIONS.join(" ")}`);
  return null;
}

function readStep(fields: Fields, action: ModifierAction | null, source: FlowSource, handlers: readonly KernelHandler[] | null) {
  const field = fields.take("step");
  if (action === "remove") {
    if (field !== null) fields.warn("modifier.invalid_field", "step", "step is ignored: remove takes no step");
    return null;
  }
  if (field?.node.kind !== "map") {
    fields.fail("modifier.invalid_field", "step", "a step");
    return null;
  }
  return new StepParser({ source, problems: fields.problems, phases: [], defaults: DEFAULTS, handlers }).injected(field.node, "step");
}

function readRequires(fields: Fields): ModifierDefinition["requires"] {
  const map = fields.map("requires", "modifier.invalid_field");
  if (map === null) return { interfaces: [], capabilities: [] };
  const requires = {
    interfaces: readNames(map, "interfaces", isServiceName, "dotted lower-case names"),
    capabilities: readNames(map, "capabilities", isServiceName, "dotted lower-case names"),
  };
  map.finish();
  return requires;
}

function readNames(fields: Fields, name: string, matches: (text: string) => boolean, expected: string): string[] {
  const field = fields.take(name);
  if (field === null) return [];
  if (field.node.kind !== "list") {
    fields.fail("modifier.invalid_field", name, `a list of ${expected}`);
    return [];
  }
  return field.node.items.flatMap((node, index) => {
    const path = `${field.path}[${index}]`;
    const text = nameOf({ node, path }, fields.problems);
    if (text !== null && matches(text)) return [text];
    fields.problems.error("modifier.invalid_field", path, node.offset, `${path} must be one of ${expected}, got ${gotText(node)}`);
    return [];
  });
}

function isTarget(text: string): boolean {
  return isFlowId(text) || (text.length <= MAX_GLOB_CHARS && isGlob(text) && /^[A-Za-z0-9_.*?[\]!-]+$/u.test(text));
}

function isModifierName(text: string): boolean {
  const at = text.indexOf("/");
  return at < 0 ? isFlowId(text) : /^[a-zA-Z0-9_-]{1,64}$/u.test(text.slice(0, at)) && isFlowId(text.slice(at + 1));
}
