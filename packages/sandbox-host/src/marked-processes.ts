import { readdir, readFile } from "node:fs/promises";

/**
 * Pids of the processes whose environment names a home at or below `home`. Hygiene only: a process may
 * rewrite its environment; on the host there is no wall to hold it.
 */
export async function processesOf(home: string): Promise<number[]> {
  const names = await readdir("/proc").catch(() => []);
  const found: number[] = [];
  for (const name of names) {
    const pid = Number(name);
    if (!Number.isSafeInteger(pid) || pid <= 1 || pid === process.pid) continue;
    const environment = await readFile(`/proc/${name}/environ`, "latin1").catch(() => "");
    if (environment.split("\0").some((entry) => entry === `HOME=${home}` || entry.startsWith(`HOME=${home}/`))) found.push(pid);
  }
  return found;
}

/** SIGKILL to every process of `home`. */
export async function killProcessesOf(home: string): Promise<void> {
  for (const pid of await processesOf(home)) signal(pid, "SIGKILL");
}

/** Sends a signal to a process, or with a negative number to its group; one that is gone is fine. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself.
  }
}
