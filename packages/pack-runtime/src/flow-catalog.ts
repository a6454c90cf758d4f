import type { PackApprovals } from "@rumi/approval";
import type { AuditSink, Clock, DiagnosticsSink, FlowId, Logger, PackId, Refusal } from "@rumi/core";
import { FlowTable, MAX_MODIFIER_FILE_BYTES, ParsedFiles } from "@rumi/flow-engine";
import type {
  BlockResolver,
  ClosedFlows,
  FlowFile,
  KernelHandler,
  LoadProblem,
  ModifierFacts,
  ModifierRights,
  SkipRecord,
} from "@rumi/flow-engine";
import { statTree } from "@rumi/safe-files";
import { listFlowFiles } from "./flow-files.ts";
import { FlowSources } from "./flow-sources.ts";
import type { FlowSourceFiles, FlowSourcesOptions, LivePack } from "./flow-sources.ts";
import { withLiveBlocks, withLiveConsent } from "./live-pack.ts";
import type { Timers } from "./ports.ts";
import { knownFlow } from "./review-modifiers.ts";
import type { KnownFlow } from "./review-modifiers.ts";

/** How often the shared folder is looked at; a look reads names and times only. */
const SHARED_LOOK_MS = 1_000;
/** Says that flows in a folder of the old layout are not loaded. Source: page "Flows", section 2, word for word. */
export const LEGACY_PATH_WARNING = "WARNING: Using legacy flow path. This is DEPRECATED and will be removed.";

/** What one load found. */
export interface FlowLoad {
  readonly flows: number;
  readonly problems: readonly LoadProblem[];
  readonly skipped: readonly SkipRecord[];
}

export interface FlowCatalogDeps {
  readonly approvals: Pick<PackApprovals, "approved" | "list" | "gate">;
  readonly blocks: BlockResolver;
  readonly handlers: () => readonly KernelHandler[];
  /** What decides about modifiers. Absent: no right is held, nothing required is there. */
  readonly modifiers?: { readonly rights: ModifierRights; readonly facts: ModifierFacts };
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
}

export interface FlowCatalogOptions extends Omit<FlowSourcesOptions, "maxModifierBytes"> {
  /** `RUMI_MAX_MODIFIER_FILE_BYTES`. */
  readonly maxModifierBytes?: number;
  /** Folders of the old layout that are only warned about. */
  readonly legacyFolders: readonly string[];
}

/** Files to be looked at as if they were there. */
export interface FlowChange {
  /** A shared flow by its file, or null: without it. */
  readonly sharedFlow?: { readonly file: string; readonly text: string | null };
  readonly sharedModifier?: { readonly file: string; readonly text: string | null };
  /** A pack's folder as it lies there, approved or not. */
  readonly livePack?: string;
}

/**
 * Reads the flow files of the installation, of the operator and of the approved packs, and holds the table made of them.
 * The table is swapped whole; runs keep the one they began with. A bad file is left out alone.
 */
export class FlowCatalog implements AsyncDisposable, ClosedFlows {
  readonly #deps: FlowCatalogDeps;
  readonly #options: FlowCatalogOptions;
  readonly #sources: FlowSources;
  #parsed: ParsedFiles | null = null;
  #files: FlowSourceFiles = { flows: [], modifiers: [], skipped: [] };
  #listeners: (() => void)[] = [];
  #table = FlowTable.empty;
  #last: FlowLoad = { flows: 0, problems: [], skipped: [] };
  #sharedSeen = "";
  #running: Promise<FlowLoad> | null = null;
  #next: Promise<FlowLoad> | null = null;
  #stopLook: (() => void) | null = null;
  #reported = new Set<string>();
  #closed = false;

  constructor(deps: FlowCatalogDeps, options: FlowCatalogOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#sources = new FlowSources(deps, { ...options, maxModifierBytes: options.maxModifierBytes ?? MAX_MODIFIER_FILE_BYTES });
  }

  /** The flows that could run now. */
  get table(): FlowTable {
    return this.#table;
  }

  /** What the last load found. */
  get last(): FlowLoad {
    return this.#last;
  }

  /** Loads, then looks at the shared folder from time to time. */
  async start(): Promise<FlowLoad> {
    const load = await this.reload();
    this.#lookLater();
    return load;
  }

