import { open } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isJsonObject } from "@rumi/core";
import { PRIVATE_FILE_MODE, writeFileAtomic } from "./atomic-write.ts";
import { SafeFilesError, systemCode } from "./errors.ts";
import { ensureFolder } from "./folder.ts";
import { readJsonFile } from "./json-file.ts";

/** Who holds a home. */
export interface HomeHolder {
  readonly pid: number;
  readonly url?: string;
}

/** The right to be the one daemon of a home; ends with its scope or with the process, however that dies. */
export interface HomeLock extends AsyncDisposable {
  /** Tells those who come second more about the holder, such as the address it listens on. */
  announce(holder: HomeHolder): Promise<void>;
}

const SETTINGS = "settings";
const LOCK_FILE = ".lock";
const HOLDER_FILE = ".lock.json";

/**
 * Takes the home at `userData` for this process. The lock is the system's own on an otherwise empty SQLite file, so a
 * killed holder holds nothing: no process id is ever judged.
 * @throws SafeFilesError `safe_files.locked_by` with details `{pid, url}` (null when the holder has not said yet)
 */
export async function lockHome(userData: string, holder: HomeHolder): Promise<HomeLock> {
  const folder = join(userData, SETTINGS);
  await ensureFolder(userData);
  await ensureFolder(folder);
  const announce = ({ pid, url }: HomeHolder): Promise<void> =>
    writeFileAtomic(join(folder, HOLDER_FILE), `${JSON.stringify({ pid, url: url ?? null })}\n`);
  await createLockFile(join(folder, LOCK_FILE));
  const database = new DatabaseSync(join(folder, LOCK_FILE), { timeout: 0 });
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (cause) {
    database.close();
    if (!isBusy(cause)) throw cause;
    const other = await readHolder(join(folder, HOLDER_FILE));
    throw new SafeFilesError(
      "safe_files.locked_by",
      other.pid === null ? "another daemon uses this home" : `the daemon with pid ${other.pid} uses this home`,
      { cause, details: other },
    );
  }
  try {
    await announce(holder);
  } catch (error) {
    database.close();
    throw error;
  }
  let held = true;
  return {
    announce,
    [Symbol.asyncDispose]: () => {
      if (held) database.close();
      held = false;
      return Promise.resolve();
    },
  };
}

/** Made here only when absent, so that it is 0600: closing a handle on a locked file would end this process's own lock. */
async function createLockFile(path: string): Promise<void> {
  try {
    await (await open(path, "ax", PRIVATE_FILE_MODE)).close();
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
  }
}

/** SQLITE_BUSY and SQLITE_LOCKED. */
function isBusy(error: unknown): boolean {
  if (typeof error !== "object" || error === null || !("errcode" in error)) return false;
  return error.errcode === 5 || error.errcode === 6;
}

async function readHolder(path: string): Promise<{ pid: number | null; url: string | null }> {
  const value = await readJsonFile(path).catch(() => null);
  if (!isJsonObject(value)) return { pid: null, url: null };
  return {
    pid: typeof value.pid === "number" ? value.pid : null,
    url: typeof value.url === "string" ? value.url : null,
  };
}
