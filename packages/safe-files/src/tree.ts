import { createHash } from "node:crypto";
import { constants, type BigIntStats } from "node:fs";
import { mkdir, open, type FileHandle } from "node:fs/promises";
import { SafeFilesError, systemCode } from "./errors.ts";
import { syncParent } from "./folder.ts";
import { removeTree } from "./remove-tree.ts";
import type { TreeListing } from "./tree-digest.ts";
import { treeUnsafe } from "./tree-path.ts";
import { eachLimited, isExecutable, walkTree, type ByteBudget, type TreeOptions, type TreeVisitor } from "./tree-walk.ts";

/** Bytes read at once from a large file. */
const CHUNK_BYTES = 256 * 1024;

/** Modes of a copied tree: nobody writes there any more (page "Trust", section 2). */
const COPIED_FOLDER_MODE = 0o555;
const COPIED_FILE_MODE = 0o444;

/** Copied files kept open before they are made durable together; one by one costs a disk flush each. */
const SYNC_BATCH = 64;
const SYNCS_AT_ONCE = 16;

/**
 * Hashes a tree nobody vouches for by content, with every refusal of page "Trust" section 5.
 * @throws SafeFilesError `safe_files.tree_unsafe` with details `{path, rule}`, `safe_files.not_found`
 */
export function hashTree(root: string, options: TreeOptions = {}): Promise<TreeListing> {
  const visitor: TreeVisitor = {
    folder: () => Promise.resolve(),
    file: (path, handle, stat, budget) => readOnce(path, handle, stat, budget, () => undefined),
  };
  return walkTree(root, visitor, options);
}

/**
 * Copies a tree to `target`, read-only and durable, reading each file once: the listing is of exactly the bytes written.
 * On any refusal nothing is left at `target`. A copied folder can be renamed only inside the folder that holds it.
 * @throws SafeFilesError as `hashTree`; `safe_files.target_exists`
 */
export async function copyTree(root: string, target: string, options: TreeOptions = {}): Promise<TreeListing> {
  try {
    await mkdir(target, { mode: 0o700 });
  } catch (cause) {
    if (systemCode(cause) !== "EEXIST") throw cause;
    throw new SafeFilesError("safe_files.target_exists", "the target of a copy must not exist", { cause });
  }
  const copy = new TreeCopy(target);
  try {
    const listing = await walkTree(root, copy, options);
    await copy.finish();
    return listing;
  } catch (error) {
    await copy.abandon();
    await removeTree(target);
    throw error;
  }
}

class TreeCopy implements TreeVisitor {
  readonly #target: string;
  readonly #folders: string[];
  readonly #open = new Set<FileHandle>();
  #written: FileHandle[] = [];

  constructor(target: string) {
    this.#target = target;
    this.#folders = [target];
  }

  async folder(path: string): Promise<void> {
    const folder = `${this.#target}/${path}`;
    await mkdir(folder, { mode: 0o700 });
    this.#folders.push(folder);
  }

  async file(path: string, source: FileHandle, stat: BigIntStats, budget: ByteBudget): Promise<{ size: number; sha256: string }> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const copy = await open(`${this.#target}/${path}`, flags, 0o600);
    this.#open.add(copy);
    const read = await readOnce(path, source, stat, budget, (bytes) => writeAll(copy, bytes));
    await copy.chmod(isExecutable(stat) ? COPIED_FOLDER_MODE : COPIED_FILE_MODE);
    this.#written.push(copy);
    if (this.#written.length >= SYNC_BATCH) await this.#flush();
    return read;
  }

  async finish(): Promise<void> {
    await this.#flush();
    // Children before parents: a folder that is closed for writing is complete.
    await eachLimited(this.#folders.toReversed(), SYNCS_AT_ONCE, async (folder) => {
      await using handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      await handle.chmod(COPIED_FOLDER_MODE);
      await handle.sync();
    });
    await syncParent(this.#target);
  }

  async abandon(): Promise<void> {
    await Promise.all([...this.#open].map((handle) => handle.close()));
    this.#open.clear();
  }

  async #flush(): Promise<void> {
    const handles = this.#written;
    this.#written = [];
    await eachLimited(handles, SYNCS_AT_ONCE, (handle) => handle.sync());
    for (const handle of handles) {
      this.#open.delete(handle);
      await handle.close();
    }
  }
}

/** Reads a file from its start to its end once, passing every byte to `sink` and the hash. */
async function readOnce(
  path: string,
  handle: FileHandle,
  stat: BigIntStats,
  budget: ByteBudget,
  sink: (bytes: Uint8Array) => Promise<void> | undefined,
): Promise<{ size: number; sha256: string }> {
  const hash = createHash("sha256");
  // One byte more than the file has: a small file and its end are seen in one read.
  const buffer = Buffer.allocUnsafe(Math.min(Number(stat.size) + 1, CHUNK_BYTES));
  let size = 0;
  for (;;) {
    const { bytesRead } = await read(handle, buffer, path);
    if (bytesRead === 0) break;
    size += bytesRead;
    budget.take(path, bytesRead, size);
    const bytes = buffer.subarray(0, bytesRead);
    hash.update(bytes);
    await sink(bytes);
    if (bytesRead < buffer.length && BigInt(size) === stat.size) break;
  }
  return { size, sha256: hash.digest("hex") };
}

async function read(handle: FileHandle, buffer: Buffer, path: string): Promise<{ bytesRead: number }> {
  try {
    return await handle.read(buffer, 0, buffer.length, null);
  } catch (cause) {
    throw treeUnsafe("unreadable", path, cause);
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += (await handle.write(bytes, at, bytes.length - at)).bytesWritten;
  }
}
