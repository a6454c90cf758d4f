import type { BigIntStats } from "node:fs";
import { lstat, open, type FileHandle } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { SafeFilesError, systemCode } from "./errors.ts";
import { FolderHandle } from "./folder-handle.ts";
import { READ_FLAGS } from "./read-file.ts";
import { createTreeListing, type TreeEntry, type TreeListing } from "./tree-digest.ts";
import { checkTreePath, decodeName, foldName, TREE_LIMITS, treeUnsafe, type TreeLimits } from "./tree-path.ts";

/** Settings of one walk. */
export interface TreeOptions {
  readonly limits?: TreeLimits;
  readonly signal?: AbortSignal;
}

/** What a walk does with each thing it meets; a folder comes before its children. */
export interface TreeVisitor {
  folder(path: string): Promise<void>;
  /** Reads the open file once and says what it read. @throws SafeFilesError when `budget` is passed */
  file(path: string, handle: FileHandle, stat: BigIntStats, budget: ByteBudget): Promise<{ size: number; sha256: string }>;
}

/** Files opened at once inside one folder. */
const FILES_AT_ONCE = 8;

/** Counts bytes while they are read, so that a growing file cannot pass a limit. */
export class ByteBudget {
  readonly #limits: TreeLimits;
  #total = 0;

  constructor(limits: TreeLimits) {
    this.#limits = limits;
  }

  /** Takes `count` more bytes of the file at `path`, which then has `fileBytes`. @throws SafeFilesError `tree_unsafe` */
  take(path: string, count: number, fileBytes: number): void {
    this.#total += count;
    if (fileBytes > this.#limits.maxFileBytes) throw treeUnsafe("file_too_large", path);
    if (this.#total > this.#limits.maxTotalBytes) throw treeUnsafe("tree_too_large", path);
  }
}

/**
 * Walks a tree nobody vouches for by open folder handles, refuses everything page "Trust" section 5 refuses, and hands
 * each folder and open file to `visitor`. No link is followed, nothing is left out.
 * @throws SafeFilesError `safe_files.tree_unsafe` with details `{path, rule}`, `safe_files.not_found`
 */
export async function walkTree(root: string, visitor: TreeVisitor, options: TreeOptions): Promise<TreeListing> {
  const walk = new Walk(visitor, options);
  await using folder = await openRoot(root);
  await walk.folder(folder, 1);
  walk.checkHardLinks();
  // Sorting the largest tree takes long enough to be a step of its own.
  await setImmediate();
  return createTreeListing(walk.entries);
}

async function openRoot(root: string): Promise<FolderHandle> {
  try {
    return await FolderHandle.open(root);
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") {
      throw new SafeFilesError("safe_files.not_found", "the folder is not there", { cause });
    }
    const stat = await lstat(root).catch(() => null);
    if (stat?.isSymbolicLink() === true) throw treeUnsafe("link", "", cause);
    throw treeUnsafe(stat !== null && !stat.isDirectory() ? "special_file" : "unreadable", "", cause);
  }
}

class Walk {
  readonly entries: TreeEntry[] = [];
  readonly #visitor: TreeVisitor;
  readonly #limits: TreeLimits;
  readonly #signal: AbortSignal | undefined;
  readonly #budget: ByteBudget;
  /** Every file with more than one link: how often it was met against how often it exists. */
  readonly #linked = new Map<string, { path: string; links: bigint; met: bigint }>();
  #files = 0;
  #folders = 0;

  constructor(visitor: TreeVisitor, options: TreeOptions) {
    this.#visitor = visitor;
    this.#limits = options.limits ?? TREE_LIMITS;
    this.#signal = options.signal;
    this.#budget = new ByteBudget(this.#limits);
  }

