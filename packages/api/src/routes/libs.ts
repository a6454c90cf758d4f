import { cutPage } from "../page.ts";
import { route } from "../route.ts";
import { page } from "../schemas/common.ts";
import { LibCleared, LibEnds, LibListQuery, LibParams, LibProcessBody, LibRecordView } from "../schemas/libs.ts";

/** What packs do once before they serve. */
export const libRoutes = [
  route({
    name: "libs.list",
    method: "GET",
    path: "/api/lib/records",
    scope: "read",
    summary: "How the lib of each pack ran",
    verb: "lib list",
    query: LibListQuery,
    data: page("records", LibRecordView),
    handler: async ({ query }, { deps }) => {
      const records = await deps.libs.list();
      const wanted = query.pack_id === undefined ? records : records.filter((record) => record.pack_id === query.pack_id);
      const cut = cutPage(wanted, (record) => `${record.pack_id} ${record.success ? 0 : 1}`, query);
      return { records: cut.items, count: cut.items.length, next_cursor: cut.next_cursor };
    },
  }),
  route({
    name: "libs.clear",
    method: "DELETE",
    path: "/api/lib/records/{pack_id}",
    scope: "admin",
    summary: "Forget how a pack's lib ran: it is installed anew",
    verb: "lib clear",
    params: LibParams,
    data: LibCleared,
    handler: async ({ params }, { deps, caller }) => ({
      pack_id: params.pack_id,
      cleared: await deps.libs.clear(params.pack_id, caller.actor),
    }),
  }),
  route({
    name: "libs.process",
    method: "POST",
    path: "/api/lib/process",
    scope: "admin",
    summary: "Run what is due of one pack's lib, or of every pack's",
    verb: "lib process",
    body: LibProcessBody,
    data: LibEnds,
    handler: async ({ body }, { deps }) => ({ libs: await deps.libs.process(body.pack_id) }),
  }),
] as const;
