import { RumiError } from "@rumi/core";
import type { PackId } from "@rumi/core";
import { ApiError } from "../errors.ts";
import { cutPage } from "../page.ts";
import { route } from "../route.ts";
import type { RouteContext } from "../route.ts";
import { DEFAULT_LIST_LIMIT, page } from "../schemas/common.ts";
import {
  ShareBody,
  ShareView,
  StoreCreateBody,
  StoreCreated,
  StoreDeleted,
  StoreDeleteQuery,
  StoreImportBody,
  StoreImported,
  StoreKeys,
  StoreKeysQuery,
  StoreListQuery,
  StoreParams,
  StoreValue,
  StoreValueQuery,
  StoreView,
} from "../schemas/stores.ts";
import type { ShareAsk } from "../schemas/stores.ts";

const Shares = page("entries", ShareView);

/** Stores of packs. What they hold is shown to `admin` alone. */
export const storeRoutes = [
  route({
    name: "stores.list",
    method: "GET",
    path: "/api/stores",
    scope: "read",
    summary: "Every store, whose it is and how full",
    verb: "store list",
    query: StoreListQuery,
    data: page("stores", StoreView),
    handler: async ({ query }, { deps }) => {
      const cut = cutPage(await deps.stores.list(), (store) => store.store_id, query);
      return { stores: cut.items, count: cut.items.length, next_cursor: cut.next_cursor };
    },
  }),
  route({
    name: "stores.create",
    method: "POST",
    path: "/api/stores/create",
    scope: "admin",
    summary: "Make a store that no pack owns; grants nothing",
    verb: "store create",
    body: StoreCreateBody,
    faults: { store_id: "store.invalid_id", root_path: "store.invalid_root" },
    data: StoreCreated,
    handler: async ({ body }, { deps, caller }) => {
      await deps.stores.create(body, caller.actor);
      return { store_id: body.store_id };
    },
  }),
  route({
    name: "stores.shared",
    method: "GET",
    path: "/api/stores/shared",
    scope: "read",
    summary: "Stores that another pack may use",
    verb: "store list --shared",
    data: Shares,
    handler: (_, context) => sharesNow(context),
  }),
  route({
    name: "stores.share",
    method: "POST",
    path: "/api/stores/shared/approve",
    scope: "approve",
    summary: "Let a pack use a store of another; it needs a grant as well",
    verb: "store share",
    body: ShareBody,
    data: Shares,
    handler: async ({ body }, context) => {
      await context.deps.stores.share({ ...sidesOf(body), mode: body.mode ?? "read" }, context.caller.actor);
      return await sharesNow(context);
    },
  }),
  route({
    name: "stores.unshare",
    method: "POST",
    path: "/api/stores/shared/revoke",
    scope: "approve",
    summary: "Take a share back",
    verb: "store unshare",
    body: ShareBody,
    data: Shares,
    handler: async ({ body }, context) => {
      await context.deps.stores.unshare(sidesOf(body), context.caller.actor);
      return await sharesNow(context);
    },
  }),
  route({
    name: "stores.keys",
    method: "GET",
    path: "/api/stores/{id}/keys",
    scope: "admin",
    summary: "Keys of a store",
    verb: "store keys",
    params: StoreParams,
    query: StoreKeysQuery,
    data: StoreKeys,
    handler: async ({ params, query }, { deps }) => {
      const { prefix = "", limit = DEFAULT_LIST_LIMIT, cursor } = query;
      const found = await deps.stores.keys(params.id, { prefix, limit, ...(cursor === undefined ? {} : { cursor }) });
      return { ...found, count: found.keys.length };
    },
  }),
  route({
    name: "stores.value",
    method: "GET",
    path: "/api/stores/{id}/value",
    scope: "admin",
    summary: "The value of one key",
    verb: "store get",
    params: StoreParams,
    query: StoreValueQuery,
    data: StoreValue,
    handler: async ({ params, query }, { deps }) => {
      const value = await deps.stores.value(params.id, query.key);
      if (value === undefined)
        throw new RumiError("store.not_found", "this store has no such key", {
          details: { store_id: params.id },
          remedy: `rumi store keys ${params.id}`,
        });
      return { store_id: params.id, key: query.key, value };
    },
  }),
  route({
    name: "stores.import",
    method: "POST",
    path: "/api/stores/{id}/import",
    scope: "admin",
    summary: "Take the JSON files of a folder on the daemon's disk into a store",
    verb: "store import",
    params: StoreParams,
    body: StoreImportBody,
    data: StoreImported,
    timeoutSeconds: 600,
    handler: ({ params, body }, { deps, caller }) =>
      deps.stores.import(params.id, { path: body.path, overwrite: body.overwrite ?? false }, caller.actor),
  }),
  route({
    name: "stores.delete",
    method: "DELETE",
    path: "/api/stores/{id}",
    scope: "admin",
    summary: "Delete a store; one that holds keys only with force",
    verb: "store delete",
    params: StoreParams,
    query: StoreDeleteQuery,
    data: StoreDeleted,
    handler: async ({ params, query }, { deps, caller }) => {
      await deps.stores.delete(params.id, { force: query.force ?? false }, caller.actor);
      return { store_id: params.id, deleted: true };
    },
  }),
] as const;

async function sharesNow({ deps }: RouteContext) {
  const entries = await deps.stores.shares();
  return { entries, count: entries.length, next_cursor: null };
}

/** Provider and consumer under either name. @throws ApiError `request.invalid` when one is missing or named twice differently */
function sidesOf(body: ShareBody): ShareAsk {
  const { provider_pack_id: provider, owner_pack: owner, consumer_pack_id: consumer, target_pack: target } = body;
  return {
    store_id: body.store_id,
    provider_pack_id: oneOf("provider_pack_id", provider, owner),
    consumer_pack_id: oneOf("consumer_pack_id", consumer, target),
  };
}

function oneOf(name: string, value: PackId | undefined, alias: PackId | undefined): PackId {
  const chosen = value ?? alias;
  if (chosen === undefined || (alias !== undefined && alias !== chosen)) {
    const issues = [
      { code: "request.invalid", path: `/${name}`, message: chosen === undefined ? "Missing field" : "Named twice, differently" },
    ];
    throw new ApiError("request.invalid", "the body is not valid", { details: { issues } });
  }
  return chosen;
}
