import type { Digest, PackId } from "@rumi/core";
import type { Runtime } from "@rumi/sandbox";
import type { InstanceSeed } from "./ports.ts";

/** One instance as an operator sees it. */
export interface InstanceView {
  readonly id: string;
  readonly pack_id: PackId;
  readonly digest: Digest;
  readonly runtime: Runtime;
  readonly authority: string;
  readonly state: "starting" | "idle" | "busy" | "paused" | "draining";
  readonly busy: number;
  readonly waiting: number;
  readonly calls: number;
  readonly started_at: number | null;
}

/** Which instances an order concerns; absent members match all. */
export interface InstanceFilter {
  readonly pack_id?: PackId;
  readonly runtime?: Runtime;
  /** Keeps instances of these bytes. */
  readonly exceptDigest?: Digest;
}

/** Whether an order with this filter concerns the instances of `seed`. */
export function concerns(seed: InstanceSeed, filter: InstanceFilter): boolean {
  if (filter.pack_id !== undefined && seed.pack_id !== filter.pack_id) return false;
  if (filter.runtime !== undefined && seed.runtime !== filter.runtime) return false;
  return filter.exceptDigest === undefined || seed.digest !== filter.exceptDigest;
}
