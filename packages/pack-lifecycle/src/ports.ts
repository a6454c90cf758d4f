import type { ApprovedPack } from "@rumi/approval";
import type { Decision, Digest, ErrorCode, PackId } from "@rumi/core";

/** "May this pack run, and from which bytes?". `PackApprovals` is one. */
export interface LibGate {
  /** Memory only. With `digest`: refuses unless these very bytes are the approved ones. */
  gate(packId: PackId, digest?: Digest): Decision<Pick<ApprovedPack, "digest" | "root" | "subdir" | "listing">, ErrorCode>;
  /** Re-hashes the snapshot on disk against its signed list. */
  verifySnapshot(packId: PackId, digest: Digest): Promise<Decision<object, ErrorCode>>;
}
