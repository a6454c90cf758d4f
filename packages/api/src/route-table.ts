import type { JsonObject } from "@rumi/core";
import { openApiDocument } from "./openapi.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";
import { containerRoutes } from "./routes/containers.ts";
import { daemonRoutes } from "./routes/daemon.ts";
import { dictionaryRoutes } from "./routes/dictionary.ts";
import { libRoutes } from "./routes/libs.ts";
import { flowRoutes } from "./routes/flows.ts";
import { flowWorkRoutes } from "./routes/flow-work.ts";
import { grantRoutes } from "./routes/grants.ts";
import { modifierRoutes } from "./routes/modifiers.ts";
import { networkRoutes } from "./routes/network.ts";
import { packRoutes } from "./routes/packs.ts";
import { privilegeRoutes } from "./routes/privileges.ts";
import { runRoutes } from "./routes/runs.ts";
import { scheduleRoutes } from "./routes/schedules.ts";
import { secretRoutes } from "./routes/secrets.ts";
import { storeRoutes } from "./routes/stores.ts";
import { tokenRoutes } from "./routes/tokens.ts";
import { JsonMap } from "./schemas/common.ts";

const openApiRoute = route({
  name: "openapi",
  method: "GET",
  path: "/openapi.json",
  scope: "read",
  summary: "This API as an OpenAPI 3.1 document, without envelope",
  verb: "status --openapi",
  data: JsonMap,
  handler: (): JsonObject => openApiDocument(ALL_ROUTES),
});

/** The one table of endpoints: routing, OpenAPI and the typed client derive from it. */
export const ROUTES = [
  ...packRoutes,
  ...networkRoutes,
  ...grantRoutes,
  ...secretRoutes,
  ...privilegeRoutes,
  ...flowRoutes,
  ...flowWorkRoutes,
  ...modifierRoutes,
  ...runRoutes,
  ...scheduleRoutes,
  ...storeRoutes,
  ...dictionaryRoutes,
  ...libRoutes,
  ...containerRoutes,
  ...daemonRoutes,
  ...tokenRoutes,
  openApiRoute,
] as const;

/** Any row of the table, with its own types. */
export type TableRoute = (typeof ROUTES)[number];
/** The name of a row. */
export type RouteName = TableRoute["name"];

/** The name of a row whose answer is a stream of events. */
export type StreamRouteName = Extract<TableRoute, { readonly stream: true }>["name"];

/** The table for code that treats all rows alike. */
export const ALL_ROUTES: readonly Route[] = ROUTES as readonly unknown[] as readonly Route[];

/** The verbs of `rumi` that call a route. */
export const ROUTE_VERBS: readonly string[] = ALL_ROUTES.map((row) => row.verb);
