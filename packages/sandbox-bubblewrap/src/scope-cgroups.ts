import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { InstanceLimits } from "@rumi/sandbox";
import { FolderCgroups, layoutV2 } from "./cgroup-folders.ts";
import { OWN_COUNTER } from "./ports.ts";
import type { Cgroups, InstanceCgroup, LimitName, OomCounter } from "./ports.ts";
import { runProgram } from "./run-program.ts";

/** How long the service manager may take to move a process into its scope, and how often is looked. */
const MOVED_MS = 5_000;
const LOOK_MS = 5;

/** Processes of the launcher that stay outside the sandbox but count. */
const LAUNCHER_PIDS = 1;

export interface ScopePlace {
  /** Where the kernel shows its control groups. */
  readonly root: string;
  /** Begins the name of every scope of this installation. */
  readonly name: string;
  readonly user: number;
}

/** Scopes of the user's systemd, where there is one that hands memory and pids on; else null. */
export async function findScopes(place: ScopePlace): Promise<Cgroups | null> {
  const manager = join(place.root, "user.slice", `user-${String(place.user)}.slice`, `user@${String(place.user)}.service`);
  const on = (await readFile(join(manager, "cgroup.subtree_control"), "latin1").catch(() => "")).trim().split(" ");
  if (!on.includes("memory") || !on.includes("pids")) return null;
  if ((await runProgram("systemd-run", ["--user", "--scope", "--quiet", "--collect", "--", "true"])).code !== 0) return null;
  return new ScopeCgroups(place, manager, on.includes("cpu") ? [] : ["cpu"]);
}

/** The words before a command that make it run in a scope with these limits. Pure. */
export function scopePrefix(unit: string, limits: InstanceLimits): readonly string[] {
  const properties = {
    Delegate: "yes",
    MemoryMax: String(limits.memory_bytes),
    MemorySwapMax: "0",
    TasksMax: String(limits.pids + LAUNCHER_PIDS),
    CPUQuota: `${String(Math.round(limits.cpus * 100))}%`,
  };
  return [
    ...["systemd-run", "--user", "--scope", "--quiet", "--collect", `--unit=${unit}`],
    ...Object.entries(properties).flatMap(([name, value]) => ["-p", `${name}=${value}`]),
    "--",
  ];
}

/** Control groups that the user's systemd makes: one scope per instance, gone with its last process. */
class ScopeCgroups implements Cgroups {
  readonly name = "systemd scope";
  readonly missing: readonly LimitName[];
  readonly #place: ScopePlace;
  readonly #manager: string;

  constructor(place: ScopePlace, manager: string, missing: readonly LimitName[]) {
    this.#place = place;
    this.#manager = manager;
    this.missing = missing;
  }

  create(instanceId: string, limits: InstanceLimits): Promise<InstanceCgroup> {
    const unit = this.#unit(instanceId);
    return Promise.resolve(new ScopeCgroup(this.#place.root, unit, scopePrefix(unit, limits), async () => await this.#find(unit)));
  }

  async held(): Promise<readonly string[]> {
    const prefix = `${this.#place.name}-`;
    const units = await this.#scopes();
    return units
      .map((folder) => basename(folder, ".scope"))
      .flatMap((unit) => (unit.startsWith(prefix) ? [unit.slice(prefix.length)] : []));
  }

  open(instanceId: string): InstanceCgroup {
    const unit = this.#unit(instanceId);
    return new ScopeCgroup(this.#place.root, unit, [], async () => await this.#find(unit));
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #unit(instanceId: string): string {
    return `${this.#place.name}-${instanceId}`;
  }

  async #find(unit: string): Promise<string | null> {
    return (await this.#scopes()).find((folder) => basename(folder) === `${unit}.scope`) ?? null;
  }

  /** Folders of scopes, which lie in a slice of the manager. */
  async #scopes(): Promise<string[]> {
    const slices = (await readdir(this.#manager).catch(() => [])).filter((name) => name.endsWith(".slice"));
    const folders = [this.#manager, ...slices.map((name) => join(this.#manager, name))];
    const names = await Promise.all(
      folders.map(async (folder) => (await readdir(folder).catch(() => [])).map((name) => join(folder, name))),
    );
    return names.flat().filter((path) => path.endsWith(".scope"));
  }
}

class ScopeCgroup implements InstanceCgroup {
  readonly joinFiles: readonly string[] = [];
  readonly prefix: readonly string[];
  readonly oomCounter: OomCounter = { source: OWN_COUNTER, target: "/sys/fs/cgroup/memory.events" };
  readonly #root: string;
  readonly #unit: string;
  readonly #find: () => Promise<string | null>;
  #folder: string | null = null;

  constructor(root: string, unit: string, prefix: readonly string[], find: () => Promise<string | null>) {
    this.#root = root;
    this.#unit = unit;
    this.prefix = prefix;
    this.#find = find;
  }

  async started(pid: number): Promise<void> {
    for (let waited = 0; waited < MOVED_MS; waited += LOOK_MS) {
      const text = await readFile(`/proc/${String(pid)}/cgroup`, "latin1").catch(() => null);
      if (text === null) return;
      const path = /^0::(\/.*)$/mu.exec(text)?.[1] ?? "";
      if (path.endsWith(`/${this.#unit}.scope`)) {
        this.#folder = join(this.#root, path);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  async pids(): Promise<readonly number[]> {
    return (await (await this.#group())?.pids()) ?? [];
  }

  async memoryBytes(): Promise<number | null> {
    return (await (await this.#group())?.memoryBytes()) ?? null;
  }

  /** The scope is gone with its last process, and its count with it. */
  async oomKills(): Promise<number> {
    return (await (await this.#group())?.oomKills()) ?? 0;
  }

  async freeze(): Promise<void> {
    await (await this.#group())?.freeze();
  }

  async thaw(): Promise<void> {
    await (await this.#group())?.thaw();
  }

  async remove(): Promise<boolean> {
    return (await (await this.#group())?.remove()) ?? true;
  }

  /** The scope's folder as a group; null when it is gone. */
  async #group(): Promise<InstanceCgroup | null> {
    this.#folder ??= await this.#find();
    if (this.#folder === null || (await stat(this.#folder).catch(() => null)) === null) return null;
    return new FolderCgroups(layoutV2(dirname(this.#folder), [])).open(basename(this.#folder));
  }
}
