import type { JsonValue } from "@rumi/core";
import { route } from "../route.ts";
import { page } from "../schemas/common.ts";
import { PackPrivileges, PrivilegeAnswer, PrivilegeBody, PrivilegeParams, PrivilegeRevoked } from "../schemas/rights.ts";

/** Powers of packs over the host. No verb runs anything here. */
export const privilegeRoutes = [
  route({
    name: "privileges.list",
    method: "GET",
    path: "/api/privileges",
    scope: "read",
    summary: "Every pack's powers over the host",
    verb: "privilege list",
    data: page("privileges", PackPrivileges),
    handler: async (_, { deps }) => {
      const privileges = await deps.privileges.list();
      return { privileges, count: privileges.length, next_cursor: null };
    },
  }),
  route({
    name: "privileges.grant",
    method: "POST",
    path: "/api/privileges/{pack_id}/grant/{privilege}",
    scope: "admin",
    summary: "Give a pack a power over the host",
    verb: "privilege grant",
    params: PrivilegeParams,
    body: PrivilegeBody,
    data: PrivilegeAnswer,
    handler: ({ params, body }, { deps, caller }) =>
      deps.privileges.grant(params.pack_id, params.privilege, body.config as JsonValue | undefined, caller.actor),
  }),
  route({
    name: "privileges.revoke",
    method: "POST",
    path: "/api/privileges/{pack_id}/revoke/{privilege}",
    scope: "admin",
    summary: "Take a pack's power over the host",
    verb: "privilege revoke",
    params: PrivilegeParams,
    data: PrivilegeRevoked,
    handler: async ({ params }, { deps, caller }) => {
      await deps.privileges.revoke(params.pack_id, params.privilege, caller.actor);
      return { ...params, revoked: true };
    },
  }),
] as const;
