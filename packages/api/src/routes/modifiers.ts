import * as v from "valibot";
import { ApiError } from "../errors.ts";
import { cutPage } from "../page.ts";
import { route } from "../route.ts";
import { PageEntries } from "../schemas/common.ts";
import { DryRunQuery, ModifierChange, ModifierList, ModifierListQuery, SharedParams, SourceBody } from "../schemas/flow-work.ts";
import type { ModifierRecord } from "../schemas/flow-work.ts";

/** What tells one record from every other. */
function keyOf({ source, pack_id, modifier_id, target_flow_id }: ModifierRecord): string {
  return [source, pack_id ?? "", modifier_id, target_flow_id].join("/");
}

/** What packs and the operator change in flows. */
export const modifierRoutes = [
  route({
    name: "modifiers.list",
    method: "GET",
    path: "/api/modifiers",
    scope: "read",
    summary: "What became of each modifier at each flow; with dry_run as a pack's folder lies there, approved or not",
    verb: "modifier list",
    query: v.strictObject({ ...ModifierListQuery, ...PageEntries }),
    data: ModifierList,
    handler: async ({ query }, { deps }) => {
      const found = await deps.flowWork.modifiers({
        ...(query.pack_id === undefined ? {} : { pack_id: query.pack_id }),
        dry_run: query.dry_run ?? false,
      });
      const cut = cutPage(found.modifiers, keyOf, query);
      return {
        modifiers: cut.items,
        count: cut.items.length,
        next_cursor: cut.next_cursor,
        ...(found.problems === undefined ? {} : { problems: found.problems }),
        ...(found.effective === undefined ? {} : { effective: found.effective }),
      };
    },
  }),
  route({
    name: "modifiers.put",
    method: "PUT",
    path: "/api/modifiers/shared/{id}",
    scope: "admin",
    summary: "Save a shared modifier; parsed and composed first, and with dry_run no more than that",
    verb: "modifier put",
    params: SharedParams,
    query: DryRunQuery,
    body: SourceBody,
    data: ModifierChange,
    handler: ({ params, query, body }, { deps, caller }) =>
      deps.flowWork.putModifier(params.id, body.source, { dry_run: query.dry_run ?? false }, caller.actor),
  }),
  route({
    name: "modifiers.remove",
    method: "DELETE",
    path: "/api/modifiers/shared/{id}",
    scope: "admin",
    summary: "Take a shared modifier away; composed first, and with dry_run no more than that",
    verb: "modifier remove",
    params: SharedParams,
    query: DryRunQuery,
    data: ModifierChange,
    handler: async ({ params, query }, { deps, caller }) => {
      const change = await deps.flowWork.removeModifier(params.id, { dry_run: query.dry_run ?? false }, caller.actor);
      if (change !== null) return change;
      throw new ApiError("modifier.not_found", "there is no such shared modifier", { details: { modifier_id: params.id } });
    },
  }),
] as const;
