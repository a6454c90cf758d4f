import type { AuditEvent, AuditSink } from "@rumi/core";
import { ApprovalError } from "./errors.ts";

/** An entry of the category `approval` for something that happened. */
export function approvalEvent(
  action: string,
  packId: string,
  details: NonNullable<AuditEvent["details"]>,
  severity: "info" | "warning" = "info",
): AuditEvent {
  return { category: "approval", severity, action, success: true, owner_pack: packId, details };
}

/** Audits a refusal, in its own category and in `security`, then throws it. */
export type Refuser = (error: ApprovalError) => Promise<never>;

/** A `Refuser` for one act of one actor on one pack. */
export function createRefuser(audit: AuditSink, action: string, packId: string, actor: string): Refuser {
  return async (error) => {
    const facts = { success: false, owner_pack: packId, rejection_reason: error.message, details: { actor, code: error.code } };
    await audit.record({ category: "approval", severity: "warning", action, ...facts });
    await audit.record({ category: "security", severity: "warning", action: error.code, ...facts });
    throw error;
  };
}

/** The refusal for a name that no pack folder and no record has. */
export function packNotFound(id: string): ApprovalError {
  return new ApprovalError("approval.pack_not_found", `there is no pack ${JSON.stringify(id)}`, { remedy: "rumi pack list" });
}
