import type { Digest, JsonValue } from "@rumi/core";
import type { PackProblem } from "@rumi/pack-manifest";
import { entryFault, entryStatus } from "./approval-gate.ts";
import type { PackEntry } from "./approval-gate.ts";
import type { PackStatus } from "./approval-state.ts";
import { liveDigest } from "./live-tree.ts";

/** One line of the pack list. Version and identity are what the pack's folder says now. */
export interface PackSummary {
  readonly pack_id: string;
  readonly status: PackStatus;
  readonly enabled: boolean;
  readonly version: string | null;
  readonly pack_identity: string | null;
  /** The approved digest; of a pack that never was, the one in its folder. */
  readonly digest: Digest | null;
}

/** How one pack stands. */
export interface PackState {
  readonly pack_id: string;
  readonly status: PackStatus;
  readonly reason: string | null;
  readonly enabled: boolean;
  readonly live_digest: Digest | null;
  readonly approved_digest: Digest | null;
  readonly approved_at: string | null;
  /** Who said the last yes, and how. */
  readonly origin: string | null;
  readonly history: readonly JsonValue[];
  readonly problems: readonly PackProblem[];
}

/** What an approval did. */
export interface ApproveAnswer {
  readonly pack_id: string;
  readonly status: PackStatus;
  readonly digest: Digest;
  readonly granted: readonly JsonValue[];
  readonly stores_created: readonly JsonValue[];
  readonly warnings: readonly PackProblem[];
}

/** What a rejection did. */
export interface RejectAnswer {
  readonly pack_id: string;
  readonly status: PackStatus;
  readonly reason: string | null;
}

/** What a scan saw. `changed`: ids whose status moved. */
export interface ScanAnswer {
  readonly scanned: number;
  readonly packs: readonly PackSummary[];
  readonly changed: readonly string[];
}

/** The line of a pack, or null when nothing is left of it. */
export function packSummary(entry: PackEntry | null | undefined, enabled: boolean): PackSummary | null {
  const stands = entry == null ? null : entryStatus(entry);
  if (entry == null || stands === null) return null;
  const manifest = entry.live?.read.ok === true ? entry.live.read.pack.manifest : null;
  return {
    pack_id: entry.id,
    status: stands.status,
    enabled,
    version: manifest?.version ?? entry.record?.version ?? null,
    pack_identity: manifest?.pack_identity ?? entry.record?.pack_identity ?? null,
    digest: entry.record?.digest ?? liveDigest(entry.live),
  };
}

/** The state of a pack, or null when nothing is left of it. */
export function packState(entry: PackEntry | null, enabled: boolean): PackState | null {
  const stands = entry === null ? null : entryStatus(entry);
  if (entry === null || stands === null) return null;
  return {
    pack_id: entry.id,
    ...stands,
    enabled,
    live_digest: liveDigest(entry.live),
    approved_digest: entry.record?.digest ?? null,
    approved_at: entry.record?.approved_at ?? null,
    origin: entry.record?.origin ?? null,
    history: entry.record?.history ?? [],
    problems: problemsOf(entry),
  };
}

function problemsOf(entry: PackEntry): readonly PackProblem[] {
  const { live } = entry;
  if (live === null) return [];
  const read = live.read.ok ? live.read.pack.warnings : live.read.problems;
  const fault = entryFault(entry);
  const own = fault !== null && !read.some((problem) => problem.code === fault.code);
  if (!own) return read;
  const problem = { code: fault.code, severity: "error", file: "", message: fault.message, remedy: "rumi pack validate" };
  return [problem as PackProblem, ...read];
}
