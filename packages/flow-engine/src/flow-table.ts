import type { AuditEvent, Clock, Digest, FlowId, PackId } from "@rumi/core";
import { isoTime, jsonDigest, systemClock } from "@rumi/core";
import { compareCodePoints } from "./evaluate-condition.ts";
import type { FileCallStep, FlowDefinition, FlowSource, LoadProblem, Step } from "./definition.ts";
import { orderSteps } from "./order.ts";
import { parseFlow } from "./parse-flow.ts";
import type { BlockResolver, BlockTarget, KernelHandler } from "./ports.ts";
import { allSteps } from "./walk-steps.ts";

/** A flow file as read. `text` is untrusted. */
export interface FlowFile {
  readonly text: string;
  readonly source: FlowSource;
}

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
  /** Effective digest: the flow and the snapshots of its packs. */
  readonly digest: Digest;
  readonly packs: ReadonlyMap<PackId, Digest>;
  /** What each file-call step runs, by step id. */
  readonly targets: ReadonlyMap<string, BlockTarget>;
}

export interface ComposeOptions {
  readonly blocks: BlockResolver;
  readonly handlers: readonly KernelHandler[];
  /** Skips the reader of the files already knows: packs that may not run. */
  readonly skipped?: readonly SkipRecord[];
  readonly maxFileBytes?: number;
  readonly clock?: Clock;
}

const RANK: Readonly<Record<FlowSource["source"], number>> = { official: 1, shared: 2, pack: 3 };

/** All flows of one moment, immutable: it is swapped whole, and a run keeps the one it began with. */
export class FlowTable {
  readonly skipped: readonly SkipRecord[];
  readonly problems: readonly LoadProblem[];
  /** Attempts to grow rights that the files hold; to be recorded when the table is taken into use. */
  readonly securityEvents: readonly AuditEvent[];
  readonly #flows: ReadonlyMap<string, ComposedFlow>;

  private constructor(
    flows: ReadonlyMap<string, ComposedFlow>,
    skipped: readonly SkipRecord[],
    problems: readonly LoadProblem[],
    securityEvents: readonly AuditEvent[],
  ) {
    this.#flows = flows;
    this.skipped = skipped;
    this.problems = problems;
    this.securityEvents = securityEvents;
  }

  /** A table without flows. */
  static readonly empty = new FlowTable(new Map(), [], [], []);

  /**
   * Composes the flows of `files`: official before shared before packs (packs in the order given), files of one source by
   * path. The first flow of an id stays; a refused file only loses itself.
   */
  static compose(files: readonly FlowFile[], options: ComposeOptions): FlowTable {
    const flows = new Map<string, ComposedFlow>();
    const skipped = [...(options.skipped ?? [])];
    const problems: LoadProblem[] = [];
    const events: AuditEvent[] = [];
    const ts = isoTime((options.clock ?? systemClock).now());
    for (const { text, source } of sortFiles(files)) {
      const parsed = parseFlow(text, source, {
        handlers: options.handlers,
        ...(options.maxFileBytes === undefined ? {} : { maxFileBytes: options.maxFileBytes }),
      });
      const found = [...parsed.problems];
      const taken = parsed.flow === null ? undefined : flows.get(parsed.flow.flow_id);
      if (parsed.flow !== null && taken !== undefined) found.push(duplicate(parsed.flow, taken));
      else if (parsed.flow !== null) flows.set(parsed.flow.flow_id, composeFlow(parsed.flow, options.blocks));
      problems.push(...found);
      events.push(...securityEvents(found, source));
      const refusal = found.find((problem) => problem.severity === "error");
      if (refusal !== undefined)
        skipped.push({
          source: source.source,
          pack_id: source.pack_id,
          file: source.file,
          code: refusal.code,
          reason: refusal.message,
          count: 1,
          ts,
        });
    }
    return new FlowTable(flows, skipped, problems, events);
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
  const ordering = orderSteps(definition.steps);
  const targets = new Map<string, BlockTarget>();
  const packs = new Map<PackId, Digest>();
  for (const step of allSteps(definition.steps)) {
    if (!isFileCall(step)) continue;
    const target = blocks.resolve(step.owner_pack, step.file);
    targets.set(step.id, target);
    if (target.found) packs.set(step.owner_pack, target.digest);
  }
  const { flow_id: flowId, source, raw } = definition;
  const digest = jsonDigest({
    flow_id: flowId,
    source: source.source,
    pack_id: source.pack_id,
    flow: raw,
    packs: Object.fromEntries(packs),
  });
  return { definition, order: ordering.ok ? ordering.order : [], digest, packs, targets };
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

function duplicate(flow: FlowDefinition, taken: ComposedFlow): LoadProblem {
  const { source, file } = taken.definition.source;
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
