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

/** How long killed processes may take to be gone, and how often they are looked for. */
const GONE_MS = 1_000;
const LOOK_MS = 10;

/** SIGKILL to every process of `home`, again for those they started meanwhile, until none is left or a second has passed. */
export async function killProcessesOf(home: string): Promise<void> {
  for (let waited = 0; waited < GONE_MS; waited += LOOK_MS) {
    const found = await processesOf(home);
    if (found.length === 0) return;
    for (const pid of found) signal(pid, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Sends a signal to a process, or with a negative number to its group; one that is gone is fine. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself.
  }
}
