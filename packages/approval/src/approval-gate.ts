import { principalChain } from "@rumi/core";
import type { Digest, PackId, Refusal } from "@rumi/core";
import type { PackDescription } from "@rumi/pack-manifest";
import type { TreeListing } from "@rumi/safe-files";
import type { ApprovalRecord } from "./approval-record.ts";
import type { PackStatus } from "./approval-state.ts";
import type { DisabledPacks } from "./approval-store.ts";
import type { ApprovalCode, ApprovalErrorCode } from "./errors.ts";
import { liveFault } from "./live-tree.ts";
import type { LiveTree } from "./live-tree.ts";

/** An approved pack: the bytes that may run, and what they say of themselves. */
export interface ApprovedPack {
  readonly pack_id: PackId;
  readonly digest: Digest;
  /** Absolute folder of the snapshot, read-only. */
  readonly root: string;
  /** Folder of `ecosystem.json` below `root`; `""` for the root itself. */
  readonly subdir: string;
  readonly listing: TreeListing;
  readonly pack: PackDescription;
}

/** Everything known of one pack, in memory. */
export interface PackEntry {
  readonly id: string;
  live: LiveTree | null;
  /** Null: never decided on, or not to be trusted. */
  record: ApprovalRecord | null;
  /** Why the record cannot be trusted. */
  tampered: string | null;
  /** Which pack with a record this newcomer looks like, in words. */
  lookalike: string | null;
  /** Set only while the record is intact, approved, and its snapshot was found intact. */
  open: ApprovedPack | null;
}

/** Why a pack may not run, in the words of a flow's skip record. */
export type ClosedBecause = "absent" | "installed" | "modified" | "blocked" | "error" | "disabled" | "ancestor";

/** The "no" of the gate. */
export interface GateRefusal extends Refusal<ApprovalCode> {
  readonly because: ClosedBecause;
}

/** The gate's answer. */
export type GateDecision = ({ readonly allowed: true } & ApprovedPack) | GateRefusal;

/** Runtimes that need no rule pack's yes. */
const OWN_RUNTIMES: ReadonlySet<string> = new Set(["python", "node"]);

/** How an entry stands; null when nothing is left of it. */
export function entryStatus(entry: PackEntry): { status: PackStatus; reason: string | null } | null {
  if (entry.tampered !== null) return { status: "modified", reason: "record_tampered" };
  if (entry.record !== null) return { status: entry.record.state, reason: entry.record.reason };
  if (entry.live === null) return null;
  const fault = entryFault(entry);
  return fault === null ? { status: "installed", reason: null } : { status: "error", reason: fault.code };
}

/** The first thing that keeps what lies in the pack's folder from being approved, or null. */
export function entryFault(entry: PackEntry): { code: ApprovalErrorCode; message: string } | null {
  const fault = entry.live === null ? null : liveFault(entry.live);
  if (fault !== null || entry.lookalike === null) return fault;
  return { code: "pack_manifest.lookalike", message: entry.lookalike };
}

/**
 * May this pack run, and from which bytes? Memory only, microseconds. With `digest`: only if these very bytes are the
 * approved ones. Installed ancestors must be open too; an absent ancestor only groups.
 */
export function decideGate(
  entries: ReadonlyMap<string, PackEntry>,
  disabled: DisabledPacks,
  packId: PackId,
  digest?: Digest,
): GateDecision {
  const own = decideOne(entries.get(packId), disabled, packId);
  if (!own.allowed) return own;
  if (digest !== undefined && digest !== own.digest) {
    return refusal(
      "approval.digest_moved",
      "modified",
      "Pack is not approved: other bytes of it were approved since",
      `rumi pack review ${packId}`,
    );
  }
  for (const ancestor of principalChain(packId).slice(0, -1)) {
    const entry = entries.get(ancestor);
    if (entry === undefined) continue;
    const decision = decideOne(entry, disabled, ancestor);
    if (decision.allowed) continue;
    return refusal("approval.ancestor_not_approved", "ancestor", `its parent ${ancestor} may not run: ${decision.reason}`, decision.remedy);
  }
  return ruleRefusal(entries, disabled, own) ?? own;
}

function decideOne(entry: PackEntry | undefined, disabled: DisabledPacks, id: PackId): GateDecision {
  const stands = entry === undefined ? null : entryStatus(entry);
  if (entry === undefined || stands === null)
    return refusal("approval.pack_not_found", "absent", `There is no pack ${id}`, "rumi pack list");
  const because = stands.reason === null ? "" : ` (${stands.reason})`;
  switch (stands.status) {
    case "installed":
      return refusal("approval.not_approved", "installed", "Pack is not approved", `rumi pack review ${id}`);
    case "error":
      return refusal("approval.not_approved", "error", `Pack is not approved: its files are not in order${because}`, "rumi pack validate");
    case "modified":
      return stands.reason === "snapshot_corrupt"
        ? refusal("approval.snapshot_corrupt", "modified", "Pack is not approved: its approved copy is damaged", `rumi pack review ${id}`)
        : refusal(
            "approval.modified",
            "modified",
            `Pack is not approved: it was modified after its approval${because}`,
            `rumi pack review ${id}`,
          );
    case "blocked":
      return refusal("approval.blocked", "blocked", `Pack is blocked${because}`, `rumi pack approve ${id} --unblock`);
    case "approved":
      break;
  }
  if (disabled.all || disabled.ids.has(id)) {
    return refusal("approval.disabled", "disabled", "Pack is switched off", `rumi pack enable ${id}`);
  }
  if (entry.open === null) {
    return refusal(
      "approval.snapshot_corrupt",
      "modified",
      "Pack is not approved: its approved copy was not found intact",
      `rumi pack review ${id}`,
    );
  }
  return { allowed: true, ...entry.open };
}

/** A runtime other than python and node must come from a rule pack whose rule was approved for its current bytes. */
function ruleRefusal(entries: ReadonlyMap<string, PackEntry>, disabled: DisabledPacks, own: ApprovedPack): GateRefusal | null {
  const runtime = own.pack.manifest.runtime_type;
  if (runtime === undefined || OWN_RUNTIMES.has(runtime)) return null;
  for (const entry of entries.values()) {
    const { open, record } = entry;
    if (open === null || record?.rule_digest !== open.digest || !open.pack.manifest.provides_runtime.includes(runtime)) continue;
    if (decideOne(entry, disabled, open.pack_id).allowed) return null;
  }
  return refusal(
    "approval.rule_not_approved",
    "installed",
    "no approved rule pack gives its runtime",
    `rumi pack approve-rule ${own.pack_id}`,
  );
}

function refusal(code: ApprovalCode, because: ClosedBecause, reason: string, remedy: string | undefined): GateRefusal {
  return { allowed: false, code, because, reason, ...(remedy === undefined ? {} : { remedy }) };
}
