import type { AuditSink, Clock, DiagnosticsSink, Digest, Logger, PartStatus } from "@rumi/core";
import { checkPackId, discoverPacks, isPackId, locatePack, readPack } from "@rumi/pack-manifest";
import type { FoundPack, PackProblem } from "@rumi/pack-manifest";
import { approvalEvent } from "./approval-events.ts";
import { entryStatus } from "./approval-gate.ts";
import type { ApprovedPack, PackEntry } from "./approval-gate.ts";
import { closedRecord } from "./approval-record.ts";
import type { ApprovalRecord } from "./approval-record.ts";
import { nextApprovalState } from "./approval-state.ts";
import type { ApprovalStore } from "./approval-store.ts";
import type { ChangeBoard, PackMove } from "./change-board.ts";
import type { ApprovalErrorCode } from "./errors.ts";
import type { FolderWatch } from "./folder-watch.ts";
import { changeReason, liveDigest, liveStat, readLiveTree } from "./live-tree.ts";
import type { LiveTree } from "./live-tree.ts";
import type { SnapshotStore } from "./snapshot-store.ts";
import { Turns } from "./turns.ts";

/** Packs looked at side by side. */
const PARALLEL_LOOKS = 4;

export interface PackBookDeps {
  readonly ecosystemFolder: string;
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly store: ApprovalStore;
  readonly snapshots: SnapshotStore;
  readonly board: ChangeBoard;
  readonly folders: () => FolderWatch;
  /** Whether an approval of this origin still counts at this start. */
  readonly isVoid: (record: ApprovalRecord) => boolean;
  /** The digest of a pack that the gate lets run now. */
  readonly openDigest: (id: string) => Digest | null;
  /** Called after each look, in the pack's turn. */
  readonly looked: (entry: PackEntry, changes: PackMove[]) => Promise<void>;
}

/** What is known of every pack, and how it is brought in line with the disk. All writes to an entry happen in its turn. */
export class PackBook {
  readonly entries = new Map<string, PackEntry>();
  readonly #deps: PackBookDeps;
  readonly #turns = new Turns();
  /** What was last reported of folders that are no packs. */
  #folderWarnings: ReadonlyMap<string, string> = new Map();

  constructor(deps: PackBookDeps) {
    this.#deps = deps;
  }

  /** Runs `work` in the pack's turn, and tells its changes when the turn is over, however it ended. */
  async act<T>(id: string, work: (changes: PackMove[]) => Promise<T>): Promise<T> {
    const changes: PackMove[] = [];
    try {
      return await this.#turns.take(id, () => work(changes));
    } finally {
      await this.tell(changes);
    }
  }

  /** Tells changes, also for children, whose gate moves with their parent's. */
  async tell(changes: readonly PackMove[]): Promise<void> {
    const records = [...this.entries.values()].flatMap(({ record }) => record ?? []);
    const moves = changes.flatMap((change): PackMove[] => {
      const children = records.filter((record) => record.pack_id.startsWith(`${change.pack_id}__`));
      return [change, ...children.map(({ pack_id, state }) => ({ pack_id, status: state, reason: "ancestor" }))];
    });
    await this.#deps.board.tell(moves.map((move) => ({ ...move, digest: this.#deps.openDigest(move.pack_id) })));
  }

