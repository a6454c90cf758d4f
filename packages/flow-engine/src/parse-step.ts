import type { StepId } from "@rumi/core";
import { SYSTEM_PRINCIPAL } from "@rumi/core";
import { parseCondition } from "./condition.ts";
import type { Condition } from "./condition.ts";
import type { Step, StepCommon } from "./definition.ts";
import { depthOf, toJson } from "./document.ts";
import type { DocList, DocMap, DocNode } from "./document.ts";
import { compileExpression } from "./expression.ts";
import type { Expression } from "./expression.ts";
import { Fields, gotText, mapJson, nameOf } from "./fields.ts";
import { MAX_CONTAINER_NESTING, MAX_STEP_INPUT_DEPTH, MAX_STEPS } from "./limits.ts";
import { isContextKey, isPhaseName, isStepId } from "./names.ts";
import { shown } from "./problems.ts";
import type { StepReader, StepReaderContext } from "./step-reader.ts";
import { readPriority, readRetry, readTimeout } from "./step-fields.ts";
import { readTypedStep, STEP_TYPES } from "./parse-step-type.ts";

const STEP_ID = "a step id of A-Z a-z 0-9 _ . -, at most 128 characters, not starting with __";
/** Fields whose texts hold references, conditions or steps; in every other field `${` is refused. */
const EXPANDED_OR_STEPS = new Set(["input", "args", "items", "collect", "when", "if", "until", "steps", "then", "else", "branches"]);
const TOP_LEVEL_ONLY = ["phase", "priority", "depends_on", "protected"];

/** Parses the steps of one flow, nested ones too. */
export class StepParser implements StepReader {
  readonly context: StepReaderContext;
  readonly #offsets = new Map<string, number>();
  #count = 0;

  constructor(context: StepReaderContext) {
    this.context = context;
  }

  /** Where the step with this id stands. */
  offsetOf(id: string): number {
    return this.#offsets.get(id) ?? 0;
  }

  topLevel(list: DocList): Step[] {
    const steps = this.#list(list, "steps", 0);
    for (const step of steps) this.#checkDependencies(step, steps);
    return steps;
  }

  /** The one step of a modifier: top-level, but its phase and its place come with the target. */
  injected(node: DocMap, path: string): Step | null {
    return this.#step(node, path, 0, true);
  }

  nested(fields: Fields, name: string, nesting: number, required: boolean): Step[] {
    const field = fields.take(name);
    if (field === null && !required) return [];
    if (field?.node.kind !== "list") {
      fields.fail("flow.invalid_step", name, "a list of steps");
      return [];
    }
    return this.nestedList(field.node, field.path, nesting);
  }

  nestedList(list: DocList, path: string, nesting: number): Step[] {
    if (nesting > MAX_CONTAINER_NESTING) {
      this.context.problems.error("flow.too_complex", path, list.offset, `containers must be nested at most ${MAX_CONTAINER_NESTING} deep`);
      return [];
    }
    return this.#list(list, path, nesting);
  }

