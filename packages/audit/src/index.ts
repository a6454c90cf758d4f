export { AuditLog, DURABLE_CATEGORIES } from "./audit-log.ts";
export type { AuditLogDeps, AuditSummary } from "./audit-log.ts";
export { GENESIS, MAX_ENTRY_BYTES, MAX_TEXT_BYTES } from "./entry.ts";
export type { AuditEntry } from "./entry.ts";
export { readHead } from "./heads.ts";
export type { AuditHead } from "./heads.ts";
export { readAuditCursor } from "./query.ts";
export type { AuditFilter, AuditPage } from "./query.ts";
export { verifyAudit } from "./verify.ts";
export type { AuditFault, AuditVerification, VerifySource } from "./verify.ts";

export { Diagnostics, MAX_PART_EVENTS } from "./diagnostics.ts";
export type { PartEvent, PartFilter } from "./diagnostics.ts";

export { createRedactor, isSecretName, REDACTED, redactValue } from "./redactor.ts";

export { AuditError } from "./errors.ts";
export type { AuditErrorCode } from "./errors.ts";
