import { access, readdir, readFile } from "node:fs/promises";
import { MASKED_FILES, MASKED_FOLDERS } from "./launch.ts";
import type { LaunchHost } from "./launch.ts";
import { runProgram } from "./run-program.ts";

/** What this machine has for a launch. */
export interface HostFacts {
  /** Null when bubblewrap is not there. */
  readonly version: string | null;
  /** Older than `OLDEST_BUBBLEWRAP`. */
  readonly tooOld: boolean;
  readonly host: LaunchHost;
  /** Settings of the kernel that keep unprivileged users from making namespaces. */
  readonly forbids: readonly ("userns_clone" | "apparmor" | "max_user_namespaces")[];
}

/** First bubblewrap that can clear the environment. */
export const OLDEST_BUBBLEWRAP = [0, 5] as const;

/** First bubblewrap that can forbid further user namespaces. The filter forbids them too. */
const DISABLES_USERNS = [0, 8] as const;

/** Looks; changes nothing and never throws. */
export async function readHostFacts(bwrap: string, isRoot: boolean): Promise<HostFacts> {
  const asked = await runProgram(bwrap, ["--version"]);
  const found = /(\d+)\.(\d+)(?:\.\d+)?/u.exec(asked.code === 0 ? asked.stdout : "");
  const [major, minor] = found === null ? [0, 0] : [Number(found[1]), Number(found[2])];
  const isFrom = ([wantedMajor, wantedMinor]: readonly [number, number]): boolean =>
    major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
  const shown = new Set(await readdir("/proc").catch(() => []));
  const masked: string[] = [];
  for (const name of [...MASKED_FILES, ...MASKED_FOLDERS]) {
    if (shown.has(name) && (await exists(`/proc/${name}`))) masked.push(name);
  }
  return {
    version: found?.[0] ?? null,
    tooOld: found !== null && !isFrom(OLDEST_BUBBLEWRAP),
    host: { bwrap, isRoot, canDisableUserns: isFrom(DISABLES_USERNS), masked },
    forbids: [
      ...((await setting("kernel/unprivileged_userns_clone")) === "0" ? (["userns_clone"] as const) : []),
      ...((await setting("kernel/apparmor_restrict_unprivileged_userns")) === "1" ? (["apparmor"] as const) : []),
      ...((await setting("user/max_user_namespaces")) === "0" ? (["max_user_namespaces"] as const) : []),
    ],
  };
}

async function setting(name: string): Promise<string | null> {
  return (await readFile(`/proc/sys/${name}`, "latin1").catch(() => null))?.trim() ?? null;
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