  /**
   * Brings what is known of a pack in line with its folder, in its turn. `force`: re-hash even when nothing seems
   * touched. Null: there is no such folder and no record.
   */
  async look(id: string, force: boolean, changes: PackMove[]): Promise<PackEntry | null> {
    const found = await locatePack(this.#deps.ecosystemFolder, id);
    const entry = this.entries.get(id) ?? (await this.#load(id, found !== null, changes));
    if (entry === null) return null;
    if (force) await this.#checkRecord(entry, changes);
    if (found === null) return this.#folderGone(entry, changes);
    if (force || !(await this.#isUntouched(entry, found))) {
      await this.#deps.folders().watchPack(id, found.folder);
      const live = await readLiveTree(found);
      // It went while it was read.
      if (live.listing === null && (await locatePack(this.#deps.ecosystemFolder, id)) === null) return this.#folderGone(entry, changes);
      await this.take(entry, live, changes);
    }
    this.#judge(entry);
    await this.#deps.looked(entry, changes);
    return entry;
  }

  /** Looks at every folder and every known pack. Answers how many folders hold a pack. */
  async sweep(force: boolean, more: Iterable<string> = []): Promise<number> {
    await this.#deps.folders().watchRoots();
    const { found, warnings } = await discoverPacks(this.#deps.ecosystemFolder);
    this.#reportFolders(warnings);
    const queue = [...new Set([...this.entries.keys(), ...found.map((pack) => pack.pack_id), ...more])].sort();
    const worker = async (): Promise<void> => {
      for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
        const next = id;
        // One pack that cannot be looked at hinders no other.
        await this.act(next, (changes) => this.look(next, force, changes)).catch((cause: unknown) => {
          this.#deps.logger.log("error", "a pack could not be looked at", { pack_id: next, cause: String(cause) });
        });
      }
    };
    await Promise.all(Array.from({ length: PARALLEL_LOOKS }, worker));
    return found.length;
  }

  /** Says what is wrong with folders that are no packs: once when it is seen, once when it is over. */
  #reportFolders(warnings: readonly PackProblem[]): void {
    const now = new Map(warnings.map(({ file, message }) => [file, message]));
    for (const { file, code, message } of warnings) {
      if (this.#folderWarnings.get(file) === message) continue;
      this.#deps.diagnostics.report({ kind: "pack_folder", id: file, status: "degraded", code, message });
    }
    for (const file of this.#folderWarnings.keys()) {
      if (!now.has(file)) this.#deps.diagnostics.report({ kind: "pack_folder", id: file, status: "ok", message: "in order" });
    }
    this.#folderWarnings = now;
  }

  /** Sets what was decided, after it was written. */
  decide(entry: PackEntry, record: ApprovalRecord, open: ApprovedPack | null, changes: PackMove[]): void {
    entry.record = record;
    entry.tampered = null;
    entry.open = open;
    changes.push({ pack_id: entry.id, status: record.state, reason: record.reason });
  }

  /** Closes an approved pack in memory first, then on disk; a record that cannot be written leaves it closed all the same. */
  async close(entry: PackEntry, event: "tree_differs" | "distrust" | "folder_gone", reason: string, changes: PackMove[]): Promise<void> {
    const { record } = entry;
    entry.open = null;
    if (record === null || record.state !== "approved") return;
    const step = nextApprovalState(record.state, event === "tree_differs" ? { type: event, valid: true } : { type: event });
    if (!step.ok || step.state !== "modified") return;
    const seen = liveDigest(entry.live);
    const closed = closedRecord(record.pack_id, record, { state: "modified", reason, by: "rumid", seen }, this.#deps.clock);
    this.decide(entry, closed, null, changes);
    this.report(entry.id, "disabled", `Pack is not approved: ${reason}`, "approval.modified", `rumi pack review ${entry.id}`);
    try {
      const details = { reason, digest: seen, approved: record.digest };
      await this.#deps.store.write(closed, [approvalEvent("modified", record.pack_id, details, "warning")]);
    } catch (cause) {
      this.#deps.logger.log("error", "a pack was closed, but its record could not be written", { pack_id: entry.id, cause: String(cause) });
    }
  }

  /** Ids a newcomer is held against: packs with a record, and its own once it was approved. */
  knownBefore(entry: PackEntry): string[] {
    const others = [...this.entries.values()].filter(
      (other) => other.id !== entry.id && (other.record !== null || other.tampered !== null),
    );
    const isOld = entry.tampered !== null || (entry.record !== null && entry.record.digest !== null);
    return [...(isOld ? [entry.id] : []), ...others.map((other) => other.id)];
  }

  /** A critical entry for a file that cannot be trusted. */
  async reportTampered(id: string, kind: string, reason: string, remedy: string): Promise<void> {
    this.#deps.diagnostics.report({
      kind: "pack",
      id,
      status: "failed",
      code: "safe_files.record_tampered",
      message: `${kind}: ${reason}`,
      remedy,
    });
    const details = { kind, reason };
    await this.#deps.audit.record({
      category: "security",
      severity: "critical",
      action: "record_tampered",
      success: false,
      owner_pack: id,
      details,
    });
  }

  /** How a pack is, for diagnostics. */
  report(id: string, status: PartStatus, message: string, code?: ApprovalErrorCode, remedy?: string): void {
    this.#deps.diagnostics.report({
      kind: "pack",
      id,
      status,
      message,
      ...(code === undefined ? {} : { code }),
      ...(remedy === undefined ? {} : { remedy }),
    });
  }

  async #isUntouched(entry: PackEntry, found: FoundPack): Promise<boolean> {
    const { live } = entry;
    return live !== null && live.folder === found.folder && live.stat !== null && live.stat === (await liveStat(found.folder));
  }

