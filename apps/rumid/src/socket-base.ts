import { lstat, mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RumidError } from "./errors.ts";

/** Where each kind lies unless a setting says otherwise, and that setting. Source: page "Execution", section 8. */
const KINDS = {
  /** The runner's sockets and the capability sockets. */
  capability: { system: "/run/rumi/capability/principals", setting: "RUMI_CAPABILITY_SOCK_DIR", own: "" },
  egress: { system: "/run/rumi/egress/packs", setting: "RUMI_EGRESS_SOCK_DIR", own: "-egress" },
} as const;

export interface SocketBaseWishes {
  readonly kind: keyof typeof KINDS;
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
  const { system, setting, own } = KINDS[wishes.kind];
  if (wishes.configured !== null) {
    if (await isOwnFolder(wishes.configured)) return wishes.configured;
    throw new RumidError("rumid.invalid_setting", `${setting} must be a folder of this user, mode 0700, not a link`);
  }
  const candidates = [system, ...(wishes.runtimeFolder === null ? [] : [join(wishes.runtimeFolder, `rumi${own}`)])];
  for (const folder of candidates) if (await isOwnFolder(folder)) return folder;
  const temporary = join(tmpdir(), `rumi-${process.getuid?.() ?? 0}-${wishes.installation.slice(0, 8)}${own}`);
  if (await isOwnFolder(temporary)) return temporary;
  throw new RumidError("rumid.invalid_setting", `no folder for sockets: set ${setting} to a folder of this user, mode 0700`);
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
