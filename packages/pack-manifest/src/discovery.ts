import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { MANIFEST_FILE } from "./ecosystem-json.ts";
import { packWarning } from "./problems.ts";
import type { PackProblem } from "./problems.ts";

/** Folder names that are never a pack, nor the folder of a manifest. Source: page "Trust", section 4. */
export const SKIPPED_FOLDERS: ReadonlySet<string> = new Set(["packs", "flows", "node_modules", "__pycache__"]);

/** The older home of packs, below the ecosystem folder. */
export const LEGACY_FOLDER = "packs";

/** The usual folder of a manifest inside a pack. */
const USUAL_SUBDIR = "backend";

/** Unused manifests named in a warning; further ones are counted. */
const MAX_NAMED = 10;

/** A folder that holds a manifest. Nothing of it was read yet; `pack_id` is the folder's name, unchecked. */
export interface FoundPack {
  readonly pack_id: string;
  readonly folder: string;
  /** True below `ecosystem/packs/`. */
  readonly legacy: boolean;
}

/** Where the manifest of a pack folder is: `""`, `backend` or another sub-folder. */
export interface ManifestPlace {
  readonly subdir: string;
  readonly warnings: readonly PackProblem[];
}

/**
 * Finds every pack folder: `ecosystem/*`, then `ecosystem/packs/*`, in the order of their names. Real folders only;
 * a direct one hides a legacy one of the same name. A missing ecosystem folder holds no pack.
 */
export async function discoverPacks(ecosystemFolder: string): Promise<{ found: FoundPack[]; warnings: PackProblem[] }> {
  const found = new Map<string, FoundPack>();
  const warnings: PackProblem[] = [];
  for (const legacy of [false, true]) {
    const root = legacy ? join(ecosystemFolder, LEGACY_FOLDER) : ecosystemFolder;
    const place = legacy ? `${LEGACY_FOLDER}/` : "";
    const entries = await listFolder(root);
    for (const entry of entries) {
      const { name } = entry;
      if (isSkipped(name)) continue;
      if (entry.link) {
        warnings.push(packWarning("pack_manifest.link_ignored", `${place}${name}`, "a pack folder must be real, not a link"));
        continue;
      }
      if (!entry.folder) continue;
      const folder = join(root, name);
      if ((await findManifest(folder)) === null) continue;
      if (found.has(name)) {
        warnings.push(
          packWarning("pack_manifest.shadowed", `${place}${name}`, "hidden by the pack of the same name directly in ecosystem/"),
        );
        continue;
      }
      found.set(name, { pack_id: name, folder, legacy });
    }
  }
  return { found: [...found.values()].sort((a, b) => compareText(a.pack_id, b.pack_id)), warnings };
}

/** The folder of pack `name` when it is there and holds a manifest, else null. `name` is one path segment. */
export async function locatePack(ecosystemFolder: string, name: string): Promise<FoundPack | null> {
  if (isSkipped(name) || name === "" || name.includes("/") || name.includes("\\") || name.includes("\0")) return null;
  for (const legacy of [false, true]) {
    const folder = legacy ? join(ecosystemFolder, LEGACY_FOLDER, name) : join(ecosystemFolder, name);
    if ((await isRealFolder(folder)) && (await findManifest(folder)) !== null) return { pack_id: name, folder, legacy };
  }
  return null;
}

/** Looks for `ecosystem.json` in a pack folder: the folder, then `backend/`, then other sub-folders by name. Null: no pack. */
export async function findManifest(folder: string): Promise<ManifestPlace | null> {
  const subdirs: string[] = [];
  if (await exists(join(folder, MANIFEST_FILE))) subdirs.push("");
  const names = (await listFolder(folder)).filter((entry) => entry.folder && !isSkipped(entry.name)).map((entry) => entry.name);
  const ordered = [...names.filter((name) => name === USUAL_SUBDIR), ...names.filter((name) => name !== USUAL_SUBDIR)];
  for (const name of ordered) {
    if (await exists(join(folder, name, MANIFEST_FILE))) subdirs.push(name);
  }
  const [subdir] = subdirs;
  if (subdir === undefined) return null;
  const others = subdirs.slice(1).map((other) => `${other}/${MANIFEST_FILE}`);
  const used = subdir === "" ? MANIFEST_FILE : `${subdir}/${MANIFEST_FILE}`;
  const more = others.length > MAX_NAMED ? ` and ${others.length - MAX_NAMED} more` : "";
  const named = `also found, not used: ${others.slice(0, MAX_NAMED).join(", ")}${more}`;
  const warnings = others.length === 0 ? [] : [packWarning("pack_manifest.several_manifests", used, named)];
  return { subdir, warnings };
}

/** Orders text by UTF-16 code units, the same on every machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isSkipped(name: string): boolean {
  return name.startsWith(".") || SKIPPED_FOLDERS.has(name);
}

async function listFolder(folder: string): Promise<{ name: string; folder: boolean; link: boolean }[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .map((entry) => ({ name: entry.name, folder: entry.isDirectory(), link: entry.isSymbolicLink() }))
      .sort((a, b) => compareText(a.name, b.name));
  } catch (cause) {
    if (isGone(cause)) return [];
    throw cause;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (cause) {
    if (isGone(cause)) return false;
    throw cause;
  }
}

async function isRealFolder(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (cause) {
    if (isGone(cause)) return false;
    throw cause;
  }
}

function isGone(cause: unknown): boolean {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG";
}
