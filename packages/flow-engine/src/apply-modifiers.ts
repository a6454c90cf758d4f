import type { FlowId, StepId } from "@rumi/core";
import type { FlowDefinition, LoadProblem, Step } from "./definition.ts";
import { compareCodePoints } from "./evaluate-condition.ts";
import { createGlob, isGlob } from "./glob.ts";
import { MAX_STEPS } from "./limits.ts";
import { modifierName } from "./modifier.ts";
import type {
  ModifierAction,
  ModifierDefinition,
  ModifierFacts,
  ModifierRecord,
  ModifierRights,
  ModifierSkip,
  RemovedStep,
  StepOrigin,
} from "./modifier.ts";
import type { KernelHandler } from "./ports.ts";
import { allSteps } from "./walk-steps.ts";
import { writtenKeys } from "./written-keys.ts";

/** What decides about modifiers beside the flow itself. */
export interface ModifierSurroundings {
  readonly rights: ModifierRights;
  readonly facts: ModifierFacts;
  readonly handlers: readonly KernelHandler[];
}

/** A flow with its modifiers applied; the base is never altered. */
export interface ModifiedFlow {
  /** Top-level steps in the order they run. */
  readonly order: readonly Step[];
  /** Of every top-level step, by id. */
  readonly origins: ReadonlyMap<string, StepOrigin>;
  readonly removed: readonly RemovedStep[];
  readonly records: readonly ModifierRecord[];
  readonly problems: readonly LoadProblem[];
}

/** Passes in their order; inside one, modifiers keep their sorted order. */
const PASSES: readonly (readonly ModifierAction[])[] = [["replace", "remove"], ["inject_before"], ["inject_after"], ["append"]];

/**
 * Modifiers whose target, mapped through the dictionary where they wish it, is or covers a flow. What the dictionary gives is
 * an id, never a pattern.
 */
export function createTargetIndex(
  modifiers: readonly ModifierDefinition[],
  facts: ModifierFacts,
): (flowId: FlowId) => readonly ModifierDefinition[] {
  const exact = new Map<string, ModifierDefinition[]>();
  const patterns: { readonly modifier: ModifierDefinition; readonly covers: (flowId: string) => boolean }[] = [];
  for (const modifier of modifiers) {
    const { target_flow_id: written, resolve_namespace: namespace } = modifier;
    if (isGlob(written)) {
      patterns.push({ modifier, covers: createGlob(written) });
      continue;
    }
    const target = namespace === null ? written : facts.resolve(namespace, written);
    const known = exact.get(target);
    if (known === undefined) exact.set(target, [modifier]);
    else known.push(modifier);
  }
  return (flowId) => [...(exact.get(flowId) ?? []), ...patterns.filter(({ covers }) => covers(flowId)).map(({ modifier }) => modifier)];
}

/** True for a glob that a pack may not use without the operator's privilege, and for every glob of a shared modifier. */
export function isWide({ target_flow_id: target, source }: ModifierDefinition): boolean {
  return isGlob(target) && (source.pack_id === null || !target.startsWith(`${source.pack_id}.`));
}

/**
 * Applies `modifiers`, all of which target this flow, to its ordered steps. Pure: the same values always give the same flow.
 * One that cannot be applied says why and changes nothing.
 */
export function applyModifiers(
  definition: FlowDefinition,
  order: readonly Step[],
  modifiers: readonly ModifierDefinition[],
  surroundings: ModifierSurroundings,
): ModifiedFlow {
  const work = new Composition(definition, order, surroundings);
  const sorted = work.sort(modifiers);
  const names = new Set(sorted.flatMap((modifier) => [modifier.modifier_id as string, modifierName(modifier)]));
  for (const [index, actions] of PASSES.entries()) {
    for (const modifier of sorted) if (actions.includes(modifier.action)) work.apply(modifier, names);
    if (index === 0) work.settlePlaces();
  }
  return work.result();
}

