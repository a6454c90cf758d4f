import { constants } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { systemRandom } from "@rumi/core";
import { syncParent } from "./folder.ts";

/** Mode of files under `user_data` (page "Trust", section 2). */
export const PRIVATE_FILE_MODE = 0o600;

/**
 * Puts `data` at `path` whole: after a crash or power cut at any instant the file is the old one or the new one.
 * A link at `path` is replaced, not followed. Leftovers of a crash are `.<name>.<random>.tmp` beside it.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array, options: { readonly mode?: number } = {}): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${systemRandom.hex(6)}.tmp`);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    {
      await using handle = await open(temporary, flags, options.mode ?? PRIVATE_FILE_MODE);
      await handle.writeFile(data);
      await handle.sync();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncParent(path);
}
