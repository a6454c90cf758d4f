import * as v from "valibot";
import { route } from "../route.ts";
import { DEFAULT_LIST_LIMIT, Json, page, PageEntries } from "../schemas/common.ts";
import { AuditFilters, AuditVerdict, DaemonStatus, DiagnosticsAnswer, DiagnosticsQuery, HealthAnswer } from "../schemas/daemon.ts";

/** The daemon itself: health, status, diagnostics, audit. `/openapi.json` is made by the server from the whole table. */
export const daemonRoutes = [
  route({
    name: "health",
    method: "GET",
    path: "/health",
    scope: "open",
    summary: "Whether the daemon serves; nothing else",
    verb: "status",
    data: HealthAnswer,
    handler: (_, { deps }) => deps.daemon.health(),
  }),
  route({
    name: "status",
    method: "GET",
    path: "/api/status",
    scope: "read",
    summary: "Version, mode, engine, counts and warnings",
    verb: "status",
    data: DaemonStatus,
    handler: (_, { deps }) => deps.daemon.status(),
  }),
  route({
    name: "pending",
    method: "GET",
    path: "/api/pending",
    scope: "read",
    summary: "What waits for a decision, counted",
    verb: "status",
    data: Json,
    handler: async (_, { deps }) => (await deps.daemon.pending()) as v.InferOutput<typeof Json>,
  }),
  route({
    name: "diagnostics",
    method: "GET",
    path: "/api/diagnostics",
    scope: "read",
    summary: "How every part is now, and the last events",
    verb: "diagnostics",
    query: DiagnosticsQuery,
    data: DiagnosticsAnswer,
    handler: ({ query }, { deps }) => deps.daemon.diagnostics(query),
  }),
  route({
    name: "audit.query",
    method: "GET",
    path: "/api/audit",
    scope: "read",
    summary: "Audit entries, newest first",
    verb: "audit tail",
    query: v.strictObject({ ...AuditFilters, ...PageEntries }),
    data: page("entries", Json),
    handler: async ({ query }, { deps }) => {
      const { limit, cursor, ...filter } = query;
      const found = await deps.audit.query({ ...filter, limit: limit ?? DEFAULT_LIST_LIMIT, ...(cursor === undefined ? {} : { cursor }) });
      const entries = found.items as readonly v.InferOutput<typeof Json>[];
      return { entries, count: entries.length, next_cursor: found.next_cursor };
    },
  }),
  route({
    name: "audit.summary",
    method: "GET",
    path: "/api/audit/summary",
    scope: "read",
    summary: "Audit entries counted by category and action",
    verb: "audit tail --summary",
    data: Json,
    handler: async (_, { deps }) => (await deps.audit.summary()) as v.InferOutput<typeof Json>,
  }),
  route({
    name: "audit.verify",
    method: "POST",
    path: "/api/audit/verify",
    scope: "read",
    summary: "Check that the chain of audit entries is whole",
    verb: "audit verify",
    data: AuditVerdict,
    timeoutSeconds: 600,
    handler: (_, { deps }) => deps.audit.verify(),
  }),
] as const;
