import type { Decision, Digest, ErrorCode, PackId } from "@rumi/core";
import type { InstanceSpec, Runtime } from "@rumi/sandbox";
import type { TreeListing } from "@rumi/safe-files";

/** What the gate gives for a pack that may run: where its approved bytes lie. */
export interface ApprovedSnapshot {
  readonly digest: Digest;
  /** Absolute folder of the snapshot, read-only. */
  readonly root: string;
  /** Folder of `ecosystem.json` below `root`; `""` for the root itself. */
  readonly subdir: string;
  readonly listing: TreeListing;
  readonly pack: { readonly reuse: boolean };
}

/** "May this pack run, and from which bytes?", answered in memory. `PackApprovals` is one. */
export interface ApprovalGate {
  /** Synchronous, microseconds. With `digest`: refuses unless these very bytes are the approved ones. */
  gate(packId: PackId, digest?: Digest): Decision<ApprovedSnapshot, ErrorCode>;
  /** Re-hashes the snapshot on disk against its signed list. */
  verifySnapshot(packId: PackId, digest: Digest): Promise<Decision<object, ErrorCode>>;
}

/** Delayed work as a collaborator; tests pass a manual one. */
export interface Timers {
  /** Runs `run` once after `ms`, unless the returned function is called before. Never keeps the process alive. */
  after(ms: number, run: () => void): () => void;
}

/** Whose instance a call needs. Two calls share an instance only when the first four members are equal. */
export interface InstanceSeed {
  readonly pack_id: PackId;
  readonly digest: Digest;
  readonly runtime: Runtime;
  /** The plain principal, or a Worker's narrowed one. */
  readonly authority: string;
  /** The snapshot's folder on this host. */
  readonly root: string;
  /** The pack asked for a process that keeps its state. */
  readonly reuse: boolean;
}

/** Makes the whole specification of an instance for a seed, with the folders it mounts in place. */
export interface InstanceSpecs {
  create(seed: InstanceSeed): Promise<InstanceSpec>;
}