  /** Takes in what was read, and closes an approved pack that has other bytes. */
  async take(entry: PackEntry, live: LiveTree, changes: PackMove[]): Promise<void> {
    const before = entryStatus(entry)?.status;
    entry.live = live;
    this.#judge(entry);
    const { record } = entry;
    if (record?.state === "approved" && liveDigest(live) !== record.digest) {
      await this.close(entry, "tree_differs", changeReason(live), changes);
      return;
    }
    const stands = entryStatus(entry);
    if (stands !== null && stands.status !== before) changes.push({ pack_id: entry.id, ...stands });
  }

  /** First sight of a pack: its record, and the snapshot that the record names. */
  async #load(id: string, hasFolder: boolean, changes: PackMove[]): Promise<PackEntry | null> {
    const entry: PackEntry = { id, live: null, record: null, tampered: null, lookalike: null, open: null };
    const stored = isPackId(id) ? await this.#deps.store.read(id) : null;
    if (stored?.state === "ok") entry.record = stored.record;
    if (stored?.state === "tampered") await this.#distrust(entry, stored.reason, changes);
    if (entry.record === null && entry.tampered === null && !hasFolder) return null;
    if (isPackId(id)) await this.#deps.snapshots.sweep(id);
    if (entry.record?.state === "approved") await this.#open(entry, entry.record, changes);
    this.entries.set(id, entry);
    return entry;
  }

  /** A record that was spoiled while the daemon ran. */
  async #checkRecord(entry: PackEntry, changes: PackMove[]): Promise<void> {
    if (!isPackId(entry.id) || entry.tampered !== null) return;
    const stored = await this.#deps.store.read(entry.id);
    if (stored.state === "tampered") await this.#distrust(entry, stored.reason, changes);
  }

  async #distrust(entry: PackEntry, reason: string, changes: PackMove[]): Promise<void> {
    entry.tampered = reason;
    entry.record = null;
    entry.open = null;
    changes.push({ pack_id: entry.id, status: "modified", reason: "record_tampered" });
    await this.reportTampered(entry.id, "approval", reason, `rumi pack review ${entry.id}`);
  }

  async #open(entry: PackEntry, record: ApprovalRecord, changes: PackMove[]): Promise<void> {
    if (this.#deps.isVoid(record)) return this.close(entry, "distrust", "dev_approval_void", changes);
    const { pack_id, digest } = record;
    const snapshot = digest === null ? null : await this.#deps.snapshots.verify(pack_id, digest);
    const read = snapshot?.ok === true ? await readPack(snapshot.root, pack_id) : null;
    if (digest === null || snapshot?.ok !== true || read?.ok !== true) return this.close(entry, "distrust", "snapshot_corrupt", changes);
    entry.open = { pack_id, digest, root: snapshot.root, subdir: read.pack.subdir, listing: snapshot.listing, pack: read.pack };
  }

  async #folderGone(entry: PackEntry, changes: PackMove[]): Promise<PackEntry | null> {
    this.#deps.folders().dropPack(entry.id);
    const stands = entryStatus(entry);
    entry.live = null;
    if (entry.record === null && entry.tampered === null) {
      this.entries.delete(entry.id);
      if (stands !== null) changes.push({ pack_id: entry.id, status: "gone", reason: "missing" });
      return null;
    }
    await this.close(entry, "folder_gone", "missing", changes);
    return entry;
  }

  #judge(entry: PackEntry): void {
    const checked = checkPackId(entry.id, this.knownBefore(entry));
    entry.lookalike = !checked.ok && checked.code === "pack_manifest.lookalike" ? checked.message : null;
  }
}
