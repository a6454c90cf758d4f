import type { AuditSink, Clock, Decision, DiagnosticsSink, Digest, Logger, PackId, Random } from "@rumi/core";
import { isPackId, loadOrder } from "@rumi/pack-manifest";
import type { PackDescription, PackProblem } from "@rumi/pack-manifest";
import type { SignedFiles } from "@rumi/safe-files";
import { approvalEvent, createRefuser, packNotFound } from "./approval-events.ts";
import { decideGate, entryFault, entryStatus } from "./approval-gate.ts";
import type { ApprovedPack, GateDecision, PackEntry } from "./approval-gate.ts";
import { closedRecord, keptDigests } from "./approval-record.ts";
import type { ApprovalOrigin } from "./approval-record.ts";
import { nextApprovalState } from "./approval-state.ts";
import { ApprovalStore } from "./approval-store.ts";
import type { DisabledPacks } from "./approval-store.ts";
import { approvePack, treeUnsafe } from "./approve-pack.ts";
import type { ApproveDeps, Yes } from "./approve-pack.ts";
import { ChangeBoard } from "./change-board.ts";
import type { PackListener, PackMove } from "./change-board.ts";
import { isDevApprovalOn, mayApproveItself, NO_DEV_APPROVAL } from "./dev-approval.ts";
import type { DevApproval } from "./dev-approval.ts";
import { ApprovalError } from "./errors.ts";
import type { ApprovalCode } from "./errors.ts";
import { liveDigest } from "./live-tree.ts";
import { Lookout } from "./lookout.ts";
import { PackBook } from "./pack-book.ts";
import { reviewPack } from "./pack-review.ts";
import type { PackReview } from "./pack-review.ts";
import { packState, packSummary } from "./pack-views.ts";
import type { ApproveAnswer, PackState, PackSummary, RejectAnswer, ScanAnswer } from "./pack-views.ts";
import type { PackFacts, ReviewReader } from "./ports.ts";
import { SnapshotStore } from "./snapshot-store.ts";
import { Turns } from "./turns.ts";

export interface PackApprovalsDeps {
  readonly ecosystemFolder: string;
  readonly userData: string;
  /** Loaded already. */
  readonly signed: SignedFiles;
  readonly audit: AuditSink;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
  readonly reviewReader: ReviewReader;
  readonly logger: Logger;
  readonly facts?: PackFacts;
  readonly random?: Random;
}

export interface PackApprovalsOptions {
  /** Left out: no pack ever approves itself. */
  readonly dev?: DevApproval;
  /** Milliseconds between two polls of all folders. */
  readonly pollMs?: number;
  /** As `process.platform`. */
  readonly platform?: string;
}

/**
 * Decides whether a pack's code may run at all, and from which bytes. Approval binds to bytes: what an operator said
 * yes to is copied once, and only that copy is ever executed. An edit under `ecosystem/` closes the gate.
 */
export class PackApprovals implements AsyncDisposable {
  readonly #deps: PackApprovalsDeps;
  readonly #dev: DevApproval;
  readonly #store: ApprovalStore;
  readonly #snapshots: SnapshotStore;
  readonly #board: ChangeBoard;
  readonly #book: PackBook;
  readonly #approveDeps: ApproveDeps;
  readonly #lookout: Lookout;
  readonly #switching = new Turns();
  #disabled: DisabledPacks = { all: true };

  constructor(deps: PackApprovalsDeps, options: PackApprovalsOptions = {}) {
    this.#deps = deps;
    this.#dev = options.dev ?? NO_DEV_APPROVAL;
    this.#store = new ApprovalStore(deps);
    this.#snapshots = new SnapshotStore(deps);
    this.#board = new ChangeBoard(deps.logger);
    this.#book = new PackBook({
      ...deps,
      store: this.#store,
      snapshots: this.#snapshots,
      board: this.#board,
      folders: () => this.#lookout.folders,
      isVoid: (record) => record.origin === "dev" && !isDevApprovalOn(this.#dev),
      openDigest: (id) => {
        const gate = isPackId(id) ? this.gate(id) : null;
        return gate?.allowed === true ? gate.digest : null;
      },
      looked: (entry, changes) => this.#approveItself(entry, changes),
    });
    this.#approveDeps = { ...deps, book: this.#book, store: this.#store, snapshots: this.#snapshots };
    this.#lookout = new Lookout(
      {
        ecosystem: deps.ecosystemFolder,
        logger: deps.logger,
        look: async (id) => void (await this.#look(id)),
        sweep: async () => void (await this.#book.sweep(false)),
      },
      options,
    );
  }

