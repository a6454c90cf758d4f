import { route } from "../route.ts";
import {
  BatchAnswer,
  BatchBody,
  GrantAnswer,
  GrantBody,
  GrantListAnswer,
  GrantListQuery,
  ResetAnswer,
  ResetBody,
  RevokedAnswer,
  RevokeGrantBody,
} from "../schemas/rights.ts";

/** Rights of packs. */
export const grantRoutes = [
  route({
    name: "grants.list",
    method: "GET",
    path: "/api/capability/grants",
    scope: "read",
    summary: "The rights of one principal, or of all",
    verb: "grant list",
    query: GrantListQuery,
    data: GrantListAnswer,
    handler: async ({ query }, { deps }) => {
      const records = await deps.grants.list(query.principal_id);
      return { grants: Object.fromEntries(records.map((record) => [record.principal_id, record])), count: records.length };
    },
  }),
  route({
    name: "grants.grant",
    method: "POST",
    path: "/api/capability/grants/grant",
    scope: "approve",
    summary: "Give a principal a right; replaces its config",
    verb: "grant add",
    body: GrantBody,
    data: GrantAnswer,
    handler: ({ body }, { deps, caller }) => deps.grants.grant(body, caller.actor),
  }),
  route({
    name: "grants.revoke",
    method: "POST",
    path: "/api/capability/grants/revoke",
    scope: "approve",
    summary: 'Take a right, or with "*" all of a principal',
    verb: "grant revoke",
    body: RevokeGrantBody,
    data: RevokedAnswer,
    handler: ({ body }, { deps, caller }) => {
      const { reason, ...ask } = body;
      return deps.grants.revoke(reason === undefined ? ask : { ...ask, reason }, caller.actor);
    },
  }),
  route({
    name: "grants.batch",
    method: "POST",
    path: "/api/capability/grants/batch",
    scope: "approve",
    summary: "Give up to 50 rights, each for itself",
    verb: "grant add --from FILE",
    body: BatchBody,
    data: BatchAnswer,
    handler: ({ body }, { deps, caller }) => deps.grants.batch(body.grants, caller.actor),
  }),
  route({
    name: "grants.reset",
    method: "POST",
    path: "/api/capability/grants/reset",
    scope: "admin",
    summary: "Drop a principal's record that something else changed; it grants nothing before and after",
    verb: "grant reset",
    body: ResetBody,
    data: ResetAnswer,
    handler: ({ body }, { deps, caller }) => deps.grants.reset(body.principal_id, caller.actor),
  }),
] as const;
