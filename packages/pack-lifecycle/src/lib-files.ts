import type { ApprovedPack } from "@rumi/approval";
import type { Digest } from "@rumi/core";
import { runtimeOf } from "@rumi/pack-manifest";
import { createTreeListing } from "@rumi/safe-files";
import type { TreeEntry } from "@rumi/safe-files";
import type { Runtime } from "@rumi/sandbox";

/** What a lib run is for. */
export const LIB_TYPES = ["install", "update"] as const;
export type LibType = (typeof LIB_TYPES)[number];

/** Folder below a pack's root, and the endings of its entry files; of two the earlier counts. Source: page "Flows", section 14.3. */
const LIB_FOLDER = "lib";
const LIB_ENDINGS = ["py", "ts", "js", "mjs"] as const;

/** One entry file. */
export interface LibFile {
  /** Below the snapshot's root. */
  readonly file: string;
  readonly runtime: Runtime;
}

/** What approved bytes bring to be run once. */
export interface PackLib {
  /** Below the snapshot's root. */
  readonly folder: string;
  /** Of every file and folder in it: a changed file beside the entry is a change too. */
  readonly digest: Digest;
  readonly install: LibFile | null;
  readonly update: LibFile | null;
}

/** The lib of approved bytes, from their list alone; null when there is none. The pack's own folder goes before `backend`'s. */
export function findLib(pack: Pick<ApprovedPack, "subdir" | "listing">): PackLib | null {
  const base = pack.subdir === "" ? "" : `${pack.subdir}/`;
  const folders = [`${base}${LIB_FOLDER}`, ...(pack.subdir === "backend" ? [] : [`${base}backend/${LIB_FOLDER}`])];
  for (const folder of folders) {
    const entries = below(pack.listing.entries, `${folder}/`);
    const install = entryFile(entries, folder, "install");
    const update = entryFile(entries, folder, "update");
    if (install !== null || update !== null) return { folder, digest: createTreeListing(entries).digest, install, update };
  }
  return null;
}

/** The entries in a folder, by their paths in it. */
function below(entries: readonly TreeEntry[], prefix: string): TreeEntry[] {
  return entries.flatMap((entry) => (entry.path.startsWith(prefix) ? [{ ...entry, path: entry.path.slice(prefix.length) }] : []));
}

function entryFile(entries: readonly TreeEntry[], folder: string, type: LibType): LibFile | null {
  for (const ending of LIB_ENDINGS) {
    const name = `${type}.${ending}`;
    const runtime = runtimeOf(name);
    if (runtime !== null && entries.some((entry) => entry.type === "f" && entry.path === name))
      return { file: `${folder}/${name}`, runtime };
  }
  return null;
}
