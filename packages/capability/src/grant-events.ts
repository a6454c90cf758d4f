import type { AuditEvent, AuditSink, JsonObject, RumiError } from "@rumi/core";

/** What kind of right a permission is, in the words of the audit log (page "Trust", section 15). */
export function permissionType(permission: string): string {
  if (permission === "network.egress") return "network_grant";
  return permission.startsWith("secrets.") ? "secret_grant" : "capability_grant";
}

/** The facts of one act on one right. */
export interface RightFacts {
  readonly permission_type: string;
  readonly principal_id: string;
  readonly permission_id: string;
  readonly actor: string;
}

/** An entry of the category `permission` for something that happened to a right. */
export function permissionEvent(action: string, facts: RightFacts, details: JsonObject = {}): AuditEvent {
  const severity = action === "grant" && isRed(details) ? "warning" : "info";
  return { category: "permission", severity, action, success: true, owner_pack: facts.principal_id, details: { ...facts, ...details } };
}

function isRed(details: JsonObject): boolean {
  return Array.isArray(details.undeclared) && details.undeclared.length > 0;
}

/** Audits a refused act, in `permission` and by its code in `security`, then throws it. */
export async function refuse(audit: AuditSink, action: string, facts: RightFacts, error: RumiError): Promise<never> {
  const { code, message, remedy } = error;
  const details = { ...facts, principal_id: cut(facts.principal_id), permission_id: cut(facts.permission_id), code, remedy };
  const event = { severity: "warning", success: false, rejection_reason: message, details } as const;
  await audit.record({ category: "permission", action, ...event });
  await audit.record({ category: "security", action: code, ...event });
  throw error;
}

/** Names in a refused act may be anything. */
function cut(text: string): string {
  return text.slice(0, 200);
}
