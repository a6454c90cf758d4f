import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { PRIVATE_FILE_MODE } from "./atomic-write.ts";
import { syncParent } from "./folder.ts";

/** How much of a file's end is searched for its last line end. */
const TAIL_BYTES = 64 * 1024;

/**
 * A file that only grows, one writer at a time. What a crash left after the last line end is cut off at `open` and
 * given to the caller in `torn`.
 */
export class AppendFile implements AsyncDisposable {
  readonly #handle: FileHandle;
  /** What followed the last line end when the file was opened; empty when nothing did. */
  readonly torn: Buffer;
  #size: number;

  private constructor(handle: FileHandle, size: number, torn: Buffer) {
    this.#handle = handle;
    this.#size = size;
    this.torn = torn;
  }

  /** Opens or makes the file; a link is refused by the system (`ELOOP`). */
  static async open(path: string, mode: number = PRIVATE_FILE_MODE): Promise<AppendFile> {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    const handle = await open(path, flags, mode);
    try {
      const { size } = await handle.stat();
      if (size === 0) await syncParent(path);
      const torn = await tornTail(handle, size);
      const whole = size - torn.length;
      if (torn.length > 0) {
        await handle.truncate(whole);
        await handle.datasync();
      }
      return new AppendFile(handle, whole, torn);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Bytes in the file. */
  get size(): number {
    return this.#size;
  }

  /** Writes all of `bytes` at the end; after an error some may be there: `cut(size)` drops it. */
  async append(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      at += (await this.#handle.write(bytes, at, bytes.length - at, this.#size + at)).bytesWritten;
    }
    this.#size += bytes.length;
  }

  /** Puts everything written so far on disk. */
  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  /** Takes the file back to an earlier size; also drops what a failed `append` left behind. */
  async cut(size: number): Promise<void> {
    await this.#handle.truncate(size);
    this.#size = size;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#handle.close();
  }
}

async function tornTail(handle: FileHandle, size: number): Promise<Buffer> {
  let tail: Buffer = Buffer.alloc(0);
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - TAIL_BYTES);
    const chunk = Buffer.alloc(end - start);
    await handle.read(chunk, 0, chunk.length, start);
    const lineEnd = chunk.lastIndexOf(0x0a);
    tail = Buffer.concat([chunk.subarray(lineEnd + 1), tail]);
    if (lineEnd >= 0) break;
    end = start;
  }
  return tail;
}