  /** Reads everything anew. A call during a load gets the one after it, which sees what is on disk now. */
  reload(): Promise<FlowLoad> {
    if (this.#next !== null) return this.#next;
    const turn = async (): Promise<FlowLoad> => {
      await this.#running?.catch(() => undefined);
      this.#next = null;
      const work = this.#load();
      this.#running = work;
      return work;
    };
    this.#next = turn();
    return this.#next;
  }

  /** Makes sure that what was just allowed is in the table: a flow file put into the shared folder, a pack's approval. */
  async find(flowId: FlowId): Promise<void> {
    if (this.#table.get(flowId) !== undefined) return;
    const pack = packOf(flowId);
    const leftOut = this.#last.skipped.some((skip) => skip.file === null && skip.pack_id === pack);
    if ((leftOut && this.#deps.approvals.gate(pack).allowed) || (await this.#sharedNow()) !== this.#sharedSeen) await this.reload();
  }

  /** Why a flow below the id of a pack that may not run is not in the table. Its files stay unopened: any such id counts as its. */
  refusal(flowId: string): Refusal | null {
    const gate = this.#deps.approvals.gate(packOf(flowId));
    return gate.allowed || gate.because === "absent" ? null : gate;
  }

  /** Runs `listener` after every load. */
  onLoad(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** The table as it would be after a change; nothing is published. Null: there is no such pack. */
  async preview(change: FlowChange): Promise<FlowTable | null> {
    const files = await this.#sources.read();
    let { flows, modifiers } = files;
    let live: LivePack | null = null;
    if (change.sharedFlow !== undefined) flows = withShared(flows, change.sharedFlow);
    if (change.sharedModifier !== undefined) modifiers = withShared(modifiers, change.sharedModifier);
    if (change.livePack !== undefined) {
      live = await this.#sources.readLive(change.livePack);
      if (live === null) return null;
      const others = (all: readonly FlowFile[]): FlowFile[] => all.filter(({ source }) => source.pack_id !== change.livePack);
      flows = [...others(flows), ...live.flows];
      modifiers = [...others(modifiers), ...live.modifiers];
    }
    return this.#compose({ flows, modifiers, skipped: files.skipped }, live);
  }

  /** The file that holds a shared flow or modifier, relative to the shared folder; null when none does. */
  sharedFile(kind: "flow" | "modifier", id: string): string | null {
    if (kind === "flow") {
      const source = this.#table.get(id)?.definition.source;
      return source?.source === "shared" ? source.file : null;
    }
    const written = new RegExp(`^modifier_id:\\s*["']?${id.replaceAll(/[.]/gu, String.raw`\.`)}["']?\\s*(?:#.*)?$`, "mu");
    return this.#files.modifiers.find(({ text, source }) => source.source === "shared" && written.test(text))?.source.file ?? null;
  }

  /** What each flow writes, for the review of modifiers. */
  knownFlows(): KnownFlow[] {
    return this.#table.list().flatMap((flow) => knownFlow(flow.definition.raw) ?? []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#stopLook?.();
    await this.#running?.catch(() => undefined);
  }

  #lookLater(): void {
    if (this.#closed) return;
    this.#stopLook = this.#deps.timers.after(SHARED_LOOK_MS, () => {
      void this.#look()
        .catch((cause: unknown) => this.#deps.logger.log("warn", "the shared flows could not be looked at", { error: String(cause) }))
        .finally(() => this.#lookLater());
    });
  }

  async #look(): Promise<void> {
    if ((await this.#sharedNow()) !== this.#sharedSeen) await this.reload();
  }

  async #sharedNow(): Promise<string> {
    return statTree(this.#options.sharedFolder).catch(() => "");
  }

  async #load(): Promise<FlowLoad> {
    const seen = await this.#sharedNow();
    const files = await this.#sources.read();
    await this.#parsedFiles().prepare(files.flows, files.modifiers);
    const table = this.#compose(files);
    const legacy = await this.#legacyProblems();
    const before = this.#table;
    this.#files = files;
    this.#table = table;
    this.#sharedSeen = seen;
    this.#last = { flows: table.list().length, problems: [...table.problems, ...legacy], skipped: table.skipped };
    await this.#tell();
    await this.#tellModifiers(before);
    for (const listener of this.#listeners) listener();
    return this.#last;
  }

  /** `live`: a pack that is taken as it lies in its folder, as if it were approved so. */
  #compose(files: FlowSourceFiles, live: LivePack | null = null): FlowTable {
    const { clock, modifiers } = this.#deps;
    const parsed = this.#parsedFiles();
    const blocks = live === null ? this.#deps.blocks : withLiveBlocks(this.#deps.blocks, live);
    const rights = live === null || modifiers === undefined ? modifiers?.rights : withLiveConsent(modifiers.rights, live);
    return FlowTable.compose(files.flows, {
      blocks,
      handlers: parsed.handlers,
      skipped: files.skipped,
      modifiers: files.modifiers,
      ...(modifiers === undefined || rights === undefined ? {} : { surroundings: { ...modifiers, rights } }),
      parsed,
      clock,
    });
  }

  /** What files parse to: the same files and the same handlers give the same. */
  #parsedFiles(): ParsedFiles {
    const handlers = this.#deps.handlers();
    const { maxFileBytes, maxModifierBytes } = this.#options;
    if (this.#parsed?.handlers !== handlers) {
      this.#parsed = new ParsedFiles({ handlers, maxFileBytes, ...(maxModifierBytes === undefined ? {} : { maxModifierBytes }) });
    }
    return this.#parsed;
  }

  async #legacyProblems(): Promise<LoadProblem[]> {
    const problems: LoadProblem[] = [];
    for (const folder of this.#options.legacyFolders) {
      for (const file of await listFlowFiles(folder)) {
        problems.push({ code: "flow.legacy_path", severity: "warning", file, path: "", line: 1, column: 1, message: LEGACY_PATH_WARNING });
      }
    }
    return problems;
  }

  /** What modifiers do to flows, recorded when it changes. */
  async #tellModifiers(before: FlowTable): Promise<void> {
    const known = new Set(before.modifiers.map((record) => JSON.stringify(record)));
    for (const record of this.#table.modifiers) {
      if (known.has(JSON.stringify(record))) continue;
      await this.#deps.audit.record({
        category: "modifier_application",
        action: "modifier_application",
        success: record.applied,
        flow_id: record.target_flow_id,
        modifier_id: record.modifier_id,
        ...(record.pack_id === null ? {} : { owner_pack: record.pack_id }),
        ...(record.skipped_reason === null ? {} : { rejection_reason: record.skipped_reason }),
        details: { ...record },
      });
    }
  }