  #list(list: DocList, path: string, nesting: number): Step[] {
    return list.items.flatMap((node, index) => {
      const step = this.#step(node, `${path}[${index}]`, nesting);
      return step === null ? [] : [step];
    });
  }

  #step(node: DocNode, path: string, nesting: number, injected = false): Step | null {
    const { problems } = this.context;
    this.#count += 1;
    if (this.#count === MAX_STEPS + 1) problems.error("flow.too_complex", path, node.offset, `a flow has at most ${MAX_STEPS} steps`);
    if (this.#count > MAX_STEPS) return null;
    if (node.kind !== "map") {
      problems.error("flow.invalid_step", path, node.offset, `${path} must be a map, got ${gotText(node)}`);
      return null;
    }
    const fields = new Fields(node, path, problems);
    if (injected) this.#refuseFields(fields, ["phase", "priority"], "the modifier says where the step goes");
    const common = this.#common(fields, node, nesting === 0, injected);
    this.#refuseStrayReferences(node, path);
    const type = fields.take("type");
    const written = type?.node.kind === "string" ? type.node.value : null;
    const name = STEP_TYPES.find((each) => each === written);
    if (name === undefined) {
      fields.fail("flow.unknown_type", "type", `one of ${STEP_TYPES.join(" ")}`);
      return null;
    }
    const timeout = readTimeout(fields, name);
    const step = readTypedStep(name, fields, { ...common, timeout_ms: timeout }, this, nesting + 1);
    fields.finish();
    return step;
  }

  #common(fields: Fields, node: DocMap, top: boolean, injected: boolean): Omit<StepCommon, "timeout_ms"> {
    const { defaults, source } = this.context;
    if (!top) this.#refuseFields(fields, TOP_LEVEL_ONLY, "nested steps run in list order");
    const id = this.#id(fields);
    const principal = source.pack_id ?? SYSTEM_PRINCIPAL;
    const claimed = this.#claimedPrincipal(fields, principal);
    const phase = top && !injected ? this.#phase(fields) : null;
    return {
      id,
      path: fields.path,
      line: this.#line(node),
      phase,
      phase_index: phase === null ? 0 : this.context.phases.indexOf(phase),
      priority: top && !injected ? readPriority(fields) : 0,
      depends_on: top ? this.#dependsOn(fields) : [],
      when: this.condition(fields, "when"),
      output: fields.name(
        "output",
        "flow.invalid_output",
        isContextKey,
        "a context key: a letter, then A-Z a-z 0-9 _ -, at most 64 characters, or _response",
      ),
      retry: readRetry(fields),
      on_error: fields.oneOf("on_error", "flow.invalid_step", ["abort", "continue"], defaults.fail_soft ? "continue" : "abort"),
      vocab_normalize: fields.boolean("vocab_normalize", "flow.invalid_step", defaults.vocab_normalize),
      protected: top && fields.boolean("protected", "flow.invalid_step", false),
      principal,
      principal_digest: source.digest ?? null,
      ...(claimed === null ? {} : { claimed_principal: claimed }),
      raw: mapJson(node),
    };
  }

  #line(node: DocMap): number {
    return this.context.problems.lineOf(node.offset);
  }

  #id(fields: Fields): StepId {
    if (!fields.has("id")) fields.fail("flow.invalid_step", "id", STEP_ID);
    const offset = fields.take("id")?.node.offset ?? fields.offset;
    const id = fields.name("id", "flow.invalid_step", isStepId, STEP_ID);
    if (id === null) return "" as StepId;
    if (this.#offsets.has(id))
      this.context.problems.error(
        "flow.duplicate_step_id",
        fields.pathOf("id"),
        offset,
        `${fields.pathOf("id")} must be unique in the flow, got ${shown(id)} again`,
      );
    else this.#offsets.set(id, offset);
    return id as StepId;
  }

  #phase(fields: Fields): string {
    const { phases, problems } = this.context;
    const field = fields.take("phase");
    const name = field === null ? null : nameOf(field, problems);
    if (name !== null && isPhaseName(name) && phases.includes(name)) return name;
    fields.fail("flow.unknown_phase", "phase", phases.length === 0 ? "a listed phase" : `one of the phases ${shown(phases.join(" "))}`);
    return "";
  }

  #dependsOn(fields: Fields): StepId[] {
    const field = fields.take("depends_on");
    if (field === null) return [];
    if (field.node.kind !== "list") {
      fields.fail("flow.invalid_depends_on", "depends_on", "a list of step ids");
      return [];
    }
    const ids: StepId[] = [];
    for (const [index, node] of field.node.items.entries()) {
      const path = `${field.path}[${index}]`;
      const id = nameOf({ node, path }, this.context.problems);
      if (id !== null && isStepId(id)) ids.push(id);
      else this.context.problems.error("flow.invalid_depends_on", path, node.offset, `${path} must be a step id, got ${gotText(node)}`);
    }
    return ids;
  }

  #checkDependencies(step: Step, steps: readonly Step[]): void {
    const { problems } = this.context;
    const path = `${step.path}.depends_on`;
    for (const id of step.depends_on) {
      const other = steps.find((each) => each.id === id);
      const at = this.offsetOf(step.id);
      if (id === step.id) problems.error("flow.invalid_depends_on", path, at, `${path} must name other steps, got the step itself`);
      else if (other === undefined)
        problems.warn(
          "flow.unknown_dependency",
          path,
          at,
          `${path} names ${shown(id)}, which is no top-level step of this flow; the step will be skipped`,
        );
      else if (other.phase_index > step.phase_index)
        problems.error(
          "flow.invalid_depends_on",
          path,
          at,
          `${path} must name steps of the same or an earlier phase, got ${shown(id)} of ${other.phase ?? ""}`,
        );
    }
  }

  #claimedPrincipal(fields: Fields, principal: string): string | null {
    const field = fields.take("principal_id");
    if (field === null) return null;
    const claimed = field.node.kind === "string" ? String(field.node.value) : gotText(field.node);
    if (claimed === principal) return null;
    fields.warn("flow.principal_id_overridden", "principal_id", `${field.path} is ignored: the step runs as ${principal}`);
    return shown(claimed);
  }

  #refuseFields(fields: Fields, names: readonly string[], why: string): void {
    for (const name of names) {
      const field = fields.take(name);
      if (field !== null)
        this.context.problems.error("flow.invalid_step", field.path, field.node.offset, `${field.path} must not be given: ${why}`);
    }
  }

  #refuseStrayReferences(node: DocMap, path: string): void {
    for (const entry of node.entries) {
      if (EXPANDED_OR_STEPS.has(entry.key)) continue;
      for (const found of textsWithReference(entry.value)) {
        this.context.problems.error(
          "flow.invalid_reference",
          `${path}.${entry.key}`,
          found.offset,
          `${path}.${entry.key} must not hold a reference`,
        );
      }
    }
  }

  condition(fields: Fields, name: string): Condition | null {
    const field = fields.take(name);
    if (field === null) return null;
    if (field.node.kind === "boolean") return { kind: "value", value: field.node.value };
    if (field.node.kind !== "string") {
      fields.fail("flow.invalid_condition", name, "a condition or true or false");
      return null;
    }
    const parsed = parseCondition(String(field.node.value));
    if (parsed.ok) return parsed.condition;
    const { message, offset } = parsed.fault;
    this.context.problems.error(
      "flow.invalid_condition",
      field.path,
      field.node.offset,
      `${field.path} must be a condition, got ${gotText(field.node)}: ${message} (at character ${offset + 1})`,
    );
    return null;
  }

  expression(node: DocNode, path: string): Expression {
    const { problems } = this.context;
    if (depthOf(node) > MAX_STEP_INPUT_DEPTH)
      problems.error("flow.too_complex", path, node.offset, `${path} must be nested at most ${MAX_STEP_INPUT_DEPTH} deep`);
    let offsets: Map<string, number> | undefined;
    return compileExpression(toJson(node), (kind, below, fault) => {
      offsets ??= offsetsOf(node, "", new Map());
      const at = offsets.get(below) ?? node.offset;
      const message = `${path}${below}: ${fault.message}`;
      if (kind === "fault") problems.error("flow.invalid_reference", `${path}${below}`, at, message);
      else problems.warn("flow.legacy_reference", `${path}${below}`, at, message);
    });
  }
}

function offsetsOf(node: DocNode, path: string, offsets: Map<string, number>): Map<string, number> {
  offsets.set(path, node.offset);
  if (node.kind === "list") for (const [index, item] of node.items.entries()) offsetsOf(item, `${path}[${index}]`, offsets);
  if (node.kind === "map") for (const entry of node.entries) offsetsOf(entry.value, `${path}.${entry.key}`, offsets);
  return offsets;
}

function* textsWithReference(node: DocNode): Generator<DocNode> {
  if (node.kind === "string" && String(node.value).includes("${")) yield node;
  if (node.kind === "list") for (const item of node.items) yield* textsWithReference(item);
  if (node.kind === "map") for (const entry of node.entries) yield* textsWithReference(entry.value);
}
