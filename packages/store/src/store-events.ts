import { RumiError } from "@rumi/core";
import type { AuditEvent, AuditSink, PackId } from "@rumi/core";
import type { Share } from "./shares.ts";

/** What is done to stores, as the audit names it. */
export type StoreAct = "store_create" | "store_delete" | "store_import";

type Details = NonNullable<AuditEvent["details"]>;

/** An entry for an act that was done. */
export function storeEvent(action: StoreAct, details: Details, owner: PackId | null = null): AuditEvent {
  return { category: "system", action, success: true, ...(owner === null ? {} : { owner_pack: owner }), details };
}

/** An entry for a share given or taken. */
export function shareEvent(action: "grant" | "revoke", share: Omit<Share, "approved_at" | "approved_by">, actor: string): AuditEvent {
  const { provider_pack_id, consumer_pack_id, store_id, mode } = share;
  return {
    category: "permission",
    action,
    success: true,
    owner_pack: provider_pack_id,
    details: { permission_type: "store_share", principal_id: consumer_pack_id, config: { provider_pack_id, store_id, mode }, actor },
  };
}

/**
 * Runs `work`; a refusal is audited where the act belongs and, by its code, in `security`, then thrown on.
 * @throws what `work` throws
 */
export async function auditRefusals<T>(
  audit: AuditSink,
  act: { readonly category: "system" | "permission"; readonly action: string; readonly details: Details },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RumiError)) throw error;
    const code: string = error.code;
    const facts = { success: false, severity: "warning", rejection_reason: error.message, details: { ...act.details, code } } as const;
    await audit.record({ category: act.category, action: act.action, ...facts });
    await audit.record({ category: "security", action: code, ...facts });
    throw error;
  }
}
