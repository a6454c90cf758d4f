import { join } from "node:path";
import type { ApprovedPack, PackApprovals } from "@rumi/approval";
import { isoTime } from "@rumi/core";
import type { Clock, Digest, PackId } from "@rumi/core";
import type { FlowFile, FlowSource, SkipRecord } from "@rumi/flow-engine";
import { findManifest, locatePack } from "@rumi/pack-manifest";
import { hashTree } from "@rumi/safe-files";
import type { TreeListing } from "@rumi/safe-files";
import { listFlowFiles, listModifierFiles, readFlowText } from "./flow-files.ts";

/** The flow and modifier files of one moment. */
export interface FlowSourceFiles {
  readonly flows: readonly FlowFile[];
  readonly modifiers: readonly FlowFile[];
  /** Files that could not be read, and packs that may not run. */
  readonly skipped: readonly SkipRecord[];
}

/** A pack's folder as it lies there. Pack-controlled. */
export interface LivePack extends Pick<FlowSourceFiles, "flows" | "modifiers"> {
  readonly pack_id: PackId;
  readonly subdir: string;
  /** Null when the folder holds what no pack may hold. */
  readonly listing: TreeListing | null;
}

export interface FlowSourcesOptions {
  /** Flows of the installation. */
  readonly officialFolder: string;
  /** `user_data/shared/flows`. */
  readonly sharedFolder: string;
  readonly ecosystemFolder: string;
  readonly maxFileBytes: number;
  readonly maxModifierBytes: number;
}

/** Reads flow and modifier files: of the installation, of the operator, of approved snapshots. Text only; nothing is judged. */
export class FlowSources {
  readonly #approvals: Pick<PackApprovals, "approved" | "list" | "gate">;
  readonly #clock: Clock;
  readonly #options: FlowSourcesOptions;

  constructor(
    deps: { readonly approvals: Pick<PackApprovals, "approved" | "list" | "gate">; readonly clock: Clock },
    options: FlowSourcesOptions,
  ) {
    this.#approvals = deps.approvals;
    this.#clock = deps.clock;
    this.#options = options;
  }

  async read(): Promise<FlowSourceFiles> {
    const { officialFolder, sharedFolder } = this.#options;
    const reading = new Reading(this.#options, isoTime(this.#clock.now()));
    for (const file of await listFlowFiles(officialFolder, { recursive: false }))
      await reading.flow(officialFolder, file, { source: "official", pack_id: null, file });
    await reading.folder(sharedFolder, (file) => ({ source: "shared", pack_id: null, file }));
    for (const pack of this.#approvals.approved()) await reading.pack(pack, pack.root, pack.digest);
    for (const { pack_id: id } of this.#approvals.list()) {
      const gate = this.#approvals.gate(id as PackId);
      if (gate.allowed) continue;
      const count = await this.#countLive(id);
      if (count > 0) reading.skip({ source: "pack", pack_id: id as PackId, file: null }, gate.code, gate.because, count);
    }
    return reading;
  }

  /** Files of a pack as they lie in its folder, approved or not; null when there is no such pack. For looking at, never for running. */
  async readLive(packId: string): Promise<LivePack | null> {
    const found = await locatePack(this.#options.ecosystemFolder, packId);
    const place = found === null ? null : await findManifest(found.folder);
    if (found === null || place === null) return null;
    const reading = new Reading(this.#options, isoTime(this.#clock.now()));
    const pack = { pack_id: packId as PackId, subdir: place.subdir };
    const listing = await hashTree(found.folder).catch(() => null);
    await reading.pack(pack, found.folder, listing?.digest);
    return { ...pack, flows: reading.flows, modifiers: reading.modifiers, listing };
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
}

/** The files of one look, as they are found. */
class Reading implements FlowSourceFiles {
  readonly flows: FlowFile[] = [];
  readonly modifiers: FlowFile[] = [];
  readonly skipped: SkipRecord[] = [];
  readonly #limits: Pick<FlowSourcesOptions, "maxFileBytes" | "maxModifierBytes">;
  readonly #ts: string;

  constructor(limits: Pick<FlowSourcesOptions, "maxFileBytes" | "maxModifierBytes">, ts: string) {
    this.#limits = limits;
    this.#ts = ts;
  }

  async pack({ pack_id: packId, subdir }: Pick<ApprovedPack, "pack_id" | "subdir">, root: string, digest?: Digest): Promise<void> {
    const from = { source: "pack", pack_id: packId, ...(digest === undefined ? {} : { digest }) } as const;
    for (const folder of flowFolders(subdir)) await this.folder(join(root, folder), (file) => ({ ...from, file: `${folder}/${file}` }));
  }

  async folder(folder: string, source: (file: string) => FlowSource): Promise<void> {
    for (const file of await listFlowFiles(folder)) await this.flow(folder, file, source(file));
    for (const file of await listModifierFiles(folder))
      await this.#take(this.modifiers, folder, file, source(file), this.#limits.maxModifierBytes);
  }

  flow(folder: string, file: string, source: FlowSource): Promise<void> {
    return this.#take(this.flows, folder, file, source, this.#limits.maxFileBytes);
  }

  skip(source: Pick<SkipRecord, "source" | "pack_id" | "file">, code: string, reason: string, count: number): void {
    this.skipped.push({ ...source, code, reason, count, ts: this.#ts });
  }

  async #take(into: FlowFile[], folder: string, file: string, source: FlowSource, maxBytes: number): Promise<void> {
    const read = await readFlowText(join(folder, file), maxBytes);
    if ("text" in read) into.push({ text: read.text, source });
    else this.skip(source, "flow.parse_error", read.unreadable, 1);
  }
}

/** `<root>/flows`, then `<root>/backend/flows`, below the pack folder. */
function flowFolders(subdir: string): string[] {
  const base = subdir === "" ? "" : `${subdir}/`;
  return subdir === "backend" ? ["backend/flows"] : [`${base}flows`, `${base}backend/flows`];
}
