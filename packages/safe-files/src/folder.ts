import { constants } from "node:fs";
import { lstat, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { SafeFilesError, systemCode } from "./errors.ts";

/** Mode of folders under `user_data` (page "Trust", section 2). */
export const PRIVATE_FOLDER_MODE = 0o700;

/**
 * Makes the folder and its missing parents, each with `mode`; an existing real folder is left as it is.
 * @throws SafeFilesError `safe_files.not_a_folder` when `path` is a link or anything but a folder.
 */
export async function ensureFolder(path: string, mode: number = PRIVATE_FOLDER_MODE): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode });
  } catch (cause) {
    if (systemCode(cause) === "EEXIST" || systemCode(cause) === "ENOTDIR") throw notAFolder(cause);
    throw cause;
  }
  if (!(await lstat(path)).isDirectory()) throw notAFolder();
}

/** Makes names created or removed in the folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  await using handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await handle.sync();
}

/** `syncFolder` of the folder that holds `path`. */
export function syncParent(path: string): Promise<void> {
  return syncFolder(dirname(path));
}

function notAFolder(cause?: unknown): SafeFilesError {
  return new SafeFilesError("safe_files.not_a_folder", "a real folder is expected here", { cause });
}
