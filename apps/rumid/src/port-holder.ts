import { readdir, readFile, readlink } from "node:fs/promises";

/** State `LISTEN` in the system's table of TCP sockets. */
const LISTEN = "0A";

/** The process that listens on a local TCP port, or null when it cannot be told (another system, another user's process). */
export async function portHolder(port: number): Promise<number | null> {
  const inodes = new Set<string>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const lines = (await readFile(table, "utf8").catch(() => "")).split("\n").slice(1);
    for (const line of lines) {
      const [, local = "", , state = "", , , , , , inode = ""] = line.trim().split(/\s+/u);
      if (state === LISTEN && Number.parseInt(local.slice(local.indexOf(":") + 1), 16) === port) inodes.add(`socket:[${inode}]`);
    }
  }
  if (inodes.size === 0) return null;
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/u.test(pid)) continue;
    for (const descriptor of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => "");
      if (inodes.has(target)) return Number(pid);
    }
  }
  return null;
}
