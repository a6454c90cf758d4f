import { join } from "node:path";
import type { PackApprovals } from "@rumi/approval";
import { isoTime } from "@rumi/core";
import type { AuditSink, Clock, DiagnosticsSink, FlowId, Logger, PackId, Refusal } from "@rumi/core";
import { FlowTable } from "@rumi/flow-engine";
import type { BlockResolver, ClosedFlows, FlowFile, FlowSource, KernelHandler, LoadProblem, SkipRecord } from "@rumi/flow-engine";
import { findManifest, locatePack } from "@rumi/pack-manifest";
import { statTree } from "@rumi/safe-files";
import { listFlowFiles, readFlowText } from "./flow-files.ts";
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
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
}

export interface FlowCatalogOptions {
  /** Flows of the installation. */
  readonly officialFolder: string;
  /** `user_data/shared/flows`. */
  readonly sharedFolder: string;
  readonly ecosystemFolder: string;
  /** Folders of the old layout that are only warned about. */
  readonly legacyFolders: readonly string[];
  readonly maxFileBytes: number;
}

/**
 * Reads the flow files of the installation, of the operator and of the approved packs, and holds the table made of them.
 * The table is swapped whole; runs keep the one they began with. A bad file is left out alone.
 */
export class FlowCatalog implements AsyncDisposable, ClosedFlows {
  readonly #deps: FlowCatalogDeps;
  readonly #options: FlowCatalogOptions;
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
    const { approvals, blocks, clock } = this.#deps;
    const { officialFolder, sharedFolder } = this.#options;
    const ts = isoTime(clock.now());
    const seen = await this.#sharedNow();
    const files: FlowFile[] = [];
    const skipped: SkipRecord[] = [];
    const take = async (folder: string, relative: string, source: FlowSource): Promise<void> => {
      const read = await readFlowText(join(folder, relative), this.#options.maxFileBytes);
      if ("text" in read) files.push({ text: read.text, source });
      else skipped.push({ ...source, code: "flow.parse_error", reason: read.unreadable, count: 1, ts });
    };
    for (const file of await listFlowFiles(officialFolder, { recursive: false }))
      await take(officialFolder, file, { source: "official", pack_id: null, file });
    for (const file of await listFlowFiles(sharedFolder)) await take(sharedFolder, file, { source: "shared", pack_id: null, file });
    for (const pack of approvals.approved()) {
      for (const folder of flowFolders(pack.subdir)) {
        const root = join(pack.root, folder);
        for (const file of await listFlowFiles(root))
          await take(root, file, { source: "pack", pack_id: pack.pack_id, file: `${folder}/${file}` });
      }
    }
    for (const pack of approvals.list()) {
      const gate = approvals.gate(pack.pack_id as PackId);
      if (gate.allowed) continue;
      const count = await this.#countLive(pack.pack_id);
      if (count > 0)
        skipped.push({ source: "pack", pack_id: pack.pack_id as PackId, file: null, code: gate.code, reason: gate.because, count, ts });
    }
    const table = FlowTable.compose(files, {
      blocks,
      handlers: this.#deps.handlers(),
      skipped,
      maxFileBytes: this.#options.maxFileBytes,
      clock,
    });
    const legacy = await this.#legacyProblems();
    this.#table = table;
    this.#sharedSeen = seen;
    this.#last = { flows: table.list().length, problems: [...table.problems, ...legacy], skipped: table.skipped };
    await this.#tell();
    return this.#last;
  }

  /** Flow files of a pack that may not run: counted by name, not opened. */
  async #countLive(packId: string): Promise<number> {
    const found = await locatePack(this.#options.ecosystemFolder, packId);
    const place = found === null ? null : await findManifest(found.folder);
    if (found === null || place === null) return 0;
    const counts = await Promise.all(
      flowFolders(place.subdir).map(async (folder) => (await listFlowFiles(join(found.folder, folder))).length),
    );
    return counts.reduce((sum, count) => sum + count, 0);
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

/** `<root>/flows`, then `<root>/backend/flows`, below the pack folder. */
function flowFolders(subdir: string): string[] {
  const base = subdir === "" ? "" : `${subdir}/`;
  return subdir === "backend" ? ["backend/flows"] : [`${base}flows`, `${base}backend/flows`];
}

/** The only pack whose own flow could have this id: a pack id has no dot. */
function packOf(flowId: string): PackId {
  return flowId.slice(0, `${flowId}.`.indexOf(".")) as PackId;
}
