import { Digest, isoTime, PackId } from "@rumi/core";
import type { Clock, JsonObject } from "@rumi/core";
import * as v from "valibot";
import type { ModifierFacts } from "./ports.ts";

/** Most history entries of one record; older ones go. Source: page "Trust", section 5. */
export const MAX_HISTORY = 50;

/** Snapshots kept beside the current one, the last approved first. Source: page "Trust", section 5. */
export const KEPT_SNAPSHOTS = 3;

const HistoryEntry = v.object({
  n: v.number(),
  at: v.string(),
  by: v.string(),
  action: v.string(),
  digest: v.nullable(Digest),
  version: v.nullable(v.string()),
  reason: v.nullable(v.string()),
});
export type HistoryEntry = v.InferOutput<typeof HistoryEntry>;

/** Who said yes: an operator, the start script for the bundled example, or development's own rule. */
export const ApprovalOrigin = v.picklist(["operator", "bundled", "dev"]);
export type ApprovalOrigin = v.InferOutput<typeof ApprovalOrigin>;

/** How the yes of each origin is called in history and audit. */
export const APPROVE_ACTIONS = { operator: "approve", bundled: "bundled", dev: "dev_auto_approve" } as const;

/**
 * What is kept, signed, of a pack that was ever decided on. Packs in state `installed` and `error` have none.
 * `digest`, `pack_identity`, `version`, `approved_*` and `modifiers` speak of the last yes.
 */
export const ApprovalRecord = v.object({
  pack_id: PackId,
  state: v.picklist(["approved", "modified", "blocked"]),
  reason: v.nullable(v.string()),
  digest: v.nullable(Digest),
  pack_identity: v.nullable(v.string()),
  version: v.nullable(v.string()),
  approved_at: v.nullable(v.string()),
  approved_by: v.nullable(v.string()),
  rule_digest: v.nullable(Digest),
  origin: v.nullable(ApprovalOrigin),
  modifiers: v.array(v.object({ modifier_id: v.string(), target: v.string(), action: v.string(), overwrites: v.array(v.string()) })),
  history: v.array(HistoryEntry),
});
export type ApprovalRecord = v.InferOutput<typeof ApprovalRecord>;

/** What the yes of an approval covers. */
export interface ApprovedFacts {
  readonly digest: Digest;
  readonly pack_identity: string;
  readonly version: string;
  readonly by: string;
  readonly origin: ApprovalOrigin;
  readonly notes: string | null;
  readonly modifiers: readonly ModifierFacts[];
}

/** The record after a yes. Pure. */
export function approvedRecord(packId: PackId, previous: ApprovalRecord | null, facts: ApprovedFacts, clock: Clock): ApprovalRecord {
  const at = isoTime(clock.now());
  const action = APPROVE_ACTIONS[facts.origin];
  return withHistory(
    {
      pack_id: packId,
      state: "approved",
      reason: null,
      digest: facts.digest,
      pack_identity: facts.pack_identity,
      version: facts.version,
      approved_at: at,
      approved_by: facts.by,
      rule_digest: previous?.rule_digest === facts.digest ? facts.digest : null,
      origin: facts.origin,
      modifiers: facts.modifiers.map(({ modifier_id, target, action: does, overwrites }) => ({
        modifier_id,
        target,
        action: does,
        overwrites: [...overwrites],
      })),
      history: previous?.history ?? [],
    },
    { at, by: facts.by, action, digest: facts.digest, version: facts.version, reason: facts.notes },
  );
}

/** The record after a no, or after its bytes or its snapshot could not be trusted any more. Pure. */
export function closedRecord(
  packId: PackId,
  previous: ApprovalRecord | null,
  change: { readonly state: "modified" | "blocked"; readonly reason: string | null; readonly by: string; readonly seen: Digest | null },
  clock: Clock,
): ApprovalRecord {
  const base = previous ?? emptyRecord(packId);
  return withHistory(
    { ...base, state: change.state, reason: change.reason },
    {
      at: isoTime(clock.now()),
      by: change.by,
      action: change.state === "blocked" ? "reject" : "modified",
      digest: change.seen,
      version: base.version,
      reason: change.reason,
    },
  );
}

/** Digests whose snapshots stay: the current one and, beside it, the last ones approved. */
export function keptDigests(record: ApprovalRecord): Digest[] {
  const yes = new Set<string>(Object.values(APPROVE_ACTIONS));
  const approved = record.history.filter((entry) => yes.has(entry.action)).flatMap((entry) => entry.digest ?? []);
  const older = [...new Set(approved.reverse())].filter((digest) => digest !== record.digest);
  return [...(record.digest === null ? [] : [record.digest]), ...older.slice(0, KEPT_SNAPSHOTS)];
}

/** The record as it is written. */
export function recordJson(record: ApprovalRecord): JsonObject {
  return { ...record };
}

function emptyRecord(packId: PackId): ApprovalRecord {
  return {
    pack_id: packId,
    state: "blocked",
    reason: null,
    digest: null,
    pack_identity: null,
    version: null,
    approved_at: null,
    approved_by: null,
    rule_digest: null,
    origin: null,
    modifiers: [],
    history: [],
  };
}

function withHistory(record: ApprovalRecord, entry: Omit<HistoryEntry, "n">): ApprovalRecord {
  const n = (record.history.at(-1)?.n ?? 0) + 1;
  return { ...record, history: [...record.history, { n, ...entry }].slice(-MAX_HISTORY) };
}