  /** Diagnostics for each file's error, audit for what a flow must not even ask; each told once while it lasts. */
  async #tell(): Promise<void> {
    const now = new Set<string>();
    for (const problem of this.#last.problems) {
      const key = `${problem.code} ${problem.file} ${problem.path}`;
      now.add(key);
      if (this.#reported.has(key)) continue;
      if (problem.code === "flow.legacy_path") this.#deps.logger.log("warn", LEGACY_PATH_WARNING, { file: problem.file });
      this.#deps.diagnostics.report({
        kind: "flow_file",
        id: problem.file,
        status: problem.severity === "error" ? "failed" : "degraded",
        code: problem.code,
        message: problem.path === "" ? problem.message : `${problem.path}: ${problem.message}`,
      });
    }
    for (const event of this.#table.securityEvents) {
      const key = JSON.stringify(event);
      now.add(key);
      if (!this.#reported.has(key)) await this.#deps.audit.record(event);
    }
    this.#reported = now;
  }
}

/** The files with one shared file in another form, or without it. */
function withShared(files: readonly FlowFile[], change: { readonly file: string; readonly text: string | null }): FlowFile[] {
  const rest = files.filter(({ source }) => source.source !== "shared" || source.file !== change.file);
  if (change.text === null) return rest;
  return [...rest, { text: change.text, source: { source: "shared", pack_id: null, file: change.file } }];
}

/** The only pack whose own flow could have this id: a pack id has no dot. */
function packOf(flowId: string): PackId {
  return flowId.slice(0, `${flowId}.`.indexOf(".")) as PackId;
}
