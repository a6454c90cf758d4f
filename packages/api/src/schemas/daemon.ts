import { AUDIT_CATEGORIES, FlowId, PackId } from "@rumi/core";
import * as v from "valibot";
import { list, QueryBoolean, Time } from "./common.ts";

export const HealthAnswer = v.object({ status: v.picklist(["ok", "degraded"]) });
export type HealthAnswer = v.InferOutput<typeof HealthAnswer>;

/** How the daemon is. `uptime` in seconds. */
export const DaemonStatus = v.object({
  version: v.string(),
  uptime: v.number(),
  mode: v.picklist(["strict", "permissive"]),
  engine: v.unknown(),
  counts: v.unknown(),
  warnings: list(v.string()),
});
export type DaemonStatus = v.InferOutput<typeof DaemonStatus>;

/** Parts and their last events. */
export const DiagnosticsAnswer = v.object({ parts: list(v.unknown()), events: list(v.unknown()) });
export type DiagnosticsAnswer = v.InferOutput<typeof DiagnosticsAnswer>;

export const DiagnosticsQuery = v.strictObject({
  pack_id: v.optional(PackId),
  since: v.optional(Time),
  level: v.optional(v.picklist(["ok", "degraded", "disabled", "failed"])),
});
export type DiagnosticsQuery = v.InferOutput<typeof DiagnosticsQuery>;

/** Which audit entries; newest first. */
export const AuditFilters = {
  category: v.optional(v.picklist(AUDIT_CATEGORIES)),
  from: v.optional(Time),
  to: v.optional(Time),
  pack: v.optional(PackId),
  flow: v.optional(FlowId),
  action: v.optional(v.pipe(v.string(), v.maxLength(128))),
  success: v.optional(QueryBoolean),
} as const;
const AuditFilterObject = v.strictObject(AuditFilters);
export type AuditFilterQuery = v.InferOutput<typeof AuditFilterObject>;

/** Whether the chain of entries is whole. */
export const AuditVerdict = v.object({
  ok: v.boolean(),
  entries: v.number(),
  heads: v.number(),
  first_bad: v.nullable(v.object({ seq: v.nullable(v.number()), kind: v.string() })),
});
export type AuditVerdict = v.InferOutput<typeof AuditVerdict>;
