// What a call left behind goes: processes first, then files. Node cannot reap a process it did not start, so a dead
// orphan stays and is told of.
import {
  chmodSync,
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  unlinkSync,
} from "node:fs";

const OOM_FILES = ["/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events"];

const CHILDREN_ARE_LISTED = existsSync(`/proc/${process.pid}/task/${process.pid}/children`);

/** Pids of the direct children of `pid`, orphans it adopted among them. */
export function childrenOf(pid) {
  try {
    if (!CHILDREN_ARE_LISTED) return searchChildren(pid);
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** For kernels without a list of children, such as gVisor's: every process says who its parent is. */
function searchChildren(pid) {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/u.test(name));
  return pids.map(Number).filter((other) => parentOf(other) === pid);
}

function parentOf(pid) {
  try {
    // "pid (name) state parent ...": a name may hold anything.
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return null;
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

const SLASH = Buffer.from("/");

/**
 * Empties folders without following links. Folders inside are first moved up, so depth costs nothing. Names are bytes:
 * what a call wrote need not be text. A folder of ours that a call closed gets its mode back.
 */
export function wipe(folders, modes) {
  folders.forEach((folder, index) => {
    attempt(() => chmodSync(folder, modes[index]));
    for (const name of list(folder)) removeTree(folder, name);
  });
}

function list(folder) {
  try {
    return readdirSync(folder, "buffer");
  } catch {
    return [];
  }
}

/** Removes `name` (bytes or text) in the folder `base`, whatever it is. */
export function removeTree(base, name) {
  const pending = [below(base, name)];
  for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
    if (attempt(() => rmdirSync(folder)) || attempt(() => unlinkSync(folder))) continue;
    if (!attempt(() => chmodSync(folder, 0o700))) continue;
    for (const inside of list(folder)) {
      const item = below(folder, inside);
      if (attempt(() => unlinkSync(item))) continue;
      const moved = below(base, `.gone-${process.hrtime.bigint()}`);
      attempt(() => {
        if (!lstatSync(item).isDirectory()) return;
        chmodSync(item, 0o700);
        renameSync(item, moved);
        pending.push(moved);
      });
    }
    attempt(() => rmdirSync(folder));
  }
}

function below(folder, name) {
  return Buffer.concat([Buffer.from(folder), SLASH, Buffer.from(name)]);
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
