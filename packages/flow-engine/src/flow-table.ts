import { applyModifiers, createTargetIndex } from "./apply-modifiers.ts";
import type { ModifierSurroundings } from "./apply-modifiers.ts";
import type { AuditEvent, Clock, Digest, FlowId, PackId } from "@rumi/core";
import { isoTime, jsonDigest, systemClock } from "@rumi/core";
import { compareCodePoints } from "./evaluate-condition.ts";
import type { FileCallStep, FlowDefinition, FlowSource, LoadProblem, Step } from "./definition.ts";
import type { FlowFile } from "./flow-file.ts";
import { loadModifiers, tellOfModifiers } from "./load-modifiers.ts";
import type { ModifierDefinition, ModifierRecord, RemovedStep, StepOrigin } from "./modifier.ts";
import { orderSteps } from "./order.ts";
import { ParsedFiles } from "./parsed-files.ts";
import type { BlockResolver, BlockTarget, KernelHandler } from "./ports.ts";
import { allSteps } from "./walk-steps.ts";

/** Files that are not in the table, and why. */
export interface SkipRecord {
  readonly source: FlowSource["source"];
  readonly pack_id: PackId | null;
  readonly file: string | null;
  readonly code: string;
  readonly reason: string;
  /** Files it stands for. */
  readonly count: number;
  readonly ts: string;
}

/** One flow ready to run, bound to the bytes it names. */
export interface ComposedFlow {
  readonly definition: FlowDefinition;
  /** Top-level steps in the order they run. */
  readonly order: readonly Step[];
  /** Effective digest: the flow as it runs, modifiers applied, and the snapshots of its packs. */
  readonly digest: Digest;
  /** Where each top-level step comes from, by id. */
  readonly origins: ReadonlyMap<string, StepOrigin>;
  /** Steps of the flow's file that modifiers took out. */
  readonly removed: readonly RemovedStep[];
  /** What became of each modifier that means this flow. */
  readonly modifiers: readonly ModifierRecord[];
  readonly packs: ReadonlyMap<PackId, Digest>;
  /** What each file-call step runs, by step id. */
  readonly targets: ReadonlyMap<string, BlockTarget>;
}

export interface ComposeOptions {
  readonly blocks: BlockResolver;
  readonly handlers: readonly KernelHandler[];
  /** Skips the reader of the files already knows: packs that may not run. */
  readonly skipped?: readonly SkipRecord[];
  /** Modifier files; without `surroundings` no right is held and nothing required is there. */
  readonly modifiers?: readonly FlowFile[];
  readonly surroundings?: Omit<ModifierSurroundings, "handlers">;
  readonly maxFileBytes?: number;
  readonly maxModifierBytes?: number;
  /** What is known of these files already; made with the same handlers and limits. */
  readonly parsed?: ParsedFiles;
  readonly clock?: Clock;
}

/** Without an operator's word no pack reaches beyond its own flows, and nothing is there to require. */
const NO_SURROUNDINGS: Omit<ModifierSurroundings, "handlers"> = {
  rights: { mayReachWide: () => false, consentedOverwrites: () => new Set() },
  facts: { hasInterface: () => false, hasCapability: () => false, resolve: (_namespace, token) => token },
};

const RANK: Readonly<Record<FlowSource["source"], number>> = { official: 1, shared: 2, pack: 3 };

/** All flows of one moment, immutable: it is swapped whole, and a run keeps the one it began with. */
export class FlowTable {
  readonly skipped: readonly SkipRecord[];
  readonly problems: readonly LoadProblem[];
  /** Attempts to grow rights that the files hold; to be recorded when the table is taken into use. */
  readonly securityEvents: readonly AuditEvent[];
  /** What became of every modifier at every flow it means. */
  readonly modifiers: readonly ModifierRecord[];
  readonly #flows: ReadonlyMap<string, ComposedFlow>;

  private constructor(
    flows: ReadonlyMap<string, ComposedFlow>,
    skipped: readonly SkipRecord[],
    problems: readonly LoadProblem[],
    securityEvents: readonly AuditEvent[],
    modifiers: readonly ModifierRecord[],
  ) {
    this.modifiers = modifiers;
    this.#flows = flows;
    this.skipped = skipped;
    this.problems = problems;
    this.securityEvents = securityEvents;
  }

  /** A table without flows. */
  static readonly empty = new FlowTable(new Map(), [], [], [], []);

