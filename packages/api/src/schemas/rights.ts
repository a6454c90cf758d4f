import { PackId, PermissionId } from "@rumi/core";
import * as v from "valibot";
import { JsonMap, list, Note, Time } from "./common.ts";

/** What a right is limited to beside the permission itself. Its fields are judged by the permission's own schema. */
export const GrantConfig = JsonMap;

/** When a right was given, by whom, until when. */
const Given = {
  granted_at: v.string(),
  granted_by: v.string(),
  expires_at: v.optional(v.nullable(v.string())),
  notes: v.optional(v.nullable(v.string())),
  /** What of it the pack does not declare; empty when it declares all. */
  undeclared: list(v.unknown()),
  last_used_at: v.optional(v.nullable(v.string())),
} as const;

/** One right as it is held. */
export const GrantView = v.object({ permission_id: v.string(), config: GrantConfig, ...Given });
export type GrantView = v.InferOutput<typeof GrantView>;

/** Every right of one principal. A `tampered` record grants nothing until it is reset. */
export const GrantRecord = v.object({
  principal_id: v.string(),
  status: v.picklist(["ok", "tampered"]),
  rights: list(GrantView),
});
export type GrantRecord = v.InferOutput<typeof GrantRecord>;

export const GrantListQuery = v.strictObject({ principal_id: v.optional(PackId) });
/** `count` is the number of principals. */
export const GrantListAnswer = v.object({ grants: v.record(v.string(), GrantRecord), count: v.number() });

/** What of a right an operator says. */
const Terms = { expires_at: v.optional(Time), notes: v.optional(Note) } as const;

export const GrantBody = v.strictObject({
  principal_id: PackId,
  permission_id: PermissionId,
  config: v.optional(GrantConfig),
  ...Terms,
});
/** A right to give. */
export type GrantAsk = v.InferOutput<typeof GrantBody>;

/** A right that was given. */
export const GrantAnswer = v.object({
  principal_id: v.string(),
  permission_id: v.string(),
  granted: v.boolean(),
  config: GrantConfig,
  undeclared: list(v.unknown()),
  warnings: list(v.unknown()),
});
export type GrantAnswer = v.InferOutput<typeof GrantAnswer>;

/** `"*"` takes every right of the principal. */
export const RevokeGrantBody = v.strictObject({
  principal_id: PackId,
  permission_id: v.union([v.literal("*"), PermissionId]),
  reason: v.optional(Note),
});
/** How many rights are gone. */
export const RevokedAnswer = v.object({ revoked: v.number() });

/** Up to 50, each judged for itself: one that is malformed fails alone. */
export const BatchBody = v.strictObject({ grants: v.pipe(v.array(JsonMap), v.minLength(1)) });
const BatchResult = v.object({
  principal_id: v.string(),
  permission_id: v.string(),
  granted: v.boolean(),
  code: v.nullable(v.string()),
  error: v.nullable(v.string()),
  undeclared: v.optional(list(v.unknown())),
  warnings: v.optional(list(v.unknown())),
});
export const BatchAnswer = v.object({ total: v.number(), succeeded: v.number(), failed: v.number(), results: list(BatchResult) });
export type BatchAnswer = v.InferOutput<typeof BatchAnswer>;

export const ResetBody = v.strictObject({ principal_id: PackId });
/** `reset`: which of its records are empty now, `capabilities` or `network`. */
export const ResetAnswer = v.object({ principal_id: v.string(), reset: list(v.string()) });
export type ResetAnswer = v.InferOutput<typeof ResetAnswer>;

/** What an approval with `grant_declared` gives of one declared right, and what it leaves to the operator's own act. */
export const DeclaredRight = v.object({
  permission_id: v.string(),
  /** What would be granted; null when nothing is left. */
  config: v.nullable(GrantConfig),
  /** Declared `"*"` and private addresses, each as one line: never granted by one key. */
  left_out: list(v.string()),
  /** True when the pack already holds at least that. */
  held: v.optional(v.boolean()),
});
export type DeclaredRight = v.InferOutput<typeof DeclaredRight>;

/** The rights one yes gave. */
export const DeclaredAnswer = v.object({ granted: list(v.unknown()), stores_created: list(v.unknown()), warnings: list(v.unknown()) });
export type DeclaredAnswer = v.InferOutput<typeof DeclaredAnswer>;

/** Powers over the host, each for one pack. Source: page 20, section 6. */
export const PRIVILEGES = ["host.execute", "host.mount", "allow_wildcard_modifiers"] as const;
export const PrivilegeId = v.picklist(PRIVILEGES);
export type PrivilegeId = v.InferOutput<typeof PrivilegeId>;

export const PrivilegeParams = v.strictObject({ pack_id: PackId, privilege: PrivilegeId });
/** `host.execute`: ids of handlers or units. `host.mount`: `{source, target, read_only}` each. */
export const PrivilegeBody = v.strictObject({ config: v.optional(v.unknown()) });
export const PrivilegeView = v.object({
  privilege: v.string(),
  config: v.unknown(),
  granted_at: v.optional(v.string()),
  granted_by: v.optional(v.string()),
});
export const PackPrivileges = v.object({ pack_id: v.string(), privileges: list(PrivilegeView) });
export type PackPrivileges = v.InferOutput<typeof PackPrivileges>;
export const PrivilegeAnswer = v.object({
  pack_id: v.string(),
  privilege: v.string(),
  granted: v.boolean(),
  config: v.unknown(),
  warnings: list(v.unknown()),
});
export type PrivilegeAnswer = v.InferOutput<typeof PrivilegeAnswer>;
export const PrivilegeRevoked = v.object({ pack_id: v.string(), privilege: v.string(), revoked: v.boolean() });
