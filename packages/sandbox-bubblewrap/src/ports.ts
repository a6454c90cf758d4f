import type { InstanceLimits } from "@rumi/sandbox";

/** Where the kernel shows its control groups. */
export const CGROUP_ROOT = "/sys/fs/cgroup";

/** Stands for the counter of a group whose path is only known to the process in it. */
export const OWN_COUNTER = "self";

/** What can be limited here. `swap`: memory cannot grow past its limit into swap. */
export type LimitName = "memory" | "swap" | "pids" | "cpu";

/** A file that counts the kernel's kills for memory, and where a runner looks for it inside. */
export interface OomCounter {
  /** Host path, or `OWN_COUNTER`. */
  readonly source: string;
  readonly target: string;
}

/** The control group of one instance: its processes, their limits, and their end. */
export interface InstanceCgroup {
  /** Files that take the pid of a process that joins, in this order. */
  readonly joinFiles: readonly string[];
  /** Words before a command that is to run inside the group. Empty where `joinFiles` do it. */
  readonly prefix: readonly string[];
  readonly oomCounter: OomCounter | null;
  /** Tells the pid of a first process, for a group that is only known through it. */
  started(pid: number): Promise<void>;
  pids(): Promise<readonly number[]>;
  memoryBytes(): Promise<number | null>;
  /** Processes killed for memory so far. */
  oomKills(): Promise<number>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** Kills every process in it and removes it. Idempotent; true when nothing is left. */
  remove(): Promise<boolean>;
}

/** The control groups of one installation. Disposing removes the empty folders they were made in. */
export interface Cgroups extends AsyncDisposable {
  /** How, for a human: `cgroup v1`, `cgroup v2`, `systemd scope`. */
  readonly name: string;
  /** Limits that cannot be enforced. */
  readonly missing: readonly LimitName[];
  /** @throws Error when the group cannot be made */
  create(instanceId: string, limits: InstanceLimits): Promise<InstanceCgroup>;
  /** Ids of groups that exist, whoever made them. */
  held(): Promise<readonly string[]>;
  /** A group that exists already. */
  open(instanceId: string): InstanceCgroup;
}
