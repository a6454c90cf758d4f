import { lstat, readdir, realpath } from "node:fs/promises";
import { dirname, isAbsolute, normalize, sep } from "node:path";
import { SandboxError } from "./errors.ts";
import type { InstancePurpose, Mount } from "./ports.ts";

/** What of the host an instance must never be shown. Paths are absolute. */
export interface MountRules {
  /** The home of the daemon's records: neither it nor a folder above it is ever mounted. */
  readonly userData: string;
  /** Paths through which the engine or the machine can be steered (the engine's socket): not they, nothing above them. */
  readonly enginePaths: readonly string[];
  /** Where instances have their sockets: only `ownSocketFolders` below it may be mounted. */
  readonly socketBases: readonly string[];
  /** The socket folders of this very instance. */
  readonly ownSocketFolders: readonly string[];
  /** What the instance is for: says where it may write. Absent: a job, whose folders its own maker chose. */
  readonly purpose?: InstancePurpose;
}

/** Where a pack's data stands inside; a lib's run is the only one that writes it. Source: page "Execution", section 4. */
const DATA_TARGET = "/data";
/** Below it stand folders that an operator gave, to write only if that was said. */
const GIVEN_TARGET = "/mnt";

/** Folders of a Linux system that hold an engine's or the kernel's own state: nothing of them is ever mounted. */
const SYSTEM_FOLDERS = ["/proc", "/sys", "/dev", "/var/lib/docker", "/var/lib/containerd", "/run/containerd", "/boot"];

/** Targets that the sandbox itself fills; a mount may neither be one, nor lie above or below one (sockets excepted). */
const RESERVED_TARGETS = ["/proc", "/sys", "/dev", "/runner", "/tmp", "/etc", "/usr", "/lib", "/bin"];

/** The folder inside under which socket folders appear. */
export const SOCKET_TARGET = "/run/rumi";

/**
 * Accepts `mounts` or throws: a link anywhere in a source, a socket that is not the instance's own, `/`, an engine path,
 * the daemon's records or a folder above them is refused, as is a target the sandbox fills itself.
 * @throws SandboxError `sandbox.invalid_mount` with details `{target, rule}`; the message holds no host path.
 */
export async function checkMounts(mounts: readonly Mount[], rules: MountRules): Promise<void> {
  const targets = new Set<string>();
  for (const mount of mounts) {
    const rule = targetProblem(mount, targets, rules.purpose);
    if (rule !== null) refuse(mount, rule);
    targets.add(mount.target);
  }
  await Promise.all(
    mounts.map(async (mount) => {
      const rule = await sourceProblem(mount, rules);
      if (rule !== null) refuse(mount, rule);
    }),
  );
}

function refuse(mount: Mount, rule: string): never {
  throw new SandboxError("sandbox.invalid_mount", `mount ${mount.target} is refused: ${rule}`, {
    details: { target: mount.target, rule },
  });
}

function targetProblem(mount: Mount, taken: ReadonlySet<string>, purpose: InstancePurpose | undefined): string | null {
  const { target } = mount;
  if (!isPlainPath(target) || target === "/") return "target is not a plain absolute path";
  if (taken.has(target)) return "target is used twice";
  if (RESERVED_TARGETS.some((reserved) => isWithin(target, reserved) || isWithin(reserved, target))) {
    return "target belongs to the sandbox";
  }
  if (target === "/run" || target === SOCKET_TARGET) return "target belongs to the sandbox";
  if (isWithin(target, SOCKET_TARGET) && !mount.read_only) return "a socket folder is read-only";
  if (!mount.read_only && purpose !== undefined && !mayWrite(target, purpose)) return "the instance may not write there";
  return null;
}

function mayWrite(target: string, purpose: InstancePurpose): boolean {
  return purpose === "lib" ? target === DATA_TARGET : isWithin(target, GIVEN_TARGET);
}

async function sourceProblem(mount: Mount, rules: MountRules): Promise<string | null> {
  const { source } = mount;
  if (!isPlainPath(source)) return "source is not a plain absolute path";
  if (source === "/") return "source is the root of the host";
  let real: string;
  try {
    real = await realpath(source);
  } catch {
    return "source does not exist";
  }
  if (real !== source) return "source is or lies behind a link";
  if (SYSTEM_FOLDERS.some((folder) => isWithin(source, folder))) return "source belongs to the system";
  if (isWithin(rules.userData, source)) return "source is the daemon's home of records or lies above it";
  for (const path of rules.enginePaths) {
    const engine = await realpathOrSelf(path);
    if (isWithin(engine, source) || isWithin(path, source)) return "source holds an engine path";
  }
  if (rules.ownSocketFolders.includes(source)) return mount.read_only ? null : "a socket folder is read-only";
  if (rules.socketBases.some((base) => isWithin(source, base) || isWithin(base, source))) {
    return "source holds sockets of other instances";
  }
  const stat = await lstat(source);
  if (stat.isSocket()) return "source is a socket";
  if (!stat.isFile() && !stat.isDirectory()) return "source is neither a file nor a folder";
  if (stat.isDirectory()) {
    const entries = await readdir(source, { withFileTypes: true });
    if (entries.some((entry) => entry.isSocket())) return "source holds a socket";
  }
  return null;
}

/** True when `path` is `folder` or lies below it. Both are plain absolute paths. */
function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
}

function isPlainPath(path: string): boolean {
  return isAbsolute(path) && !path.includes("\0") && normalize(path) === path && (path === "/" || !path.endsWith("/"));
}

/** The real path; of what does not exist, the real path of its folder and the name. */
async function realpathOrSelf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    try {
      return `${await realpath(dirname(path))}${path.slice(dirname(path).length)}`;
    } catch {
      return path;
    }
  }
}
