import { RumiError } from "@rumi/core";
import type { PackErrorCode } from "@rumi/pack-manifest";

/** Codes of this package. */
export type ApprovalCode =
  | "approval.pack_not_found"
  | "approval.not_approved"
  | "approval.modified"
  | "approval.blocked"
  | "approval.disabled"
  | "approval.ancestor_not_approved"
  | "approval.digest_moved"
  | "approval.tree_unsafe"
  | "approval.snapshot_corrupt"
  | "approval.not_rule_pack"
  | "approval.rule_not_approved";

/** What an operator's act may be refused with: a code of this package, or what is wrong with the pack's files. */
export type ApprovalErrorCode = ApprovalCode | PackErrorCode;

/** An operator's act that was refused. Nothing changed, and the refusal is in the audit log. */
export class ApprovalError extends RumiError<ApprovalErrorCode> {}