/** The list of steps while modifiers work on it. */
class Composition {
  readonly #definition: FlowDefinition;
  readonly #surroundings: ModifierSurroundings;
  readonly #baseIndex: ReadonlyMap<string, number>;
  readonly #steps: Step[];
  readonly #origins = new Map<string, StepOrigin>();
  readonly #removed: RemovedStep[] = [];
  readonly #records = new Map<ModifierDefinition, ModifierRecord>();
  readonly #problems: LoadProblem[] = [];
  #sorted: readonly ModifierDefinition[] = [];
  /** Steps that a replace or remove has had. */
  readonly #taken = new Set<string>();
  /** The last step injected after each target, so that several stand in their order. */
  readonly #after = new Map<string, string>();
  /** What `__first__` and `__last__` mean, by phase (`""`: of the flow), once replaced and removed steps are settled. */
  #places: ReadonlyMap<string, { readonly first: string; readonly last: string }> = new Map();

  constructor(definition: FlowDefinition, order: readonly Step[], surroundings: ModifierSurroundings) {
    this.#definition = definition;
    this.#surroundings = surroundings;
    this.#steps = [...order];
    this.#baseIndex = new Map(order.map((step) => [step.id as string, step.phase_index]));
    const { source, pack_id, file } = definition.source;
    const own = { source, pack_id, file, modifier_id: null, action: null, replaced_id: null };
    for (const step of order) this.#origins.set(step.id, own);
    this.settlePlaces();
  }

  sort(modifiers: readonly ModifierDefinition[]): readonly ModifierDefinition[] {
    this.#sorted = modifiers.toSorted((a, b) => this.#compare(a, b));
    return this.#sorted;
  }