  /**
   * Composes the flows of `files`: official before shared before packs (packs in the order given), files of one source by
   * path. The first flow of an id stays; a refused file only loses itself.
   */
  static compose(files: readonly FlowFile[], options: ComposeOptions): FlowTable {
    const definitions = new Map<string, FlowDefinition>();
    const skipped = [...(options.skipped ?? [])];
    const problems: LoadProblem[] = [];
    const events: AuditEvent[] = [];
    const ts = isoTime((options.clock ?? systemClock).now());
    const note = (source: FlowSource, found: readonly LoadProblem[]): void => {
      problems.push(...found);
      events.push(...securityEvents(found, source));
      const refusal = found.find((problem) => problem.severity === "error");
      if (refusal === undefined) return;
      const { code, message: reason } = refusal;
      skipped.push({ source: source.source, pack_id: source.pack_id, file: source.file, code, reason, count: 1, ts });
    };
    const parsedFiles = options.parsed ?? new ParsedFiles(options);
    for (const file of sortFiles(files)) {
      const { source } = file;
      const parsed = parsedFiles.flow(file);
      const found = [...parsed.problems];
      const taken = parsed.flow === null ? undefined : definitions.get(parsed.flow.flow_id);
      if (parsed.flow !== null && taken !== undefined) found.push(duplicate(parsed.flow, taken));
      else if (parsed.flow !== null) definitions.set(parsed.flow.flow_id, parsed.flow);
      note(source, found);
    }
    const loaded = loadModifiers(sortFiles(options.modifiers ?? []), parsedFiles, note);
    const surroundings = { ...(options.surroundings ?? NO_SURROUNDINGS), handlers: options.handlers };
    const flows = new Map<string, ComposedFlow>();
    const targetedBy = createTargetIndex(loaded, surroundings.facts);
    for (const definition of definitions.values()) {
      const { composed, problems: found } = composeModified(definition, options.blocks, targetedBy(definition.flow_id), surroundings);
      flows.set(definition.flow_id, composed);
      problems.push(...found);
    }
    const told = tellOfModifiers(
      loaded,
      [...flows.values()].flatMap((flow) => flow.modifiers),
    );
    problems.push(...told.problems);
    return new FlowTable(flows, skipped, problems, events, told.records);
  }

  get(id: string): ComposedFlow | undefined {
    return this.#flows.get(id);
  }

  /** Every flow, by id. */
  list(): readonly ComposedFlow[] {
    return [...this.#flows.values()].sort((a, b) => compareCodePoints(a.definition.flow_id, b.definition.flow_id));
  }
}

/** Binds a parsed flow to its order, files and digest. */
export function composeFlow(definition: FlowDefinition, blocks: BlockResolver): ComposedFlow {
  return composeModified(definition, blocks, [], { ...NO_SURROUNDINGS, handlers: [] }).composed;
}

/** Binds a parsed flow with its modifiers to its order, files and digest. */
export function composeModified(
  definition: FlowDefinition,
  blocks: BlockResolver,
  modifiers: readonly ModifierDefinition[],
  surroundings: ModifierSurroundings,
): { readonly composed: ComposedFlow; readonly problems: readonly LoadProblem[] } {
  const ordering = orderSteps(definition.steps);
  const modified = applyModifiers(definition, ordering.ok ? ordering.order : [], modifiers, surroundings);
  const targets = new Map<string, BlockTarget>();
  const packs = new Map<PackId, Digest>();
  for (const step of allSteps(modified.order)) {
    if (step.principal_digest !== null) packs.set(step.principal as PackId, step.principal_digest);
    if (!isFileCall(step)) continue;
    const target = blocks.resolve(step.owner_pack, step.file);
    targets.set(step.id, target);
    if (target.found) packs.set(step.owner_pack, target.digest);
  }
  const { flow_id: flowId, source, raw } = definition;
  const changed = modified.records.some((record) => record.applied);
  const digest = jsonDigest({
    flow_id: flowId,
    source: source.source,
    pack_id: source.pack_id,
    flow: raw,
    ...(changed ? { steps: modified.order.map((step) => ({ step: step.raw, origin: modified.origins.get(step.id) })) } : {}),
    packs: Object.fromEntries(packs),
  });
  const { order, origins, removed, records, problems } = modified;
  return { composed: { definition, order, digest, packs, targets, origins, removed, modifiers: records }, problems };
}

function isFileCall(step: Step): step is FileCallStep {
  return step.type === "python_file_call" || step.type === "node_file_call" || step.type === "file_call";
}

function sortFiles(files: readonly FlowFile[]): FlowFile[] {
  const packOrder = new Map<string, number>();
  for (const { source } of files) if (!packOrder.has(source.pack_id ?? "")) packOrder.set(source.pack_id ?? "", packOrder.size);
  const place = (source: FlowSource): number => packOrder.get(source.pack_id ?? "") ?? 0;
  return files.toSorted(
    (a, b) =>
      RANK[a.source.source] - RANK[b.source.source] || place(a.source) - place(b.source) || compareCodePoints(a.source.file, b.source.file),
  );
}

function duplicate(flow: FlowDefinition, taken: FlowDefinition): LoadProblem {
  const { source, file } = taken.source;
  const id: FlowId = flow.flow_id;
  return {
    code: "flow.duplicate_id",
    severity: "error",
    file: flow.source.file,
    path: "flow_id",
    line: 1,
    column: 1,
    message: `flow_id must be free, got ${id}, which ${file} (${source}) already has`,
  };
}

function securityEvents(problems: readonly LoadProblem[], source: FlowSource): AuditEvent[] {
  return problems
    .filter((problem) => problem.code === "flow.handler_not_allowed" || problem.code === "flow.principal_id_overridden")
    .map((problem) => ({
      category: "security",
      severity: "warning",
      action: problem.code.slice("flow.".length),
      success: false,
      ...(source.pack_id === null ? {} : { owner_pack: source.pack_id }),
      rejection_reason: problem.message,
      details: { file: problem.file, path: problem.path, source: source.source },
    }));
}
