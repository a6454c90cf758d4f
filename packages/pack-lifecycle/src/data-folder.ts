import { chmod, lstat, opendir } from "node:fs/promises";
import { join } from "node:path";
import type { PackId } from "@rumi/core";
import { ensureFolder, FolderHandle } from "@rumi/safe-files";
import { MAX_DATA_DEPTH, MAX_DATA_ENTRIES } from "./limits.ts";

/** `/data` is written inside as another user; its parent, 0700, keeps everybody else of this machine out. Source: page "Execution", section 4. */
const DATA_MODE = 0o777;

/** Bytes of one block in what a file system says of a file. Source: stat(2). */
const BLOCK_BYTES = 512;

/** A pack's own folder for its data, made when it is missing. Nothing in it is looked at. */
export async function openDataFolder(userData: string, pack: PackId): Promise<string> {
  const home = join(userData, "packs", pack);
  await ensureFolder(home);
  const data = join(home, "data");
  await ensureFolder(data, DATA_MODE);
  await chmod(data, DATA_MODE);
  return data;
}

/** What a folder holds. `problem`: why the rest was not looked at; null when all of it was. */
export interface DataSize {
  readonly bytes: number;
  readonly entries: number;
  readonly problem: string | null;
}

/**
 * Measures a folder that a pack filled, without opening a file or following a link: names, kinds and sizes only. A file counts its size or
 * its blocks, whichever is more, and once however many names it has. Ends early at more than `maxBytes`.
 */
export async function measureData(folder: string, maxBytes: number): Promise<DataSize> {
  const count = new Count(maxBytes);
  await count.folder(folder, 0);
  return { bytes: count.bytes, entries: count.entries, problem: count.problem };
}

class Count {
  readonly #maxBytes: number;
  /** Files with several names that were counted. */
  readonly #linked = new Set<string>();
  bytes = 0;
  entries = 0;
  problem: string | null = null;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  async folder(path: string | Buffer, depth: number): Promise<void> {
    if (depth > MAX_DATA_DEPTH) return this.#stop(`folders are nested deeper than ${MAX_DATA_DEPTH}`);
    let handle: FolderHandle;
    try {
      handle = await FolderHandle.open(path);
    } catch (cause) {
      const code = codeOf(cause);
      // It went while others were looked at, or is no folder any more: there is nothing to count.
      if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP") return;
      return this.#stop("a folder in it cannot be looked into");
    }
    await using held = handle;
    const here = held.at("");
    // Names one after the other: a folder of millions of them is not taken into memory.
    for await (const { name } of await openNames(here)) {
      const child = Buffer.concat([Buffer.from(here), name]);
      const stat = await lstat(child).catch(() => null);
      if (stat === null) continue;
      this.entries += 1;
      if (this.entries > MAX_DATA_ENTRIES) return this.#stop(`it holds more than ${MAX_DATA_ENTRIES} files and folders`);
      // The sandbox shows no folder that holds a socket: the pack's own blocks could not start any more.
      if (depth === 0 && stat.isSocket())
        return this.#stop("it holds a socket, and no instance is shown such a folder; it has to be removed");
      if (stat.nlink === 1 || stat.isDirectory() || this.#isNew(`${stat.dev}:${stat.ino}`)) {
        this.bytes += Math.max(stat.isFile() ? stat.size : 0, stat.blocks * BLOCK_BYTES);
      }
      if (this.bytes > this.#maxBytes) return this.#stop(`it holds more than ${this.#maxBytes} bytes`);
      if (stat.isDirectory()) await this.folder(child, depth + 1);
      if (this.problem !== null) return;
    }
  }

  #isNew(file: string): boolean {
    if (this.#linked.has(file)) return false;
    this.#linked.add(file);
    return true;
  }

  #stop(problem: string): void {
    this.problem ??= problem;
  }
}

/** Raw names: one that is no UTF-8 is a name, too. */
async function openNames(path: string): Promise<AsyncIterable<{ readonly name: Buffer }>> {
  const options = { encoding: "buffer" } as unknown as { encoding: BufferEncoding };
  return (await opendir(path, options)) as unknown as AsyncIterable<{ readonly name: Buffer }>;
}

function codeOf(cause: unknown): string | null {
  return cause instanceof Error && "code" in cause ? String(cause.code) : null;
}