  /** Target phase, then priority, then id, then pack. */
  #compare(a: ModifierDefinition, b: ModifierDefinition): number {
    return (
      this.#phaseIndex(a) - this.#phaseIndex(b) ||
      a.priority - b.priority ||
      compareCodePoints(a.modifier_id, b.modifier_id) ||
      compareCodePoints(a.source.pack_id ?? "", b.source.pack_id ?? "")
    );
  }

  settlePlaces(): void {
    const places = new Map<string, { first: string; last: string }>();
    for (const step of this.#steps) {
      for (const phase of ["", step.phase ?? ""]) {
        const known = places.get(phase);
        if (known === undefined) places.set(phase, { first: step.id, last: step.id });
        else known.last = step.id;
      }
    }
    this.#places = places;
  }

  apply(modifier: ModifierDefinition, names: ReadonlySet<string>): void {
    const at = this.#targetIndex(modifier);
    const target = at === null ? null : (this.#steps[at] ?? null);
    const reason = this.#refusal(modifier, target, names);
    this.#records.set(modifier, {
      modifier_id: modifier.modifier_id,
      source: modifier.source.source,
      pack_id: modifier.source.pack_id,
      target_flow_id: this.#definition.flow_id,
      target_step_id: target?.id ?? null,
      action: modifier.action,
      wide: isWide(modifier),
      applied: reason === null,
      skipped_reason: reason,
    });
    if (reason === null) this.#carryOut(modifier, at ?? this.#steps.length, target);
  }

  result(): ModifiedFlow {
    return {
      order: this.#steps,
      origins: this.#origins,
      removed: this.#removed,
      records: this.#sorted.flatMap((modifier) => this.#records.get(modifier) ?? []),
      problems: this.#problems,
    };
  }

  #phaseIndex(modifier: ModifierDefinition): number {
    const { phases } = this.#definition;
    if (modifier.phase !== null) return phases.indexOf(modifier.phase);
    if (modifier.action === "append") return phases.length - 1;
    const id = this.#namedTarget(modifier);
    return (id === null ? undefined : this.#baseIndex.get(id)) ?? phases.length;
  }

  #namedTarget({ target_step_id: written, phase }: ModifierDefinition): string | null {
    if (written !== "__first__" && written !== "__last__") return written;
    const place = this.#places.get(phase ?? "");
    return place === undefined ? null : written === "__first__" ? place.first : place.last;
  }

  /** Where the target stands now; for `append` the last step of the phase, or null when the phase has none. */
  #targetIndex(modifier: ModifierDefinition): number | null {
    const { phases } = this.#definition;
    if (modifier.action === "append") {
      const phase = modifier.phase ?? phases.at(-1);
      const at = this.#steps.findLastIndex((step) => step.phase === phase);
      return at < 0 ? null : at;
    }
    const id = this.#namedTarget(modifier);
    const at = this.#steps.findIndex((step) => step.id === id);
    return at < 0 ? null : at;
  }

  #refusal(modifier: ModifierDefinition, target: Step | null, names: ReadonlySet<string>): ModifierSkip | null {
    return this.#ofFlow(modifier) ?? this.#ofTarget(modifier, target) ?? this.#ofResult(modifier, target, names);
  }

  /** What can be said before the target is looked at. */
  #ofFlow(modifier: ModifierDefinition): ModifierSkip | null {
    const { source } = this.#definition;
    const { rights, facts } = this.#surroundings;
    const { pack_id: pack } = modifier.source;
    if (source.source === "official") return "official_flow";
    if (pack !== null && isWide(modifier) && !rights.mayReachWide(pack)) return "wildcard_not_allowed";
    for (const name of modifier.requires.interfaces) if (!facts.hasInterface(name)) return `requires_not_satisfied:${name}`;
    for (const name of modifier.requires.capabilities) if (!facts.hasCapability(name)) return `requires_not_satisfied:${name}`;
    return modifier.phase !== null && !this.#definition.phases.includes(modifier.phase) ? "phase_not_found" : null;
  }

  #ofTarget(modifier: ModifierDefinition, target: Step | null): ModifierSkip | null {
    if (modifier.action === "append") return null;
    const changes = modifier.action === "replace" || modifier.action === "remove";
    if (changes && this.#taken.has(this.#namedTarget(modifier) ?? "")) return "conflict";
    if (target === null) return "target_step_not_found";
    if (modifier.phase !== null && target.phase !== modifier.phase) return "phase_mismatch";
    if (target.protected) return "protected_step";
    const { pack_id: pack } = modifier.source;
    if (!changes || pack === null) return null;
    const own = this.#origins.get(target.id)?.pack_id === pack;
    return own || this.#surroundings.rights.mayReachWide(pack) ? null : "replace_not_allowed";
  }

  #ofResult(modifier: ModifierDefinition, target: Step | null, names: ReadonlySet<string>): ModifierSkip | null {
    const { step, action } = modifier;
    if (step !== null) {
      const { handlers, rights } = this.#surroundings;
      const writes = writtenKeys([step], handlers);
      const others = this.#steps.filter((each) => action !== "replace" || each.id !== target?.id);
      const guarded = writtenKeys(
        others.filter((each) => each.protected),
        handlers,
      );
      if ([...writes].some((key) => guarded.has(key))) return "protected_step";
      const { pack_id: pack } = modifier.source;
      if (pack !== null) {
        const taken = writtenKeys(others, handlers);
        const agreed = rights.consentedOverwrites(pack, modifier.modifier_id);
        if ([...writes].some((key) => (taken.has(key) || this.#definition.inputs.has(key)) && !agreed.has(key))) return "consent_missing";
      }
      const ids = new Set([...allSteps(others)].map((each) => each.id as string));
      const brought = [...allSteps([step])].map((each) => each.id as string);
      if ((action === "replace" ? brought.slice(1) : brought).some((id) => ids.has(id) || id === target?.id)) return "duplicate_step_id";
    }
    const rival = modifier.conflicts_with.find((name) => names.has(name) && name !== modifierName(modifier));
    if (rival !== undefined) return `conflicts_with:${rival}`;
    return step === null || this.#fits(modifier, step, target) ? null : "invalid_result";
  }

  /** A step that waits for one that stands behind it would never run, and a flow has so many steps at most. */
  #fits(modifier: ModifierDefinition, step: Step, target: Step | null): boolean {
    const count = [...allSteps(this.#steps)].length + [...allSteps([step])].length - (modifier.action === "replace" ? 1 : 0);
    if (count > MAX_STEPS) return false;
    const at = target === null ? this.#steps.length : this.#steps.indexOf(target);
    const first = modifier.action === "inject_after" || modifier.action === "append" ? at + 1 : at;
    const behind = new Set(this.#steps.slice(first).map((each) => each.id as string));
    if (modifier.action === "replace" && target !== null) behind.delete(target.id);
    return !step.depends_on.some((id) => behind.has(id) || id === step.id);
  }

  #carryOut(modifier: ModifierDefinition, at: number, target: Step | null): void {
    if (target !== null && (modifier.action === "replace" || modifier.action === "remove")) this.#taken.add(target.id);
    if (modifier.action === "remove") this.#remove(modifier, at, target);
    else if (modifier.step !== null && modifier.action === "replace" && target !== null) this.#replace(modifier, modifier.step, at, target);
    else if (modifier.step !== null) this.#inject(modifier, modifier.step, at, target);
  }

  #remove(modifier: ModifierDefinition, at: number, target: Step | null): void {
    if (target === null) return;
    this.#steps.splice(at, 1);
    this.#origins.delete(target.id);
    this.#removed.push({ id: target.id, by: { modifier_id: modifier.modifier_id, pack_id: modifier.source.pack_id } });
    const warn = (code: "modifier.orphans_dependents" | "modifier.shared_target", message: string): void =>
      void this.#problems.push({ code, severity: "warning", file: modifier.source.file, path: "action", line: 1, column: 1, message });
    const rivals = this.#sorted.filter((other) => other !== modifier && this.#namedTarget(other) === target.id).map(modifierName);
    if (rivals.length > 0)
      warn("modifier.shared_target", `${target.id} of ${this.#definition.flow_id} is also meant by ${rivals.join(", ")}`);
    const orphans = this.#steps.filter((step) => step.depends_on.includes(target.id)).map((step) => step.id);
    if (orphans.length > 0)
      warn(
        "modifier.orphans_dependents",
        `without ${target.id} these steps of ${this.#definition.flow_id} are skipped: ${orphans.join(", ")}`,
      );
  }

  #replace(modifier: ModifierDefinition, step: Step, at: number, target: Step): void {
    const depends = Object.hasOwn(step.raw, "depends_on") ? step.depends_on : target.depends_on;
    this.#steps[at] = this.#placed(step, target.phase, { id: target.id, depends_on: depends });
    this.#origins.set(target.id, originOf(modifier, step.id));
  }

  #inject(modifier: ModifierDefinition, step: Step, at: number, target: Step | null): void {
    const phase = modifier.action === "append" ? (modifier.phase ?? this.#definition.phases.at(-1) ?? null) : (target?.phase ?? null);
    this.#steps.splice(this.#insertAt(modifier, at, target, phase), 0, this.#placed(step, phase));
    this.#origins.set(step.id, originOf(modifier, null));
    if (modifier.action === "inject_after" && target !== null) this.#after.set(target.id, step.id);
  }

  #insertAt(modifier: ModifierDefinition, at: number, target: Step | null, phase: string | null): number {
    if (modifier.action === "inject_before") return at;
    if (modifier.action === "inject_after") {
      const last = this.#after.get(target?.id ?? "");
      return (last === undefined ? at : this.#steps.findIndex((step) => step.id === last)) + 1;
    }
    if (target !== null) return at + 1;
    const index = this.#definition.phases.indexOf(phase ?? "");
    const next = this.#steps.findIndex((step) => step.phase_index > index);
    return next < 0 ? this.#steps.length : next;
  }

  #placed(step: Step, phase: string | null, more: { readonly id?: StepId; readonly depends_on?: readonly StepId[] } = {}): Step {
    const id = more.id ?? step.id;
    const dependsOn = more.depends_on ?? step.depends_on;
    return {
      ...step,
      id,
      depends_on: dependsOn,
      phase,
      phase_index: this.#definition.phases.indexOf(phase ?? ""),
      raw: { ...step.raw, id, phase, ...(dependsOn.length === 0 ? {} : { depends_on: [...dependsOn] }) },
    };
  }
}

function originOf({ source, modifier_id: modifierId, action }: ModifierDefinition, replacedId: string | null): StepOrigin {
  return { ...source, modifier_id: modifierId, action, replaced_id: replacedId };
}
