import { access, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FolderCgroups, layoutV1, layoutV2 } from "./cgroup-folders.ts";
import { findScopes } from "./scope-cgroups.ts";
import type { Cgroups, LimitName } from "./ports.ts";

/** Characters of an installation's id in a folder's name. */
const INSTALLATION_CHARS = 16;

/** Controllers that limit; `freezer` only pauses. */
const LIMITING = ["memory", "pids", "cpu"] as const;

export interface CgroupPlace {
  readonly root: string;
  readonly installation: string;
  /** Path of the daemon's own group, as `/proc/self/cgroup` has it for v2. */
  readonly own: string | null;
  /** The user whose service manager may be asked for groups; null for root, who needs nobody. */
  readonly user: number | null;
}

/** The path of this process in the one hierarchy of v2. */
export async function ownCgroup(): Promise<string | null> {
  const text = await readFile("/proc/self/cgroup", "latin1").catch(() => "");
  return /^0::(\/.*)$/mu.exec(text)?.[1] ?? null;
}

/** The control groups this daemon may make, with what they cannot limit. Never throws; where nothing can be made all is missing. */
export async function findCgroups(place: CgroupPlace): Promise<Cgroups> {
  const name = `rumi-${place.installation.slice(0, INSTALLATION_CHARS)}`;
  if (await exists(join(place.root, "cgroup.controllers"))) return await findV2(place, name);
  const hierarchies: Record<string, string> = {};
  for (const controller of [...LIMITING, "freezer"]) {
    const top = join(place.root, controller);
    if (!(await exists(join(top, "cgroup.procs")))) continue;
    if (await made(join(top, name))) hierarchies[controller] = join(top, name);
  }
  const missing: LimitName[] = LIMITING.filter((controller) => hierarchies[controller] === undefined);
  const { memory } = hierarchies;
  if (memory === undefined || (!(await exists(join(memory, "memory.memsw.limit_in_bytes"))) && (await hasSwap()))) missing.push("swap");
  return new FolderCgroups(layoutV1(hierarchies, missing));
}

async function findV2(place: CgroupPlace, name: string): Promise<Cgroups> {
  const parents = [place.root, ...(place.own === null || place.own === "/" ? [] : [join(place.root, place.own)])];
  let best = new FolderCgroups(layoutV2(null, [...LIMITING, "swap"]));
  for (const parent of parents) {
    if (!(await delegate(parent, parent !== place.root || place.own === "/"))) continue;
    const folder = join(parent, name);
    if (!(await made(folder)) || !(await enable(folder))) continue;
    const missing = await missingIn(folder);
    if (missing.length < best.missing.length) best = new FolderCgroups(layoutV2(folder, missing));
    if (!missing.includes("memory") && !missing.includes("pids")) break;
  }
  if (place.user === null || !best.missing.some((limit) => limit === "memory" || limit === "pids")) return best;
  return (await findScopes({ root: place.root, name, user: place.user })) ?? best;
}

/** Lets children of `parent` have controllers. Where it holds processes itself they move into a child of it first: ours only. */
async function delegate(parent: string, mayMove: boolean): Promise<boolean> {
  if (await enable(parent)) return true;
  if (!mayMove) return false;
  const main = join(parent, "rumi-main");
  if (!(await made(main))) return false;
  const pids = (await readFile(join(parent, "cgroup.procs"), "latin1").catch(() => "")).split("\n").filter(Boolean);
  for (const pid of pids) await put(join(main, "cgroup.procs"), pid);
  return await enable(parent);
}

/** Each controller that is there, one by one: one that is not must not keep the others away. True when memory and pids are on. */
async function enable(folder: string): Promise<boolean> {
  for (const controller of LIMITING) await put(join(folder, "cgroup.subtree_control"), `+${controller}`);
  const on = (await readFile(join(folder, "cgroup.subtree_control"), "latin1").catch(() => "")).trim().split(" ");
  return on.includes("memory") && on.includes("pids");
}

async function missingIn(folder: string): Promise<LimitName[]> {
  const on = (await readFile(join(folder, "cgroup.subtree_control"), "latin1").catch(() => "")).trim().split(" ");
  const missing: LimitName[] = LIMITING.filter((controller) => !on.includes(controller));
  if (!(await exists(join(folder, "memory.swap.max"))) && (await hasSwap())) missing.push("swap");
  return missing;
}

/** True where memory may be written to disk at all. */
async function hasSwap(): Promise<boolean> {
  const lines = (await readFile("/proc/swaps", "latin1").catch(() => "")).trim().split("\n");
  return lines.length > 1;
}

async function made(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { recursive: true });
    return await exists(join(folder, "cgroup.procs"));
  } catch {
    return false;
  }
}

async function put(file: string, text: string): Promise<boolean> {
  try {
    await writeFile(file, text, { flag: "r+" });
    return true;
  } catch {
    return false;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
