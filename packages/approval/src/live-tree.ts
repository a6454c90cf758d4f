import type { Digest } from "@rumi/core";
import { packError, readPack } from "@rumi/pack-manifest";
import type { FoundPack, PackProblem, PackRead } from "@rumi/pack-manifest";
import { hashTree, SafeFilesError, statTree } from "@rumi/safe-files";
import type { TreeListing } from "@rumi/safe-files";
import type { ApprovalErrorCode } from "./errors.ts";

/** What was last seen of a pack's folder under `ecosystem/`. Nothing of it is ever run. */
export interface LiveTree {
  readonly folder: string;
  /** Fingerprint taken before the bytes were read; null when even that failed. */
  readonly stat: string | null;
  /** Null when the tree breaks a rule of the tree digest. */
  readonly listing: TreeListing | null;
  readonly unsafe: TreeFault | null;
  readonly read: PackRead;
}

/** The rule of the tree digest that a tree breaks. */
export interface TreeFault {
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** A fingerprint of a folder, or null when it cannot be walked. */
export async function liveStat(folder: string): Promise<string | null> {
  try {
    return await statTree(folder);
  } catch {
    return null;
  }
}

/** Reads and hashes a pack's folder. Never throws: what cannot be read safely is unsafe. */
export async function readLiveTree(found: FoundPack): Promise<LiveTree> {
  const stat = await liveStat(found.folder);
  const { listing, unsafe } = await hashLive(found.folder);
  return { folder: found.folder, stat, listing, unsafe, read: await readManifest(found) };
}

/** The digest of what lies in the folder now, or null. */
export function liveDigest(live: LiveTree | null): Digest | null {
  return live?.listing?.digest ?? null;
}

/** The first thing that keeps this tree from being approved, or null. */
export function liveFault(live: LiveTree): { code: ApprovalErrorCode; message: string } | null {
  if (live.unsafe !== null) return { code: "approval.tree_unsafe", message: live.unsafe.message };
  if (live.read.ok) return null;
  for (const problem of live.read.problems) {
    if (isErrorCode(problem.code) && problem.severity === "error") return { code: problem.code, message: faultText(problem) };
  }
  return { code: "pack_manifest.invalid", message: "the pack cannot be read" };
}

/** The rule that copying or hashing a tree stumbled over, or null when the fault is not the tree's. */
export function treeFault(cause: unknown): TreeFault | null {
  if (!(cause instanceof SafeFilesError) || !TREE_CODES.has(cause.code)) return null;
  return { message: cause.message, details: cause.details };
}

/** Why an approved pack's tree is not the approved one any more. */
export function changeReason(live: LiveTree): "changed" | "tree_unsafe" {
  const rule = live.unsafe?.details.rule;
  return live.unsafe === null || rule === "changed" || rule === "unreadable" ? "changed" : "tree_unsafe";
}

const TREE_CODES: ReadonlySet<string> = new Set(["safe_files.tree_unsafe", "safe_files.not_found", "safe_files.not_a_folder"]);

async function hashLive(folder: string): Promise<{ listing: TreeListing | null; unsafe: TreeFault | null }> {
  try {
    return { listing: await hashTree(folder), unsafe: null };
  } catch (cause) {
    const unreadable = { message: "the tree could not be read while it was hashed", details: { rule: "unreadable" } };
    return { listing: null, unsafe: treeFault(cause) ?? unreadable };
  }
}

async function readManifest(found: FoundPack): Promise<PackRead> {
  try {
    return await readPack(found.folder, found.pack_id);
  } catch {
    return { ok: false, problems: [packError("pack_manifest.invalid", "", "the pack's files cannot be read")] };
  }
}

function isErrorCode(code: PackProblem["code"]): code is Extract<ApprovalErrorCode, `pack_manifest.${string}`> {
  return ERROR_CODES.has(code);
}

const ERROR_CODES: ReadonlySet<string> = new Set([
  "pack_manifest.invalid_pack_id",
  "pack_manifest.reserved",
  "pack_manifest.lookalike",
  "pack_manifest.invalid",
  "pack_manifest.id_mismatch",
]);

function faultText(problem: PackProblem): string {
  const place = [problem.file, problem.path].filter((part) => part !== undefined && part !== "").join(" ");
  return place === "" ? problem.message : `${place}: ${problem.message}`;
}
