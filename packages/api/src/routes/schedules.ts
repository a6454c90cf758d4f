import { Reply, route } from "../route.ts";
import { page } from "../schemas/common.ts";
import { ScheduleParams, ScheduleStatus } from "../schemas/flow-work.ts";
import { RunStarted } from "../schemas/flows.ts";

/** When flows run by themselves. */
export const scheduleRoutes = [
  route({
    name: "schedules.list",
    method: "GET",
    path: "/api/schedules",
    scope: "read",
    summary: "Every schedule, when it fires next and how it went last",
    verb: "schedule list",
    data: page("schedules", ScheduleStatus),
    handler: async (_, { deps }) => {
      const schedules = await deps.schedules.list();
      return { schedules, count: schedules.length, next_cursor: null };
    },
  }),
  route({
    name: "schedules.enable",
    method: "POST",
    path: "/api/schedules/{flow_id}/enable",
    scope: "admin",
    summary: "Let a paused schedule go on from now",
    verb: "schedule enable",
    params: ScheduleParams,
    data: ScheduleStatus,
    handler: ({ params }, { deps, caller }) => deps.schedules.setEnabled(params.flow_id, true, caller.actor),
  }),
  route({
    name: "schedules.disable",
    method: "POST",
    path: "/api/schedules/{flow_id}/disable",
    scope: "admin",
    summary: "Pause a schedule; a run that goes on is not ended",
    verb: "schedule disable",
    params: ScheduleParams,
    data: ScheduleStatus,
    handler: ({ params }, { deps, caller }) => deps.schedules.setEnabled(params.flow_id, false, caller.actor),
  }),
  route({
    name: "schedules.trigger",
    method: "POST",
    path: "/api/schedules/{flow_id}/trigger",
    scope: "admin",
    summary: "Run a scheduled flow now, with its schedule's inputs",
    verb: "schedule trigger",
    params: ScheduleParams,
    data: RunStarted,
    accepted: RunStarted,
    handler: async ({ params }, { deps, caller }) => new Reply(202, await deps.schedules.trigger(params.flow_id, caller.actor)),
  }),
] as const;
