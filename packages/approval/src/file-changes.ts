import { readFile } from "node:fs/promises";
import type { TreeEntry, TreeListing } from "@rumi/safe-files";
import { containedPath } from "@rumi/safe-files";
import { formatPatch, OMIT_HEADERS, structuredPatch } from "diff";
import { escapeText } from "./escape-text.ts";

/** Largest file that is shown as a diff. Source: page "Trust", section 5. */
export const MAX_DIFF_FILE_BYTES = 256 * 1024;

/** All diffs of one review together. Source: page "Trust", section 5. */
export const MAX_DIFF_TOTAL_BYTES = 1024 * 1024;

/** Files read for diffs in one review, both sides counted: bounds the work a hostile update can ask for. */
const MAX_DIFF_INPUT_BYTES = 16 * 1024 * 1024;

/** Changed lines after which a diff is given up: its cost grows with their square. */
const MAX_EDIT_LINES = 1000;

/** Milliseconds that one diff, and all diffs of one review, may compute. */
const DIFF_MS = 50;
const DIFF_TOTAL_MS = 1000;

/** A file or folder named in a review. A folder's path ends in `/` and has no size. */
export interface ReviewFile {
  readonly path: string;
  readonly size?: number;
  readonly executable?: boolean;
}

/** A file that has other bytes or another executable bit. */
export interface ChangedFile extends ReviewFile {
  /** Unified diff, escaped; null: not text, too large, or past this review's limits. `""`: only the executable bit changed. */
  readonly diff: string | null;
}

/** How one tree differs from another. Paths are pack-controlled. */
export interface FileChanges {
  readonly added: readonly ReviewFile[];
  readonly removed: readonly ReviewFile[];
  readonly changed: readonly ChangedFile[];
}

/** A tree that lies still, and its listing. */
export interface ListedTree {
  readonly root: string;
  readonly listing: TreeListing;
}

/** Compares two trees that nobody writes to. `base` null: everything is added. */
export async function compareTrees(base: ListedTree | null, next: ListedTree): Promise<FileChanges> {
  const before = new Map(base?.listing.entries.map((entry) => [entryKey(entry), entry]));
  const after = new Map(next.listing.entries.map((entry) => [entryKey(entry), entry]));
  const added = [...after].filter(([key]) => !before.has(key)).map(([, entry]) => reviewFile(entry));
  const removed = [...before].filter(([key]) => !after.has(key)).map(([, entry]) => reviewFile(entry));
  const changed: ChangedFile[] = [];
  const budget: DiffBudget = { input: MAX_DIFF_INPUT_BYTES, output: MAX_DIFF_TOTAL_BYTES, ms: DIFF_TOTAL_MS };
  for (const [key, entry] of after) {
    const old = before.get(key);
    if (base === null || entry.type !== "f" || old?.type !== "f") continue;
    if (old.sha256 === entry.sha256 && old.executable === entry.executable) continue;
    changed.push({ ...reviewFile(entry), diff: await diffFile(base.root, next.root, old, entry, budget) });
  }
  return { added, removed, changed };
}

/** What one review may still spend on diffs. */
interface DiffBudget {
  input: number;
  output: number;
  ms: number;
}

type FileEntry = Extract<TreeEntry, { type: "f" }>;

async function diffFile(baseRoot: string, nextRoot: string, old: FileEntry, entry: FileEntry, budget: DiffBudget): Promise<string | null> {
  if (old.sha256 === entry.sha256) return "";
  const cost = old.size + entry.size;
  if (old.size > MAX_DIFF_FILE_BYTES || entry.size > MAX_DIFF_FILE_BYTES || cost > budget.input || budget.ms <= 0) return null;
  budget.input -= cost;
  const [before, after] = await Promise.all([readText(baseRoot, old.path), readText(nextRoot, entry.path)]);
  if (before === null || after === null) return null;
  const started = performance.now();
  const patch = structuredPatch(`a/${old.path}`, `b/${entry.path}`, before, after, undefined, undefined, {
    context: 3,
    maxEditLength: MAX_EDIT_LINES,
    timeout: DIFF_MS,
  });
  budget.ms -= performance.now() - started;
  if (patch === undefined) return null;
  const text = escapeText(formatPatch(patch, OMIT_HEADERS));
  const bytes = Buffer.byteLength(text);
  if (bytes > budget.output) return null;
  budget.output -= bytes;
  return text;
}

async function readText(root: string, path: string): Promise<string | null> {
  const bytes = await readFile(containedPath(root, path));
  if (bytes.includes(0)) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

function entryKey(entry: TreeEntry): string {
  return entry.type === "d" ? `${entry.path}/` : entry.path;
}

function reviewFile(entry: TreeEntry): ReviewFile {
  return entry.type === "d" ? { path: `${entry.path}/` } : { path: entry.path, size: entry.size, executable: entry.executable };
}
