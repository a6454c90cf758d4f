import { jsonDigest } from "@rumi/core";
import * as v from "valibot";
import { codeEntry, fillRemedy } from "../codes.ts";
import { ApiError } from "../errors.ts";
import { cutPage } from "../page.ts";
import type { RunRequest } from "../ports.ts";
import { Reply, route } from "../route.ts";
import type { RouteContext } from "../route.ts";
import { page, PageEntries } from "../schemas/common.ts";
import {
  DEFAULT_RUN_SECONDS,
  EffectiveFlow,
  FlowDetail,
  FlowParams,
  FlowSummary,
  MAX_ASYNC_RUN_SECONDS,
  MAX_RUN_SECONDS,
  Run,
  RunBody,
  RunStarted,
} from "../schemas/flows.ts";
import type { Caller } from "../token-registry.ts";
import { refuseUnknownFlow } from "./not-found.ts";
import { publicRun } from "./runs.ts";

/** Seconds a run route waits beyond the run's own deadline before it gives up on an answer. */
const RUN_ANSWER_GRACE_SECONDS = 30;

function assertMayRun(caller: Caller, flowId: string): void {
  if (caller.allowed_flow_ids === "*" || caller.allowed_flow_ids.includes(flowId)) return;
  throw new ApiError("auth.scope", "this token may not run that flow", { details: { scope: "run", flow_id: flowId } });
}

/** Seconds within what the API allows: at least 1. */
function clampSeconds(asked: number | undefined, isAsync: boolean): number {
  const most = isAsync ? MAX_ASYNC_RUN_SECONDS : MAX_RUN_SECONDS;
  return Math.min(most, Math.max(1, asked ?? DEFAULT_RUN_SECONDS));
}

/** A finished run as an answer: completed and aborted are 200, the others their code's status with the run in `data`. */
function runReply(run: Run): Reply<Run> {
  const shown = publicRun(run);
  if (run.state === "completed" || run.state === "aborted" || run.state === "running" || run.state === "queued")
    return new Reply(200, shown);
  const code = run.code ?? (run.state === "timed_out" ? "flow.timeout" : run.state === "cancelled" ? "flow.cancelled" : "internal");
  const entry = codeEntry(code);
  const remedy = run.remedy ?? (entry.remedy === null ? null : fillRemedy(entry.remedy, { flow_id: run.flow_id, run_id: run.run_id }));
  return new Reply(entry.status, shown, {
    code,
    error: shown.reason ?? `the run ended ${run.state}`,
    ...(remedy === null ? {} : { remedy }),
  });
}

/** Starts a run; resolves at its end, or with its id as soon as there is one. */
function startRun(context: RouteContext, request: RunRequest, isAsync: boolean): Promise<Reply<Run | { run_id: string }>> {
  if (!isAsync) return context.deps.runs.run(request).then(runReply);
  return new Promise((resolve, reject) => {
    context.deps.runs
      .run({
        ...request,
        on_started: (runId) => {
          resolve(new Reply(202, { run_id: runId }));
        },
      })
      .then((run) => {
        resolve(new Reply(202, { run_id: run.run_id }));
      }, reject);
  });
}

/** What a replay tells of a run whose large result is remembered no more: the same run and end, its result truncated. */
function withoutResult(reply: Reply<Run | { run_id: string }>): Reply<Run | { run_id: string }> {
  if (!("flow_id" in reply.data)) return reply;
  const { failed_steps: _, warnings: __, keys: ___, ...run } = reply.data;
  return new Reply(reply.status, { ...run, result: null, truncated: true }, reply.failure);
}

/** Flows, shown and run. */
export const flowRoutes = [
  route({
    name: "flows.list",
    method: "GET",
    path: "/api/flows",
    scope: "read",
    summary: "The flows that could run now",
    verb: "flow list",
    query: v.strictObject(PageEntries),
    data: page("flows", FlowSummary),
    handler: async ({ query }, { deps }) => {
      const cut = cutPage(await deps.flows.list(), (flow) => flow.flow_id, query);
      return { flows: cut.items, count: cut.items.length, next_cursor: cut.next_cursor };
    },
  }),
  route({
    name: "flows.show",
    method: "GET",
    path: "/api/flows/{id}",
    scope: "read",
    summary: "One flow as its file says it",
    verb: "flow show",
    params: FlowParams,
    data: FlowDetail,
    handler: async ({ params }, { deps }) => (await deps.flows.get(params.id)) ?? refuseUnknownFlow(params.id),
  }),
  route({
    name: "flows.effective",
    method: "GET",
    path: "/api/flows/{id}/effective",
    scope: "read",
    summary: "One flow with every modifier applied, each step with its origin",
    verb: "flow show --effective",
    params: FlowParams,
    data: EffectiveFlow,
    handler: async ({ params }, { deps }) => (await deps.flows.effective(params.id)) ?? refuseUnknownFlow(params.id),
  }),
  route({
    name: "flows.run",
    method: "POST",
    path: "/api/flows/{id}/run",
    scope: "run",
    summary: "Run a flow with these inputs and answer its result",
    verb: "flow run",
    params: FlowParams,
    body: RunBody,
    data: v.union([Run, RunStarted]),
    accepted: RunStarted,
    timeoutSeconds: MAX_RUN_SECONDS + RUN_ANSWER_GRACE_SECONDS,
    handler: async ({ params, body }, context) => {
      const { caller, deps } = context;
      assertMayRun(caller, params.id);
      if (deps.daemon.phase() === "starting") throw new ApiError("daemon.starting", "the daemon is still starting");
      const isAsync = body.async ?? false;
      const request: RunRequest = {
        flow_id: params.id,
        inputs: body.inputs ?? {},
        timeout_ms: Math.round(clampSeconds(body.timeout, isAsync) * 1000),
        caller: caller.actor,
        ...(body.digest === undefined ? {} : { digest: body.digest }),
      };
      if (context.idempotencyKey === null) return await startRun(context, request, isAsync);
      const fingerprint = jsonDigest([params.id, context.bodyDigest()]);
      return await context.idempotency.once(
        caller.token_id,
        context.idempotencyKey,
        fingerprint,
        () => startRun(context, request, isAsync),
        withoutResult,
      );
    },
  }),
] as const;
