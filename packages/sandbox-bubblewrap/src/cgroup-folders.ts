import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { InstanceLimits } from "@rumi/sandbox";
import type { Cgroups, InstanceCgroup, LimitName, OomCounter } from "./ports.ts";

/** How long killed processes may take to be gone, and how often they are looked for. */
const GONE_MS = 5_000;
const LOOK_MS = 5;

/** Length of the period in which the processor's time is counted, as the kernel has it by default. */
const CPU_PERIOD_US = 100_000;

/** Processes of the launcher that stay outside the sandbox but count. */
const LAUNCHER_PIDS = 1;

const INSTANCE_ID = /^[0-9a-f]{32}$/u;

/** Values to write, by file below the group's folder of one hierarchy. A file marked optional may be missing. */
export interface LimitFile {
  readonly hierarchy: string;
  readonly file: string;
  readonly value: string;
  readonly optional?: boolean;
}

/** The names of one version of the kernel's interface. */
export interface CgroupLayout {
  readonly name: string;
  /** Folders under which groups are made, by hierarchy; the first one lists them all. */
  readonly hierarchies: Readonly<Record<string, string>>;
  readonly missing: readonly LimitName[];
  limitFiles(limits: InstanceLimits): readonly LimitFile[];
  readonly memoryFile: { readonly hierarchy: string; readonly file: string } | null;
  readonly oomFile: { readonly hierarchy: string; readonly file: string; readonly target: string } | null;
  readonly freezeFile: { readonly hierarchy: string; readonly file: string; readonly on: string; readonly off: string } | null;
  /** One write ends every process. */
  readonly killFile: string | null;
}

/** Limits of cgroup v1, one hierarchy per controller. Pure. */
export function layoutV1(hierarchies: Readonly<Record<string, string>>, missing: readonly LimitName[]): CgroupLayout {
  const has = (name: string): boolean => hierarchies[name] !== undefined;
  return {
    name: "cgroup v1",
    hierarchies,
    missing,
    limitFiles: (limits) => [
      { hierarchy: "memory", file: "memory.limit_in_bytes", value: String(limits.memory_bytes) },
      { hierarchy: "memory", file: "memory.memsw.limit_in_bytes", value: String(limits.memory_bytes), optional: true },
      { hierarchy: "pids", file: "pids.max", value: String(limits.pids + LAUNCHER_PIDS) },
      { hierarchy: "cpu", file: "cpu.cfs_period_us", value: String(CPU_PERIOD_US), optional: true },
      { hierarchy: "cpu", file: "cpu.cfs_quota_us", value: String(Math.round(limits.cpus * CPU_PERIOD_US)), optional: true },
    ],
    memoryFile: has("memory") ? { hierarchy: "memory", file: "memory.usage_in_bytes" } : null,
    oomFile: has("memory") ? { hierarchy: "memory", file: "memory.oom_control", target: "/sys/fs/cgroup/memory/memory.oom_control" } : null,
    freezeFile: has("freezer") ? { hierarchy: "freezer", file: "freezer.state", on: "FROZEN", off: "THAWED" } : null,
    killFile: null,
  };
}

/** Limits of cgroup v2, one hierarchy for all; without a folder no group is made. Pure. */
export function layoutV2(folder: string | null, missing: readonly LimitName[]): CgroupLayout {
  const all = "all";
  const lacks = (name: LimitName): boolean => missing.includes(name);
  return {
    name: "cgroup v2",
    hierarchies: folder === null ? {} : { [all]: folder },
    missing,
    limitFiles: (limits) =>
      limitsV2(limits).map(([file, value]) => ({
        hierarchy: all,
        file,
        value,
        optional: file.startsWith("cpu.") || file === "memory.swap.max",
      })),
    memoryFile: lacks("memory") || folder === null ? null : { hierarchy: all, file: "memory.current" },
    oomFile: lacks("memory") || folder === null ? null : { hierarchy: all, file: "memory.events", target: "/sys/fs/cgroup/memory.events" },
    freezeFile: folder === null ? null : { hierarchy: all, file: "cgroup.freeze", on: "1", off: "0" },
    killFile: "cgroup.kill",
  };
}

function limitsV2(limits: InstanceLimits): readonly (readonly [string, string])[] {
  return [
    ["memory.max", String(limits.memory_bytes)],
    ["memory.swap.max", "0"],
    ["pids.max", String(limits.pids + LAUNCHER_PIDS)],
    ["cpu.max", `${String(Math.round(limits.cpus * CPU_PERIOD_US))} ${String(CPU_PERIOD_US)}`],
  ];
}

