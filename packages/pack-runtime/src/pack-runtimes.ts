import { runtimeOf } from "@rumi/pack-manifest";
import type { TreeListing } from "@rumi/safe-files";
import type { Runtime } from "@rumi/sandbox";

/** Folders of blocks below a pack's root. Source: page "Execution", section 1. */
const BLOCK_FOLDER = /(^|\/)blocks\//u;

/** The languages that a pack's blocks are written in, by the names of its files. */
export function runtimesOf(snapshot: { readonly listing: TreeListing }): Runtime[] {
  const found = new Set<Runtime>();
  for (const entry of snapshot.listing.entries) {
    if (entry.type !== "f" || !BLOCK_FOLDER.test(entry.path)) continue;
    const runtime = runtimeOf(entry.path);
    if (runtime !== null) found.add(runtime);
  }
  return [...found].sort();
}
