import type { JsonObject, JsonValue, PackId, PermissionId, SecretKey } from "@rumi/core";
import type { GrantAsk, GrantRecord } from "./schemas/rights.ts";
import type { SecretGrantBody, SecretGrants } from "./schemas/secrets.ts";

/** A value that the proxy puts into requests. */
export const USE_SECRETS = "secrets.use" as PermissionId;
/** A value that the pack reads. */
export const GET_SECRETS = "secrets.get" as PermissionId;

/** The rights of one principal on secrets. */
export function secretGrantsOf(record: GrantRecord): SecretGrants {
  const find = (permission: PermissionId) => record.rights.find((right) => right.permission_id === permission) ?? null;
  return { pack_id: record.principal_id, use: find(USE_SECRETS), get: find(GET_SECRETS) };
}

/** The grant that `mode: use` or `mode: get` means. */
export function secretGrantAsk(packId: PackId, body: SecretGrantBody): GrantAsk {
  const terms = {
    principal_id: packId,
    ...(body.expires_at === undefined ? {} : { expires_at: body.expires_at }),
    ...(body.notes === undefined ? {} : { notes: body.notes }),
  };
  if (body.mode === "get")
    return { ...terms, permission_id: GET_SECRETS, config: { allowed_keys: "keys" in body ? body.keys : body.secret_keys } };
  const config: JsonObject = { allowed_bindings: body.bindings, ...(body.slots === undefined ? {} : { allowed_slots: body.slots }) };
  return { ...terms, permission_id: USE_SECRETS, config };
}

/** The config without what names `key`: null when it then names no secret, undefined when it never named this one. */
export function withoutSecret(permission: string, config: JsonObject, key: SecretKey): JsonObject | null | undefined {
  const field = permission === GET_SECRETS ? "allowed_keys" : "allowed_bindings";
  const held = config[field];
  if (!Array.isArray(held)) return undefined;
  const names = (item: JsonValue): boolean =>
    permission === GET_SECRETS ? item === key : typeof item === "string" && item.startsWith(`${key}@`);
  const rest = held.filter((item) => !names(item));
  if (rest.length === held.length) return undefined;
  return rest.length === 0 ? null : { ...config, [field]: rest };
}