  async folder(folder: FolderHandle, depth: number): Promise<void> {
    const files: string[] = [];
    const folders: string[] = [];
    const folded = new Set<string>();
    const children = await this.#list(folder);
    const { maxFiles, maxFolders } = this.#limits;
    // Before any name is judged: judging a million of them would hold up everybody else.
    if (this.#files + this.#folders + children.length > maxFiles + maxFolders) throw treeUnsafe("too_many_files", folder.treePath);
    for (const child of children) {
      const name = decodeName(child.name, folder.treePath);
      const path = folder.childPath(name);
      checkTreePath(name, path, depth, this.#limits);
      // Two paths fold to one only if two names of one folder do: a folder that collides is refused itself.
      const fold = foldName(name);
      if (folded.has(fold)) throw treeUnsafe("collision", path);
      folded.add(fold);
      if (child.isFile()) files.push(name);
      else if (child.isDirectory()) folders.push(name);
      else await this.#judgeOther(folder, name, files, folders);
    }
    this.#files += files.length;
    this.#folders += folders.length;
    if (this.#files > this.#limits.maxFiles) throw treeUnsafe("too_many_files", folder.treePath);
    if (this.#folders > this.#limits.maxFolders) throw treeUnsafe("too_many_folders", folder.treePath);
    await eachLimited(files, FILES_AT_ONCE, (name) => this.#file(folder, name));
    await folder.assertUnmoved();
    for (const name of folders) {
      this.#signal?.throwIfAborted();
      await using child = await folder.openFolder(name);
      this.entries.push({ type: "d", path: child.treePath });
      await this.#visitor.folder(child.treePath);
      await this.folder(child, depth + 1);
    }
    await folder.assertUnmoved();
  }

  checkHardLinks(): void {
    for (const { path, links, met } of this.#linked.values()) {
      if (links > met) throw treeUnsafe("hard_link", path);
    }
  }

  async #list(folder: FolderHandle): ReturnType<FolderHandle["list"]> {
    try {
      return await folder.list();
    } catch (cause) {
      throw treeUnsafe("unreadable", folder.treePath, cause);
    }
  }

  /** A child whose listed kind is no file or folder: refused, or asked again where the file system told no kind. */
  async #judgeOther(folder: FolderHandle, name: string, files: string[], folders: string[]): Promise<void> {
    const path = folder.childPath(name);
    const stat = await lstat(folder.at(name)).catch((cause: unknown) => {
      throw treeUnsafe("changed", path, cause);
    });
    if (stat.isSymbolicLink()) throw treeUnsafe("link", path);
    if (stat.isFile()) files.push(name);
    else if (stat.isDirectory()) folders.push(name);
    else throw treeUnsafe("special_file", path);
  }

  async #file(folder: FolderHandle, name: string): Promise<void> {
    this.#signal?.throwIfAborted();
    const path = folder.childPath(name);
    await using handle = await openFile(folder.at(name), path);
    const stat = await handle.stat({ bigint: true });
    if (!stat.isFile()) throw treeUnsafe("changed", path);
    if (stat.nlink > 1n) this.#met(path, stat);
    const { size, sha256 } = await this.#visitor.file(path, handle, stat, this.#budget);
    this.entries.push({ type: "f", path, executable: isExecutable(stat), size, sha256 });
  }

  #met(path: string, stat: BigIntStats): void {
    const key = `${stat.dev}:${stat.ino}`;
    const known = this.#linked.get(key);
    if (known === undefined) this.#linked.set(key, { path, links: stat.nlink, met: 1n });
    else known.met += 1n;
  }
}

/** True when the file's owner may execute it. */
export function isExecutable(stat: BigIntStats): boolean {
  return (stat.mode & 0o100n) !== 0n;
}

async function openFile(location: string, path: string): Promise<FileHandle> {
  try {
    return await open(location, READ_FLAGS);
  } catch (cause) {
    const changed = ["ELOOP", "ENOENT", "ENXIO", "ENOTDIR"].includes(systemCode(cause) ?? "");
    throw treeUnsafe(changed ? "changed" : "unreadable", path, cause);
  }
}

/** Runs `work` over `items`, `limit` at once; waits for all that began, then throws the first error. */
export async function eachLimited<T>(items: readonly T[], limit: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const errors: unknown[] = [];
  const lane = async (): Promise<void> => {
    for (const item of queue) {
      if (errors.length > 0) return;
      try {
        await work(item);
      } catch (error) {
        errors.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
  if (errors.length > 0) throw errors[0];
}
