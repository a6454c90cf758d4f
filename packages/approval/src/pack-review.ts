import type { Digest, JsonObject, JsonValue, PackId } from "@rumi/core";
import { declaredRights, readPack } from "@rumi/pack-manifest";
import type { PackProblem } from "@rumi/pack-manifest";
import type { ApprovalRecord, HistoryEntry } from "./approval-record.ts";
import type { PackStatus } from "./approval-state.ts";
import { compareTrees } from "./file-changes.ts";
import type { FileChanges, ListedTree } from "./file-changes.ts";
import type { ReviewReader, ReviewSections } from "./ports.ts";
import { compareSections } from "./section-changes.ts";
import type { SectionChanges } from "./section-changes.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

/** What an approval would say yes to, against the last approved snapshot. Everything in it but ids, states and digests is pack-controlled. */
export interface PackReview extends SectionChanges {
  readonly pack_id: string;
  readonly status: PackStatus;
  readonly reason: string | null;
  /** The digest of exactly the files shown here: what to send as `expected_digest`. */
  readonly digest: Digest;
  readonly base_digest: Digest | null;
  readonly version: string | null;
  readonly pack_identity: string | null;
  readonly files: FileChanges;
  readonly host_execution: JsonValue;
  /** What the shown files wish for, as configs by permission id. */
  readonly declared_rights: JsonObject;
  readonly sleeping_grants: readonly JsonValue[];
  readonly undeclared_grants: readonly JsonValue[];
  readonly warnings: readonly (PackProblem | string)[];
  readonly history: readonly HistoryEntry[];
}

/** One review to make. `staged`: a private copy of the pack's folder. */
export interface ReviewRequest {
  readonly id: PackId;
  readonly status: PackStatus;
  readonly reason: string | null;
  readonly record: ApprovalRecord | null;
  readonly staged: ListedTree;
  readonly warnings: readonly string[];
}

/** Makes the review of a staged tree. Files and sections come from the same frozen bytes. */
export async function reviewPack(
  deps: { readonly snapshots: SnapshotStore; readonly reader: ReviewReader },
  request: ReviewRequest,
): Promise<PackReview> {
  const { id, record, staged } = request;
  const warnings: (PackProblem | string)[] = [...request.warnings];
  const base = await readBase(deps.snapshots, id, record?.digest ?? null, warnings);
  const next = await readSections(deps.reader, id, staged);
  const old = base === null ? null : await readSections(deps.reader, id, base);
  warnings.push(...next.problems, ...(next.sections.warnings ?? []));
  return {
    pack_id: id,
    status: request.status,
    reason: request.reason,
    digest: staged.listing.digest,
    base_digest: base?.listing.digest ?? null,
    version: next.version,
    pack_identity: next.pack_identity,
    files: await compareTrees(base, staged),
    ...compareSections(old?.sections ?? null, next.sections),
    host_execution: next.sections.host_execution ?? null,
    declared_rights: next.declared,
    sleeping_grants: [],
    undeclared_grants: [],
    warnings,
    history: record?.history ?? [],
  };
}

async function readBase(
  snapshots: SnapshotStore,
  id: PackId,
  digest: Digest | null,
  warnings: (PackProblem | string)[],
): Promise<ListedTree | null> {
  if (digest === null) return null;
  const found = await snapshots.verify(id, digest);
  if (found.ok) return found;
  warnings.push(`the last approved copy cannot be compared with: ${found.reason}`);
  return null;
}

interface ReadSections {
  readonly sections: ReviewSections;
  readonly problems: readonly PackProblem[];
  readonly version: string | null;
  readonly pack_identity: string | null;
  readonly declared: JsonObject;
}

async function readSections(reader: ReviewReader, id: PackId, tree: ListedTree): Promise<ReadSections> {
  const read = await readPack(tree.root, id);
  if (!read.ok) return { sections: {}, problems: read.problems, version: null, pack_identity: null, declared: {} };
  const { manifest, warnings } = read.pack;
  return {
    sections: await reader.read(tree.root, tree.listing, read.pack),
    problems: warnings,
    version: manifest.version,
    pack_identity: manifest.pack_identity,
    declared: Object.fromEntries(declaredRights(read.pack)),
  };
}
