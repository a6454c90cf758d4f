// What a call left behind goes: processes first, then files. Node cannot reap a process it did not start, so a dead
// orphan stays and is told of.
import { chmodSync, lstatSync, openSync, readdirSync, readFileSync, readSync, renameSync, rmdirSync, unlinkSync } from "node:fs";

const OOM_FILES = ["/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events"];

/** Pids of the direct children of `pid`, orphans it adopted among them. */
export function childrenOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** SIGKILL to a process, or with a negative number to its group. */
export function kill(pid, signal = "SIGKILL") {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone.
  }
}

/** Empties folders without following links. Folders inside are first moved up, so depth costs nothing. */
export function wipe(folders) {
  for (const folder of folders) {
    for (const name of list(folder)) remove(folder, `${folder}/${name}`);
  }
}

function list(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function remove(base, path) {
  const pending = [path];
  for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
    if (!attempt(() => rmdirSync(folder))) {
      attempt(() => chmodSync(folder, 0o700));
      for (const name of list(folder)) {
        const item = `${folder}/${name}`;
        if (attempt(() => unlinkSync(item))) continue;
        const moved = `${base}/.gone-${process.hrtime.bigint()}`;
        attempt(() => {
          if (!lstatSync(item).isDirectory()) return;
          chmodSync(item, 0o700);
          renameSync(item, moved);
          pending.push(moved);
        });
      }
      if (!attempt(() => rmdirSync(folder))) attempt(() => unlinkSync(folder));
    }
  }
}

function attempt(action) {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}

/** Counts the kernel's OOM kills in our cgroup, where it is readable (v1 and v2). */
export class OomKills {
  #fd = null;
  #seen = 0;

  constructor() {
    if (process.pid !== 1) return;
    for (const path of OOM_FILES) {
      if (attempt(() => (this.#fd = openSync(path, "r")))) break;
    }
    this.#seen = this.#count();
  }

  /** True when there was one since the last time it was asked. */
  grew() {
    const before = this.#seen;
    this.#seen = this.#count();
    return this.#seen > before;
  }

  #count() {
    if (this.#fd === null) return 0;
    const buffer = Buffer.alloc(4096);
    const text = buffer.toString("latin1", 0, readSync(this.#fd, buffer, 0, 4096, 0));
    return Number(/^oom_kill (\d+)$/mu.exec(text)?.[1] ?? 0);
  }
}
