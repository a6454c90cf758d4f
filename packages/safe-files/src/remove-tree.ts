import { constants } from "node:fs";
import { chmod, lstat, open, rmdir, unlink } from "node:fs/promises";
import { systemCode } from "./errors.ts";
import { FolderHandle } from "./folder-handle.ts";

/** Linux `O_PATH`: a handle that needs no right on the folder itself (not among Node's constants; same on all its Linux targets). */
const LINUX_O_PATH = 0o10000000;

/**
 * Removes whatever is at `path`, read-only folders too; absent is fine. Links are removed, never followed, also when
 * somebody swaps them in meanwhile.
 */
export async function removeTree(path: string): Promise<void> {
  const stat = await lstat(path).catch(ignoreAbsent);
  if (stat === null) return;
  if (!stat.isDirectory()) return void (await unlink(path).catch(ignoreAbsent));
  await emptyFolder(path);
  await rmdir(path).catch(ignoreAbsent);
}

async function emptyFolder(path: string | Buffer): Promise<void> {
  const folder = await openWritable(path);
  if (folder === null) return;
  await using _closing = folder;
  for (const child of await folder.list()) {
    const location = Buffer.concat([Buffer.from(folder.at("")), child.name]);
    if (await isRealFolder(child, location)) {
      await emptyFolder(location);
      await rmdir(location).catch(ignoreAbsent);
    } else await unlink(location).catch(ignoreAbsent);
  }
}

async function isRealFolder(child: { isDirectory(): boolean; isFile(): boolean }, location: Buffer): Promise<boolean> {
  if (child.isDirectory()) return true;
  if (child.isFile()) return false;
  return (await lstat(location).catch(ignoreAbsent))?.isDirectory() ?? false;
}

/** Opens a folder after giving its owner every right on it; null when it is no folder (any more). */
async function openWritable(path: string | Buffer): Promise<FolderHandle | null> {
  try {
    let folder: FolderHandle;
    try {
      folder = await FolderHandle.open(path);
    } catch (error) {
      if (systemCode(error) !== "EACCES" || process.platform !== "linux") throw error;
      await using handle = await open(path, LINUX_O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      await chmod(`/proc/self/fd/${handle.fd}`, 0o700);
      folder = await FolderHandle.open(path);
    }
    await folder.chmod(0o700);
    return folder;
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(systemCode(error) ?? "")) return null;
    throw error;
  }
}

function ignoreAbsent(error: unknown): null {
  if (systemCode(error) === "ENOENT") return null;
  throw error;
}