/** Control groups that are folders of ours: cgroup v1 as root, or a delegated part of v2. */
export class FolderCgroups implements Cgroups {
  readonly #layout: CgroupLayout;

  constructor(layout: CgroupLayout) {
    this.#layout = layout;
  }

  get name(): string {
    return this.#layout.name;
  }

  get missing(): readonly LimitName[] {
    return this.#layout.missing;
  }

  async create(instanceId: string, limits: InstanceLimits): Promise<InstanceCgroup> {
    const group = new FolderCgroup(this.#layout, instanceId);
    try {
      await group.make(limits);
      return group;
    } catch (error) {
      await group.remove();
      throw error;
    }
  }

  async held(): Promise<readonly string[]> {
    const names = await Promise.all(Object.values(this.#layout.hierarchies).map((folder) => readdir(folder).catch(() => [])));
    return [...new Set(names.flat())].filter((name) => INSTANCE_ID.test(name));
  }

  open(instanceId: string): InstanceCgroup {
    return new FolderCgroup(this.#layout, instanceId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Object.values(this.#layout.hierarchies).map((folder) => removeFolder(folder)));
  }
}

class FolderCgroup implements InstanceCgroup {
  readonly prefix: readonly string[] = [];
  readonly joinFiles: readonly string[];
  readonly oomCounter: OomCounter | null;
  readonly #layout: CgroupLayout;
  readonly #folders: Readonly<Record<string, string>>;

  constructor(layout: CgroupLayout, instanceId: string) {
    this.#layout = layout;
    this.#folders = Object.fromEntries(Object.entries(layout.hierarchies).map(([name, folder]) => [name, join(folder, instanceId)]));
    this.joinFiles = Object.values(this.#folders).map((folder) => join(folder, "cgroup.procs"));
    const { oomFile } = layout;
    this.oomCounter = oomFile === null ? null : { source: this.#path(oomFile), target: oomFile.target };
  }

  async make(limits: InstanceLimits): Promise<void> {
    for (const folder of Object.values(this.#folders)) await mkdir(folder, { recursive: true });
    for (const { hierarchy, file, value, optional } of this.#layout.limitFiles(limits)) {
      const folder = this.#folders[hierarchy];
      if (folder === undefined) continue;
      // Never `writeFile`'s own making of files: a limit that is no file of the kernel limits nothing.
      const writing = writeFile(join(folder, file), value, { flag: "r+" });
      await (optional === true || this.#layout.missing.length > 0 ? writing.catch(() => {}) : writing);
    }
  }

  started(): Promise<void> {
    return Promise.resolve();
  }

  async pids(): Promise<readonly number[]> {
    const found = await Promise.all(this.joinFiles.map((file) => readFile(file, "latin1").catch(() => "")));
    return [...new Set(found.flatMap((text) => text.split("\n").filter(Boolean).map(Number)))].filter((pid) => pid > 1);
  }

  async memoryBytes(): Promise<number | null> {
    const { memoryFile } = this.#layout;
    if (memoryFile === null) return null;
    const text = await readFile(this.#path(memoryFile), "latin1").catch(() => null);
    return text === null ? null : Number(text);
  }

  async oomKills(): Promise<number> {
    if (this.oomCounter === null) return 0;
    const text = await readFile(this.oomCounter.source, "latin1").catch(() => "");
    return Number(/^oom_kill (\d+)$/mu.exec(text)?.[1] ?? 0);
  }

  async freeze(): Promise<void> {
    await this.#setFrozen("on");
  }

  async thaw(): Promise<void> {
    await this.#setFrozen("off");
  }

  async remove(): Promise<boolean> {
    await this.thaw();
    for (let waited = 0; waited < GONE_MS; waited += LOOK_MS) {
      await this.#kill();
      const left = await Promise.all(Object.values(this.#folders).map((folder) => removeFolder(folder)));
      if (left.every(Boolean)) return true;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return false;
  }

  async #kill(): Promise<void> {
    const { killFile } = this.#layout;
    if (killFile !== null) {
      for (const folder of Object.values(this.#folders)) await writeFile(join(folder, killFile), "1", { flag: "r+" }).catch(() => {});
    }
    for (const pid of await this.pids()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
  }

  async #setFrozen(how: "on" | "off"): Promise<void> {
    const { freezeFile } = this.#layout;
    if (freezeFile !== null) await writeFile(this.#path(freezeFile), freezeFile[how], { flag: "r+" }).catch(() => {});
  }

  #path(place: { readonly hierarchy: string; readonly file: string }): string {
    return join(this.#folders[place.hierarchy] ?? "", place.file);
  }
}

/** True when the folder is gone. */
async function removeFolder(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}
