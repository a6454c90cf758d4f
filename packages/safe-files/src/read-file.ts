import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { SafeFilesError, systemCode } from "./errors.ts";

/** Opening flags that follow no link, wait for no FIFO and take no terminal. */
export const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/**
 * The bytes of a regular file, at most `maxBytes`.
 * @throws SafeFilesError `safe_files.not_found`, `safe_files.not_a_file` (link, folder, device), `safe_files.too_large`
 */
export async function readFileBytes(path: string, maxBytes: number): Promise<Buffer> {
  let handle: FileHandle;
  try {
    handle = await open(path, READ_FLAGS);
  } catch (cause) {
    switch (systemCode(cause)) {
      case "ENOENT":
      case "ENOTDIR":
        throw new SafeFilesError("safe_files.not_found", "the file is not there", { cause });
      case "ELOOP":
      case "ENXIO":
      case "EMLINK":
        throw new SafeFilesError("safe_files.not_a_file", "a regular file is expected here", { cause });
      default:
        throw cause;
    }
  }
  await using _closing = handle;
  const stat = await handle.stat();
  if (!stat.isFile()) throw new SafeFilesError("safe_files.not_a_file", "a regular file is expected here");
  if (stat.size > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let total = 0;
  for (;;) {
    const chunk = Buffer.allocUnsafe(Math.max(stat.size - total, 0) + 1);
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
    if (bytesRead === 0) return Buffer.concat(chunks, total);
    total += bytesRead;
    if (total > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk.subarray(0, bytesRead));
  }
}

function tooLarge(maxBytes: number): SafeFilesError {
  return new SafeFilesError("safe_files.too_large", `the file is larger than ${maxBytes} bytes`, {
    details: { max_bytes: maxBytes },
  });
}
