import { RumiError } from "@rumi/core";
import type { PackId } from "@rumi/core";
import { cutPage } from "../page.ts";
import { route } from "../route.ts";
import type { RouteContext } from "../route.ts";
import { GrantAnswer, RevokedAnswer } from "../schemas/rights.ts";
import {
  NamedSecretGrantBody,
  SecretDeleteBody,
  SecretDeleted,
  SecretGrantBody,
  SecretGrantKeyParams,
  SecretGrantList,
  SecretGrantParams,
  SecretGrants,
  SecretKeyRotated,
  SecretList,
  SecretListQuery,
  SecretSetAnswer,
  SecretSetBody,
} from "../schemas/secrets.ts";
import { GET_SECRETS, secretGrantAsk, secretGrantsOf, USE_SECRETS } from "../secret-grants.ts";

/** Which code a malformed field of a secret has. */
const FAULTS = { key: "secrets.invalid_key", value: "secrets.invalid_value" } as const;

/** Secrets and the rights on them. A value goes in and never comes out. */
export const secretRoutes = [
  route({
    name: "secrets.list",
    method: "GET",
    path: "/api/secrets",
    scope: "read",
    summary: "Every secret's key and times, never a value",
    verb: "secret list",
    query: SecretListQuery,
    data: SecretList,
    handler: async ({ query }, { deps }) => {
      const { state, secrets } = await deps.secrets.list();
      const cut = cutPage(secrets, (secret) => secret.key, query);
      return { secrets: cut.items, count: cut.items.length, next_cursor: cut.next_cursor, state };
    },
  }),
  route({
    name: "secrets.set",
    method: "POST",
    path: "/api/secrets/set",
    scope: "admin",
    summary: "Set a secret; its value is never shown again",
    verb: "secret set",
    body: SecretSetBody,
    confidential: ["value"],
    faults: FAULTS,
    data: SecretSetAnswer,
    handler: ({ body }, { deps, caller }) => deps.secrets.set(body.key, body.value, caller.actor),
  }),
  route({
    name: "secrets.delete",
    method: "POST",
    path: "/api/secrets/delete",
    scope: "admin",
    summary: "Delete a secret; what was granted on it stays granted and finds nothing",
    verb: "secret delete",
    body: SecretDeleteBody,
    faults: FAULTS,
    data: SecretDeleted,
    handler: async ({ body }, { deps, caller }) => {
      await deps.secrets.delete(body.key, caller.actor);
      return { key: body.key, deleted: true };
    },
  }),
  route({
    name: "secrets.rotateKey",
    method: "POST",
    path: "/api/secrets/rotate-key",
    scope: "admin",
    summary: "Seal every secret under a new key",
    verb: "secret rotate-key",
    data: SecretKeyRotated,
    timeoutSeconds: 600,
    handler: (_, { deps, caller }) => deps.secrets.rotateKey(caller.actor),
  }),
  route({
    name: "secrets.grants",
    method: "GET",
    path: "/api/secrets/grants",
    scope: "read",
    summary: "Every pack's rights on secrets",
    verb: "secret grant",
    data: SecretGrantList,
    handler: async (_, { deps }) => {
      const held = (await deps.grants.list()).map(secretGrantsOf).filter((grants) => grants.use !== null || grants.get !== null);
      return { grants: Object.fromEntries(held.map((grants) => [grants.pack_id, grants])), count: held.length };
    },
  }),
  route({
    name: "secrets.packGrants",
    method: "GET",
    path: "/api/secrets/grants/{pack_id}",
    scope: "read",
    summary: "One pack's rights on secrets",
    verb: "secret grant",
    params: SecretGrantParams,
    data: SecretGrants,
    handler: ({ params }, context) => heldBy(params.pack_id, context),
  }),
  route({
    name: "secrets.grantNamed",
    method: "POST",
    path: "/api/secrets/grants",
    scope: "approve",
    summary: "Let a pack use secrets in requests, or read them; replaces that right",
    verb: "secret grant",
    body: NamedSecretGrantBody,
    data: GrantAnswer,
    handler: ({ body }, { deps, caller }) => deps.grants.grant(secretGrantAsk(body.pack_id, body), caller.actor),
  }),
  route({
    name: "secrets.grant",
    method: "POST",
    path: "/api/secrets/grants/{pack_id}",
    scope: "approve",
    summary: "Let a pack use secrets in requests, or read them; replaces that right",
    verb: "secret grant",
    params: SecretGrantParams,
    body: SecretGrantBody,
    data: GrantAnswer,
    handler: ({ params, body }, { deps, caller }) => deps.grants.grant(secretGrantAsk(params.pack_id, body), caller.actor),
  }),
  route({
    name: "secrets.revoke",
    method: "DELETE",
    path: "/api/secrets/grants/{pack_id}",
    scope: "approve",
    summary: "Take every right of a pack on secrets",
    verb: "secret grant --revoke",
    params: SecretGrantParams,
    data: RevokedAnswer,
    handler: async ({ params }, context) => {
      const held = await heldBy(params.pack_id, context);
      const { deps, caller } = context;
      let revoked = 0;
      for (const permission of [held.use === null ? null : USE_SECRETS, held.get === null ? null : GET_SECRETS]) {
        if (permission === null) continue;
        revoked += (await deps.grants.revoke({ principal_id: params.pack_id, permission_id: permission }, caller.actor)).revoked;
      }
      return { revoked };
    },
  }),
  route({
    name: "secrets.withdraw",
    method: "DELETE",
    path: "/api/secrets/grants/{pack_id}/{key}",
    scope: "approve",
    summary: "Take one secret out of a pack's rights",
    verb: "secret grant --revoke",
    params: SecretGrantKeyParams,
    data: RevokedAnswer,
    handler: ({ params }, { deps, caller }) => deps.grants.withdrawSecret(params, caller.actor),
  }),
] as const;

/** @throws RumiError `capability.grant_not_found` when the pack has no right on any secret */
async function heldBy(packId: PackId, { deps }: RouteContext): Promise<SecretGrants> {
  const [record] = await deps.grants.list(packId);
  const held = record === undefined ? null : secretGrantsOf(record);
  if (held === null || (held.use === null && held.get === null))
    throw new RumiError("capability.grant_not_found", "this pack has no right on any secret", { details: { principal_id: packId } });
  return held;
}
