import * as v from "valibot";
import { publicFailureText } from "../envelope.ts";
import { ApiError } from "../errors.ts";
import { EventStream } from "../event-stream.ts";
import { cursorAfter, cutPage, keyOfCursor } from "../page.ts";
import { route, streamRoute } from "../route.ts";
import { DEFAULT_LIST_LIMIT, page, PageEntries } from "../schemas/common.ts";
import { CancelAnswer, CancelBody, RunEventData, RunListQuery, RunLogLine, RunLogQuery, RunParams, RunRecord } from "../schemas/flows.ts";
import type { Run } from "../schemas/flows.ts";
import { mayCall } from "../scopes.ts";
import type { Caller } from "../token-registry.ts";
import { refuseUnknownRun } from "./not-found.ts";

/** The caller whose runs alone may be seen, or undefined for one who sees all. */
function ownRunsOnly(caller: Caller): string | undefined {
  return mayCall(caller.scopes, "read") ? undefined : caller.actor;
}

/** A run as an operator may see it. */
export function publicRun<R extends Run>(run: R): R {
  return run.reason === null ? run : { ...run, reason: publicFailureText(run.reason) };
}

/** @throws RumiError `flow.run_not_found`, for another's run too where only own ones may be seen */
async function visibleRun(found: RunRecord | null | Promise<RunRecord | null>, runId: string, caller: Caller): Promise<RunRecord> {
  const run = await found;
  const own = ownRunsOnly(caller);
  if (run === null || (own !== undefined && run.caller !== own)) return refuseUnknownRun(runId);
  return run;
}

/** Runs of flows, now and before. */
export const runRoutes = [
  route({
    name: "runs.list",
    method: "GET",
    path: "/api/runs",
    scope: ["read", "run"],
    summary: "Runs, newest first",
    verb: "run list",
    query: v.strictObject({ ...RunListQuery, ...PageEntries }),
    data: page("runs", RunRecord),
    handler: async ({ query }, { deps, caller }) => {
      const own = ownRunsOnly(caller);
      const limit = query.limit ?? DEFAULT_LIST_LIMIT;
      const before = keyOfCursor(query.cursor);
      const found = await deps.runs.list({
        ...(query.flow_id === undefined ? {} : { flow_id: query.flow_id }),
        ...(query.state === undefined ? {} : { state: query.state }),
        ...(own === undefined ? {} : { caller: own }),
        ...(before === undefined ? {} : { before }),
        limit: limit + 1,
      });
      const seen = own === undefined ? found : found.filter((run) => run.caller === own);
      const runs = seen.slice(0, limit);
      const last = runs.at(-1);
      const next = last !== undefined && seen.length > limit ? cursorAfter(last.run_id) : null;
      return { runs: runs.map(publicRun), count: runs.length, next_cursor: next };
    },
  }),
  route({
    name: "runs.get",
    method: "GET",
    path: "/api/runs/{id}",
    scope: ["read", "run"],
    summary: "One run with its steps",
    verb: "run show",
    params: RunParams,
    data: RunRecord,
    handler: async ({ params }, { deps, caller }) => publicRun(await visibleRun(deps.runs.get(params.id), params.id, caller)),
  }),
  streamRoute({
    name: "runs.events",
    path: "/api/runs/{id}/events",
    scope: ["read", "run"],
    summary: "What happens in a run, from its beginning or after Last-Event-ID, to its end",
    verb: "run watch",
    params: RunParams,
    data: RunEventData,
    handler: async ({ params }, { deps, caller, lastEventId }) => {
      await visibleRun(deps.runs.get(params.id), params.id, caller);
      return new EventStream((signal) => deps.runs.events(params.id, lastEventId ?? 0, signal));
    },
  }),
  route({
    name: "runs.logs",
    method: "GET",
    path: "/api/runs/{id}/logs",
    scope: ["read", "run"],
    summary: "What the blocks of a run printed, of one step or of all",
    verb: "run logs",
    params: RunParams,
    query: v.strictObject({ ...RunLogQuery, ...PageEntries }),
    data: page("lines", RunLogLine),
    handler: async ({ params, query }, { deps, caller }) => {
      await visibleRun(deps.runs.get(params.id), params.id, caller);
      const lines = (await deps.runs.logs(params.id, query.step)).map((line, index) => ({ line, index }));
      const cut = cutPage(lines, ({ index }) => String(index), query);
      return { lines: cut.items.map(({ line }) => line), count: cut.items.length, next_cursor: cut.next_cursor };
    },
  }),
  route({
    name: "runs.cancel",
    method: "POST",
    path: "/api/runs/{id}/cancel",
    scope: "run",
    summary: "End a run now; its call is killed",
    verb: "run cancel",
    params: RunParams,
    body: CancelBody,
    data: CancelAnswer,
    handler: async ({ params, body }, { deps, caller }) => {
      const run = await visibleRun(deps.runs.get(params.id), params.id, caller);
      if (run.caller !== caller.actor && !mayCall(caller.scopes, "admin"))
        throw new ApiError("auth.scope", "another's run is ended by admin alone", { details: { scope: "admin" } });
      return await deps.runs.cancel(params.id, body.reason, caller.actor);
    },
  }),
] as const;
