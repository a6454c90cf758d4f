import * as v from "valibot";

/** Where a pack says which rights it wishes for. It informs the operator and grants nothing. */
export const PERMISSIONS_FILE = "permissions.json";

const Texts = v.array(v.pipe(v.string(), v.maxLength(512)));
const Reason = v.optional(v.pipe(v.string(), v.maxLength(1024)), "");

/** One wish of a pack. */
export const DeclaredPermission = v.variant("type", [
  v.object({
    type: v.literal("network"),
    domains: v.optional(Texts, []),
    ports: v.optional(v.array(v.union([v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)), v.literal("*")])), []),
    reason: Reason,
  }),
  v.object({
    type: v.literal("capability"),
    permission_id: v.pipe(v.string(), v.maxLength(128), v.regex(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/u)),
    config: v.optional(v.record(v.string(), v.unknown()), {}),
    reason: Reason,
  }),
  v.object({ type: v.literal("secret"), keys: Texts, hosts: v.optional(Texts, []), reason: Reason }),
  v.object({ type: v.literal("store"), store_ids: Texts, operations: v.optional(Texts, []), reason: Reason }),
]);
export type DeclaredPermission = v.InferOutput<typeof DeclaredPermission>;

/** `permissions.json`. Each entry is read on its own; one that is not understood is left out and warned about. */
export const PermissionsJson = v.object({
  pack_id: v.optional(v.string()),
  permissions: v.optional(v.array(v.unknown()), []),
});
export type PermissionsJson = v.InferOutput<typeof PermissionsJson>;