  /** Loads the records, re-hashes every snapshot and live folder, collects garbage, and starts to watch. */
  async start(): Promise<void> {
    this.#disabled = await this.#store.readDisabled();
    if (this.#disabled.all)
      await this.#book.reportTampered("-", "disabled_packs", "every pack is switched off; switch each on again", "rumi pack list");
    const recorded = await this.#store.ids();
    await this.#book.sweep(true, recorded);
    for (const id of recorded) await this.#book.act(id, () => this.#collect(this.#book.entries.get(id)));
    this.#lookout.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lookout[Symbol.asyncDispose]();
    this.#board.clear();
  }

  /** May this pack run, and from which bytes? Memory only. With `digest`: only if these bytes are the approved ones. */
  gate(packId: PackId, digest?: Digest): GateDecision {
    return decideGate(this.#book.entries, this.#disabled, packId, digest);
  }

  /** Who said the yes that a pack has or had; null: nobody did. Memory only. */
  origin(packId: PackId): ApprovalOrigin | null {
    return this.#book.entries.get(packId)?.record?.origin ?? null;
  }

  /** Re-hashes the snapshot on disk. Other bytes than the approved ones close the pack, reason `snapshot_corrupt`. */
  async verifySnapshot(packId: PackId, digest: Digest): Promise<Decision<object, ApprovalCode>> {
    if ((await this.#snapshots.verify(packId, digest)).ok) return { allowed: true };
    // Once more in the pack's turn: an approval may have been mending it.
    const found = await this.#book.act(packId, async (changes) => {
      const again = await this.#snapshots.verify(packId, digest);
      const entry = this.#book.entries.get(packId);
      if (!again.ok && entry?.record?.digest === digest) await this.#book.close(entry, "distrust", "snapshot_corrupt", changes);
      return again;
    });
    if (found.ok) return { allowed: true };
    const reason = `the approved copy of ${packId} is damaged: ${found.reason}`;
    return { allowed: false, code: "approval.snapshot_corrupt", reason, remedy: `rumi pack review ${packId}` };
  }

  /** What a pack says of itself: in its approved bytes, else in its folder; null for one that is not there or cannot be read. Memory only. */
  describe(packId: string): PackDescription | null {
    const entry = this.#book.entries.get(packId);
    if (entry?.open != null) return entry.open.pack;
    return entry?.live?.read.ok === true ? entry.live.read.pack : null;
  }

  /** Keys whose overwriting the yes to a pack's present bytes listed for one of its modifiers. Memory only. */
  consentedOverwrites(packId: string, modifierId: string): ReadonlySet<string> {
    const entry = this.#book.entries.get(packId);
    const listed = entry?.open == null ? [] : (entry.record?.modifiers ?? []);
    return new Set(listed.filter((one) => one.modifier_id === modifierId).flatMap((one) => one.overwrites));
  }

  /** Packs that may run now, in load order. */
  approved(): readonly ApprovedPack[] {
    return this.#loadOrder().packs;
  }

  /** Unmet requirements and cycles among the packs that may run now. */
  loadWarnings(): readonly PackProblem[] {
    return this.#loadOrder().warnings;
  }

  /** Every known pack, from memory, by id. */
  list(): readonly PackSummary[] {
    const ids = [...this.#book.entries.keys()].sort();
    return ids.flatMap((id) => packSummary(this.#book.entries.get(id), this.#isEnabled(id)) ?? []);
  }

  /** Looks at every folder first; packs that wait for a yes. */
  async pending(): Promise<readonly PackSummary[]> {
    await this.#book.sweep(false);
    return this.list().filter((pack) => pack.status === "installed" || pack.status === "modified");
  }

  /** Reads and hashes every folder. */
  async scan(): Promise<ScanAnswer> {
    const before = new Map(this.list().map((pack) => [pack.pack_id, pack.status]));
    const scanned = await this.#book.sweep(true);
    const packs = this.list();
    const now = new Map(packs.map((pack) => [pack.pack_id, pack.status]));
    const changed = [...new Set([...before.keys(), ...now.keys()])].filter((id) => before.get(id) !== now.get(id)).sort();
    await this.#deps.audit.record({ category: "approval", action: "scan", success: true, details: { scanned, changed } });
    return { scanned, packs, changed };
  }

  /** How a pack stands, after a look at its folder. @throws ApprovalError `approval.pack_not_found` */
  async status(id: string): Promise<PackState> {
    const state = packState(await this.#look(id), this.#isEnabled(id));
    if (state === null) throw packNotFound(id);
    return state;
  }

  /** What an approval would say yes to, against the last approved snapshot. @throws ApprovalError */
  async review(id: string): Promise<PackReview> {
    const entry = await this.#look(id);
    const stands = entry === null ? null : entryStatus(entry);
    if (entry === null || stands === null || entry.live === null) throw packNotFound(id);
    const fault = entryFault(entry);
    if (!isPackId(id))
      throw new ApprovalError("pack_manifest.invalid_pack_id", fault?.message ?? "this is no pack id", { remedy: "rumi pack validate" });
    await using staged = await this.#snapshots.stage(id, entry.live.folder).catch((cause: unknown) => {
      throw treeUnsafe(cause);
    });
    const warnings = entry.lookalike === null ? [] : [entry.lookalike];
    return await reviewPack(
      { snapshots: this.#snapshots, reader: this.#deps.reviewReader },
      { id, ...stands, record: entry.record, staged, warnings },
    );
  }

  /**
   * Says yes to the bytes in the pack's folder: they are copied, hashed as they are copied, checked, and recorded.
   * With `expected_digest`: only if they are these.
   * @throws ApprovalError, RumiError `audit.unavailable`: nothing changed.
   */
  async approve(
    id: string,
    options: { readonly expected_digest?: string; readonly unblock?: boolean; readonly notes?: string; readonly actor: string },
  ): Promise<ApproveAnswer> {
    const { expected_digest, actor, notes = null, unblock = false } = options;
    return this.#approve(id, { expected_digest, by: actor, origin: "operator", notes }, unblock);
  }

  /**
   * The start script's one approval: only in a home without any approval record, and for exactly `digest`.
   * @throws ApprovalError otherwise: the pack stays installed.
   */
  async approveBundled(id: string, digest: Digest): Promise<ApproveAnswer> {
    return this.#approve(id, { expected_digest: digest, by: "bundled", origin: "bundled", notes: null }, false);
  }

  /** Says no: the pack is blocked until an approval that unblocks it. @throws ApprovalError `approval.pack_not_found` */
  async reject(id: string, options: { readonly reason?: string; readonly actor: string }): Promise<RejectAnswer> {
    return this.#book.act(id, async (changes) => {
      const entry = await this.#book.look(id, false, changes);
      const stands = entry === null ? null : entryStatus(entry);
      const refuse = createRefuser(this.#deps.audit, "reject", id, options.actor);
      if (entry === null || stands === null) return refuse(packNotFound(id));
      if (!isPackId(id)) {
        return refuse(
          new ApprovalError("pack_manifest.invalid_pack_id", "no record can be kept under this name", { remedy: "rumi pack validate" }),
        );
      }
      if (stands.status === "blocked") return { pack_id: id, ...stands };
      const reason = options.reason ?? null;
      const seen = liveDigest(entry.live);
      const record = closedRecord(id, entry.record, { state: "blocked", reason, by: options.actor, seen }, this.#deps.clock);
      await this.#store.write(record, [approvalEvent("reject", id, { actor: options.actor, reason, digest: seen })]);
      this.#book.decide(entry, record, null, changes);
      this.#book.report(id, "disabled", "blocked by the operator", "approval.blocked", `rumi pack approve ${id} --unblock`);
      return { pack_id: id, status: "blocked", reason };
    });
  }

  /** Switches a pack back on. @throws ApprovalError `approval.pack_not_found` */
  async enable(id: string, actor: string): Promise<{ enabled: boolean }> {
    return this.#switch(id, actor, true);
  }

  /** Switches a pack off; its bytes and its approval stay as they are. @throws ApprovalError `approval.pack_not_found` */
  async disable(id: string, actor: string): Promise<{ enabled: boolean }> {
    return this.#switch(id, actor, false);
  }

  /**
   * Tells every change, also of packs whose parent's gate may have moved (reason `ancestor`). Awaited before the act
   * that caused it is answered, when the pack's turn is over. Answers how to stop listening.
   */
  onChange(listener: PackListener): () => void {
    return this.#board.listen(listener);
  }

  #look(id: string): Promise<PackEntry | null> {
    return this.#book.act(id, (changes) => this.#book.look(id, false, changes));
  }

  #approve(id: string, yes: Yes, unblock: boolean): Promise<ApproveAnswer> {
    return this.#book.act(id, async (changes) => {
      const entry = await this.#book.look(id, false, changes);
      const stands = entry === null ? null : entryStatus(entry);
      const refuse = createRefuser(this.#deps.audit, yes.origin === "bundled" ? "bundled" : "approve", id, yes.by);
      if (entry === null || stands === null) return refuse(packNotFound(id));
      if (yes.origin === "bundled" && (await this.#hasDecided())) {
        return refuse(
          new ApprovalError("approval.not_approved", "this home already holds an approval record", { remedy: `rumi pack review ${id}` }),
        );
      }
      const step = nextApprovalState(stands.status, { type: "approve", unblock });
      if (!step.ok && step.code === "approval.blocked") {
        return refuse(new ApprovalError(step.code, `${id} is blocked`, { remedy: `rumi pack approve ${id} --unblock` }));
      }
      const answer = await approvePack(this.#approveDeps, entry, yes, changes, refuse);
      await this.#collect(entry);
      return answer;
    });
  }

  /** A developer's own pack approves itself where that was asked for. */
  async #approveItself(entry: PackEntry, changes: PackMove[]): Promise<void> {
    if (!isDevApprovalOn(this.#dev) || !isPackId(entry.id) || entryFault(entry) !== null) return;
    const stands = entryStatus(entry);
    const expected_digest = liveDigest(entry.live);
    if (stands === null || expected_digest === null || entry.live?.read.ok !== true) return;
    const { pack_identity } = entry.live.read.pack.manifest;
    const imported = this.#deps.facts?.isImported?.(entry.id) ?? false;
    if (!mayApproveItself(this.#dev, { ...stands, pack_identity, imported })) return;
    const yes: Yes = { expected_digest, by: "dev", origin: "dev", notes: null };
    try {
      const before = entry.record;
      await approvePack(this.#approveDeps, entry, yes, changes, (error) => Promise.reject(error));
      if (entry.record !== before) await this.#collect(entry);
    } catch (cause) {
      this.#deps.logger.log("warn", "a local pack could not approve itself", { pack_id: entry.id, cause: String(cause) });
    }
  }

  async #hasDecided(): Promise<boolean> {
    const known = [...this.#book.entries.values()].some((entry) => entry.record !== null || entry.tampered !== null);
    return known || (await this.#store.ids()).length > 0;
  }

  async #switch(id: string, actor: string, enabled: boolean): Promise<{ enabled: boolean }> {
    const entry = await this.#look(id);
    const action = enabled ? "enable" : "disable";
    if (entry === null) return createRefuser(this.#deps.audit, action, id, actor)(packNotFound(id));
    await this.#switching.take("disabled_packs", async () => {
      const ids = new Set(this.#disabled.all ? this.#book.entries.keys() : this.#disabled.ids);
      if (enabled) ids.delete(id);
      else ids.add(id);
      await this.#store.writeDisabled(ids, approvalEvent(action, id, { actor }));
      this.#disabled = { all: false, ids };
    });
    const stands = entryStatus(entry);
    if (stands !== null) await this.#book.tell([{ pack_id: id, status: stands.status, reason: action }]);
    return { enabled };
  }

  /** Removes snapshots that are neither current, nor among the last approved, nor in use. */
  async #collect(entry: PackEntry | undefined): Promise<void> {
    if (entry === undefined || entry.record === null || entry.tampered !== null) return;
    const { pack_id } = entry.record;
    try {
      const used = (await this.#deps.facts?.digestsInUse?.(pack_id)) ?? [];
      const snapshots = await this.#snapshots.collect(pack_id, new Set([...keptDigests(entry.record), ...used]));
      if (snapshots.length > 0)
        await this.#deps.audit.record({ category: "system", action: "gc", success: true, owner_pack: pack_id, details: { snapshots } });
    } catch (cause) {
      this.#deps.logger.log("warn", "old snapshots could not be removed", { pack_id, cause: String(cause) });
    }
  }

  #loadOrder(): { packs: ApprovedPack[]; warnings: readonly PackProblem[] } {
    const open = new Map<string, ApprovedPack>();
    for (const { open: pack } of this.#book.entries.values()) {
      if (pack !== null && this.gate(pack.pack_id).allowed) open.set(pack.pack_id, pack);
    }
    const { order, warnings } = loadOrder([...open.values()].map((pack) => pack.pack));
    return { packs: order.flatMap((id) => open.get(id) ?? []), warnings };
  }

  #isEnabled(id: string): boolean {
    return !this.#disabled.all && !this.#disabled.ids.has(id);
  }
}
