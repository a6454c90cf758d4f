import { RumiError } from "@rumi/core";
import type { JsonObject } from "@rumi/core";
import * as v from "valibot";
import { issueText } from "../issue-text.ts";
import { route } from "../route.ts";
import type { RouteContext } from "../route.ts";
import {
  BatchAnswer,
  BatchBody,
  GrantAnswer,
  GrantBody,
  GrantListAnswer,
  GrantListQuery,
  MAX_BATCH_GRANTS,
  ResetAnswer,
  ResetBody,
  RevokedAnswer,
  RevokeGrantBody,
} from "../schemas/rights.ts";
import type { BatchResult, GrantAsk } from "../schemas/rights.ts";

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
    handler: ({ body }, context) => grantBatch(body.grants, context),
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

/** Grants what is well formed, and answers for the rest in its place. @throws RumiError `capability.batch_too_large`: nothing is granted */
async function grantBatch(asks: readonly JsonObject[], { deps, caller }: RouteContext): Promise<BatchAnswer> {
  if (asks.length > MAX_BATCH_GRANTS)
    throw new RumiError("capability.batch_too_large", `a batch has at most ${MAX_BATCH_GRANTS} grants`, {
      details: { max_grants: MAX_BATCH_GRANTS },
    });
  const results: (BatchResult | null)[] = [];
  const good: GrantAsk[] = [];
  for (const ask of asks) {
    const parsed = v.safeParse(GrantBody, ask);
    if (parsed.success) good.push(parsed.output);
    results.push(parsed.success ? null : malformed(ask, parsed.issues[0]));
  }
  const done = good.length === 0 ? [] : (await deps.grants.batch(good, caller.actor)).results;
  let next = 0;
  const all = results.map((result) => result ?? done[next++]).filter((result) => result !== undefined);
  const succeeded = all.filter((result) => result.granted).length;
  return { total: asks.length, succeeded, failed: asks.length - succeeded, results: all };
}

function malformed(ask: JsonObject, issue: v.BaseIssue<unknown>): BatchResult {
  const idOf = (name: string): string | null => {
    const value = ask[name];
    return typeof value === "string" && /^[\w.-]{1,128}$/u.test(value) ? value : null;
  };
  return {
    principal_id: idOf("principal_id"),
    permission_id: idOf("permission_id"),
    granted: false,
    code: "request.invalid",
    error: issueText(issue),
  };
}
