import { lstat, mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RumidError } from "./errors.ts";

/** Where runner and capability sockets lie unless a setting says otherwise. Source: page "Execution", section 8. */
const SYSTEM_BASE = "/run/rumi/capability/principals";

export interface SocketBaseWishes {
  /** The operator's setting; it is used or the start fails. */
  readonly configured: string | null;
  /** The user's own runtime folder, e.g. `/run/user/1000`. */
  readonly runtimeFolder: string | null;
  /** Tells this home's temporary folder from another's. */
  readonly installation: string;
}

/**
 * The folder for instance sockets: the configured one, else the system's, else the user's, else a private temporary one.
 * Made when missing; must be ours, 0700 and no link. @throws RumidError when the configured one is not
 */
export async function chooseSocketBase(wishes: SocketBaseWishes): Promise<string> {
  if (wishes.configured !== null) {
    if (await isOwnFolder(wishes.configured)) return wishes.configured;
    throw new RumidError("rumid.invalid_setting", "RUMI_CAPABILITY_SOCK_DIR must be a folder of this user, mode 0700, not a link");
  }
  const candidates = [SYSTEM_BASE, ...(wishes.runtimeFolder === null ? [] : [join(wishes.runtimeFolder, "rumi")])];
  for (const folder of candidates) if (await isOwnFolder(folder)) return folder;
  const temporary = join(tmpdir(), `rumi-${process.getuid?.() ?? 0}-${wishes.installation.slice(0, 8)}`);
  if (await isOwnFolder(temporary)) return temporary;
  throw new RumidError("rumid.invalid_setting", "no folder for sockets: set RUMI_CAPABILITY_SOCK_DIR to a folder of this user, mode 0700");
}

async function isOwnFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const stats = await lstat(path);
    return stats.isDirectory() && stats.uid === process.getuid?.() && (stats.mode & 0o077) === 0;
  } catch {
    return false;
  }
}
