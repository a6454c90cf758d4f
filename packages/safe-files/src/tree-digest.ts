import { createHash } from "node:crypto";
import type { Digest } from "@rumi/core";

/** One folder or file of a tree; `path` is relative, `/`-separated. */
export type TreeEntry =
  | { readonly type: "d"; readonly path: string }
  | {
      readonly type: "f";
      readonly path: string;
      readonly executable: boolean;
      readonly size: number;
      /** Lower-case hex. */
      readonly sha256: string;
    };

/** A whole tree by content. Entries stand in the byte order of their paths. */
export interface TreeListing {
  readonly digest: Digest;
  readonly entries: readonly TreeEntry[];
  readonly total_bytes: number;
}

/** The first line of what a tree digest is computed over (page "Trust", section 5). */
const TREE_HEADER = "rumi-tree-v1\n";

/** Sorts entries by the bytes of their paths and computes their digest. */
export function createTreeListing(unsorted: readonly TreeEntry[]): TreeListing {
  const entries = unsorted
    .map((entry) => ({ entry, bytes: Buffer.from(entry.path) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ entry }) => entry);
  const total = entries.reduce((sum, entry) => sum + (entry.type === "f" ? entry.size : 0), 0);
  return { digest: treeDigest(entries), entries, total_bytes: total };
}

/** The digest of entries that stand in the byte order of their paths. */
export function treeDigest(entries: readonly TreeEntry[]): Digest {
  const hash = createHash("sha256").update(TREE_HEADER);
  for (const entry of entries) {
    hash.update(
      entry.type === "d" ? `d ${entry.path}\n` : `f ${entry.executable ? "1" : "0"} ${entry.size} ${entry.sha256} ${entry.path}\n`,
    );
  }
  return `sha256:${hash.digest("hex")}` as Digest;
}
