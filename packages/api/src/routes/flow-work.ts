import { route } from "../route.ts";
import { DiffBody, FlowDiff, FlowPlan, FlowsLoaded, PlanBody, SharedParams, SourceBody } from "../schemas/flow-work.ts";
import { FlowParams } from "../schemas/flows.ts";
import { refuseUnknownFlow } from "./not-found.ts";

/** Flows looked at before they run or change, and the operator's own flow files. */
export const flowWorkRoutes = [
  route({
    name: "flows.plan",
    method: "POST",
    path: "/api/flows/{id}/plan",
    scope: "read",
    summary: "Whether a flow could run now; nothing is run",
    verb: "flow plan",
    params: FlowParams,
    body: PlanBody,
    data: FlowPlan,
    handler: async ({ params, body }, { deps }) => (await deps.flowWork.plan(params.id, body.inputs ?? {})) ?? refuseUnknownFlow(params.id),
  }),
  route({
    name: "flows.diff",
    method: "POST",
    path: "/api/flows/{id}/diff",
    scope: "read",
    summary: "What a new text, or a pack's folder as it lies there, would alter in a flow; nothing is published",
    verb: "flow diff",
    params: FlowParams,
    body: DiffBody,
    data: FlowDiff,
    handler: async ({ params, body }, { deps }) => (await deps.flowWork.diff(params.id, body)) ?? refuseUnknownFlow(params.id),
  }),
  route({
    name: "flows.reload",
    method: "POST",
    path: "/api/flows/reload",
    scope: "admin",
    summary: "Read every flow and modifier file anew",
    verb: "flow reload",
    data: FlowsLoaded,
    handler: (_, { deps }) => deps.flowWork.reload(),
  }),
  route({
    name: "flows.put",
    method: "PUT",
    path: "/api/flows/shared/{id}",
    scope: "admin",
    summary: "Save a shared flow; a text with an error is refused and the old one goes on",
    verb: "flow put",
    params: SharedParams,
    body: SourceBody,
    data: FlowsLoaded,
    handler: ({ params, body }, { deps, caller }) => deps.flowWork.putFlow(params.id, body.source, caller.actor),
  }),
  route({
    name: "flows.remove",
    method: "DELETE",
    path: "/api/flows/shared/{id}",
    scope: "admin",
    summary: "Take a shared flow away; its runs go on to their end",
    verb: "flow remove",
    params: SharedParams,
    data: FlowsLoaded,
    handler: async ({ params }, { deps, caller }) =>
      (await deps.flowWork.removeFlow(params.id, caller.actor)) ?? refuseUnknownFlow(params.id),
  }),
] as const;
