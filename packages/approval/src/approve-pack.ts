import type { Clock, Digest } from "@rumi/core";
import { checkPackId, readPack } from "@rumi/pack-manifest";
import type { PackDescription } from "@rumi/pack-manifest";
import { approvalEvent } from "./approval-events.ts";
import type { Refuser } from "./approval-events.ts";
import { entryFault, entryStatus } from "./approval-gate.ts";
import type { PackEntry } from "./approval-gate.ts";
import { APPROVE_ACTIONS, approvedRecord } from "./approval-record.ts";
import type { ApprovalOrigin } from "./approval-record.ts";
import type { ApprovalStore } from "./approval-store.ts";
import type { PackMove } from "./change-board.ts";
import { ApprovalError } from "./errors.ts";
import { liveStat, treeFault } from "./live-tree.ts";
import type { PackBook } from "./pack-book.ts";
import type { ApproveAnswer } from "./pack-views.ts";
import type { ReviewReader } from "./ports.ts";
import type { SnapshotStore, StagedTree } from "./snapshot-store.ts";

export interface ApproveDeps {
  readonly book: PackBook;
  readonly store: ApprovalStore;
  readonly snapshots: SnapshotStore;
  readonly reviewReader: ReviewReader;
  readonly clock: Clock;
}

/** A yes, and whose it is. */
export interface Yes {
  readonly expected_digest?: string | undefined;
  readonly by: string;
  readonly origin: ApprovalOrigin;
  readonly notes: string | null;
}

/**
 * Carries a yes out, in the pack's turn: copy and hash each file once, hold the copy against what was expected, check
 * it, keep it as the snapshot, audit, record. Whatever goes wrong before the record is written changes nothing.
 */
export async function approvePack(
  deps: ApproveDeps,
  entry: PackEntry,
  yes: Yes,
  changes: PackMove[],
  refuse: Refuser,
): Promise<ApproveAnswer> {
  const { id, live } = entry;
  if (live === null)
    return await refuse(new ApprovalError("approval.pack_not_found", `the folder of ${id} is gone`, { remedy: "rumi pack list" }));
  const checked = checkPackId(id, deps.book.knownBefore(entry));
  if (!checked.ok) return await refuse(new ApprovalError(checked.code, checked.message, { remedy: "rumi pack validate" }));
  const packId = checked.id;

  const stat = await liveStat(live.folder);
  await using staged = await deps.snapshots.stage(packId, live.folder).catch((cause: unknown) => refuse(treeUnsafe(cause)));
  const { listing } = staged;
  const { digest } = listing;
  const read = await readPack(staged.root, packId);
  // Also a yes that is refused has seen the tree: an approved pack whose bytes moved since the last look closes here.
  await deps.book.take(entry, { folder: live.folder, stat, listing, unsafe: null, read }, changes);
  if (yes.expected_digest !== undefined && yes.expected_digest !== digest)
    return await refuse(digestMoved(id, yes.expected_digest, digest));
  const fault = entryFault(entry);
  if (!read.ok || fault !== null) {
    return await refuse(
      new ApprovalError(fault?.code ?? "pack_manifest.invalid", fault?.message ?? "the pack cannot be read", {
        remedy: "rumi pack validate",
      }),
    );
  }
  const { pack } = read;
  const answer: ApproveAnswer = { pack_id: id, status: "approved", digest, granted: [], stores_created: [], warnings: pack.warnings };
  if (entry.open?.digest === digest && entryStatus(entry)?.status === "approved") return answer;

  const root = await keepAndRecord(deps, entry, yes, staged, pack);
  deps.book.decide(entry, root.record, { pack_id: packId, digest, root: root.path, subdir: pack.subdir, listing, pack }, changes);
  deps.book.report(id, "ok", "approved");
  return answer;
}

async function keepAndRecord(
  deps: ApproveDeps,
  entry: PackEntry,
  yes: Yes,
  staged: StagedTree,
  pack: PackDescription,
): Promise<{ path: string; record: ReturnType<typeof approvedRecord> }> {
  const { pack_id, manifest } = pack;
  const { digest } = staged.listing;
  const sections = await deps.reviewReader.read(staged.root, staged.listing, pack);
  const modifiers = (sections.modifiers ?? []).map((item) => item.value);
  const { pack_identity, version } = manifest;
  const record = approvedRecord(pack_id, entry.record, { ...yes, digest, pack_identity, version, modifiers }, deps.clock);
  const details = { actor: yes.by, digest, version, notes: yes.notes };
  const events = [approvalEvent(APPROVE_ACTIONS[yes.origin], pack_id, details)];
  if (entry.record?.state === "blocked") events.unshift(approvalEvent("unblock", pack_id, { actor: yes.by }));

  const kept = await deps.snapshots.keep(pack_id, staged);
  try {
    await deps.store.write(record, events);
  } catch (cause) {
    if (kept.created) await deps.snapshots.remove(pack_id, digest);
    throw cause;
  }
  return { path: kept.root, record };
}

/** The refusal of a tree that breaks a rule of the tree digest, naming the rule. @throws `cause`, when the fault is not the tree's */
export function treeUnsafe(cause: unknown): ApprovalError {
  const fault = treeFault(cause);
  if (fault === null) throw cause;
  return new ApprovalError("approval.tree_unsafe", fault.message, { cause, details: fault.details, remedy: "rumi pack validate" });
}

function digestMoved(id: string, expected: string, digest: Digest): ApprovalError {
  const details = { expected_digest: expected, digest };
  return new ApprovalError("approval.digest_moved", `the files of ${id} are not the reviewed ones any more`, {
    details,
    remedy: `rumi pack review ${id}`,
  });
}
