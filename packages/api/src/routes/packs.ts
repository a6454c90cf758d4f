import * as v from "valibot";
import { cutPage } from "../page.ts";
import type { PageQuery } from "../page.ts";
import { route } from "../route.ts";
import { page, PageEntries } from "../schemas/common.ts";
import {
  ApproveAnswer,
  ApproveBody,
  EnabledAnswer,
  PackListQuery,
  PackParams,
  PackReview,
  PackState,
  PackSummary,
  RejectAnswer,
  RejectBody,
  ScanAnswer,
} from "../schemas/packs.ts";
import type { PackStatus } from "../schemas/packs.ts";

const PacksPage = page("packs", PackSummary);
const PacksQuery = v.strictObject({ ...PackListQuery, ...PageEntries });

function pageOfPacks(all: readonly PackSummary[], query: PageQuery & { readonly status?: PackStatus | undefined }) {
  const wanted = query.status === undefined ? all : all.filter((pack) => pack.status === query.status);
  const cut = cutPage(wanted, (pack) => pack.pack_id, query);
  return { packs: cut.items, count: cut.items.length, next_cursor: cut.next_cursor };
}

/** Packs and the decisions on them. */
export const packRoutes = [
  route({
    name: "packs.list",
    method: "GET",
    path: "/api/packs",
    scope: "read",
    summary: "Every pack and its status",
    verb: "pack list",
    query: PacksQuery,
    data: PacksPage,
    handler: async ({ query }, { deps }) => pageOfPacks(await deps.packs.list(), query),
  }),
  route({
    name: "packs.pending",
    method: "GET",
    path: "/api/packs/pending",
    scope: "read",
    summary: "Packs that wait for a decision: installed and modified",
    verb: "pack list",
    query: PacksQuery,
    data: PacksPage,
    handler: async ({ query }, { deps }) => pageOfPacks(await deps.packs.pending(), query),
  }),
  route({
    name: "packs.scan",
    method: "POST",
    path: "/api/packs/scan",
    scope: "approve",
    summary: "Look at every pack folder now",
    verb: "pack scan",
    data: ScanAnswer,
    timeoutSeconds: 600,
    handler: (_, { deps }) => deps.packs.scan(),
  }),
  route({
    name: "packs.status",
    method: "GET",
    path: "/api/packs/{id}/status",
    scope: "read",
    summary: "How one pack stands",
    verb: "pack status",
    params: PackParams,
    data: PackState,
    handler: ({ params }, { deps }) => deps.packs.status(params.id),
  }),
  route({
    name: "packs.review",
    method: "GET",
    path: "/api/packs/{id}/review",
    scope: "read",
    summary: "What an approval of this pack would say yes to, against what was approved last",
    verb: "pack review",
    params: PackParams,
    data: PackReview,
    handler: ({ params }, { deps }) => deps.packs.review(params.id),
  }),
  route({
    name: "packs.approve",
    method: "POST",
    path: "/api/packs/{id}/approve",
    scope: "approve",
    summary: "Approve exactly these bytes of a pack; with grant_declared also give what it declares",
    verb: "pack approve",
    params: PackParams,
    body: ApproveBody,
    data: ApproveAnswer,
    timeoutSeconds: 600,
    handler: async ({ params, body }, { deps, caller }) => {
      const approved = await deps.packs.approve(params.id, {
        ...(body.expected_digest === undefined ? {} : { expected_digest: body.expected_digest }),
        ...(body.unblock === undefined ? {} : { unblock: body.unblock }),
        ...(body.notes === undefined ? {} : { notes: body.notes }),
        actor: caller.actor,
      });
      if (body.grant_declared !== true) return approved;
      const given = await deps.grants.grantDeclared(params.id, caller.actor);
      return {
        ...approved,
        granted: [...(approved.granted ?? []), ...given.granted],
        stores_created: [...(approved.stores_created ?? []), ...given.stores_created],
        warnings: [...approved.warnings, ...given.warnings],
      };
    },
  }),
  route({
    name: "packs.reject",
    method: "POST",
    path: "/api/packs/{id}/reject",
    scope: "approve",
    summary: "Block a pack until it is approved with unblock",
    verb: "pack reject",
    params: PackParams,
    body: RejectBody,
    data: RejectAnswer,
    handler: ({ params, body }, { deps, caller }) =>
      deps.packs.reject(params.id, { ...(body.reason === undefined ? {} : { reason: body.reason }), actor: caller.actor }),
  }),
  route({
    name: "packs.enable",
    method: "POST",
    path: "/api/packs/{id}/enable",
    scope: "admin",
    summary: "Let a disabled pack run again; its bytes are untouched",
    verb: "pack enable",
    params: PackParams,
    data: EnabledAnswer,
    handler: async ({ params }, { deps, caller }) => {
      await deps.packs.enable(params.id, caller.actor);
      return { enabled: true };
    },
  }),
  route({
    name: "packs.disable",
    method: "POST",
    path: "/api/packs/{id}/disable",
    scope: "admin",
    summary: "Refuse every call of a pack; its bytes are untouched",
    verb: "pack disable",
    params: PackParams,
    data: EnabledAnswer,
    handler: async ({ params }, { deps, caller }) => {
      await deps.packs.disable(params.id, caller.actor);
      return { enabled: false };
    },
  }),
] as const;
