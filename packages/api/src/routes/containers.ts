import { route } from "../route.ts";
import { page } from "../schemas/common.ts";
import { ContainerParams, EngineStatus, InstancesAnswer, InstanceView, PinsAnswer, RuntimeBody } from "../schemas/containers.ts";

/** The engine, its warm containers and the images they come from. */
export const containerRoutes = [
  route({
    name: "docker.status",
    method: "GET",
    path: "/api/docker/status",
    scope: "read",
    summary: "Whether blocks can run isolated, and what to type when not",
    verb: "status",
    data: EngineStatus,
    handler: (_, { deps }) => deps.sandbox.status(),
  }),
  route({
    name: "containers.list",
    method: "GET",
    path: "/api/containers",
    scope: "read",
    summary: "Warm containers of packs",
    verb: "container list",
    data: page("instances", InstanceView),
    handler: async (_, { deps }) => {
      const instances = await deps.instances.list();
      return { instances, count: instances.length, next_cursor: null };
    },
  }),
  route({
    name: "containers.start",
    method: "POST",
    path: "/api/containers/{pack_id}/start",
    scope: "admin",
    summary: "Start a container of an approved pack before its first call",
    verb: "container start",
    params: ContainerParams,
    body: RuntimeBody,
    data: InstancesAnswer,
    timeoutSeconds: 120,
    handler: async ({ params, body }, { deps, caller }) => ({
      instances: await deps.instances.start(params.pack_id, body.runtime, caller.actor),
    }),
  }),
  route({
    name: "containers.stop",
    method: "POST",
    path: "/api/containers/{pack_id}/stop",
    scope: "admin",
    summary: "Stop a pack's containers after the calls in flight",
    verb: "container stop",
    params: ContainerParams,
    body: RuntimeBody,
    data: InstancesAnswer,
    timeoutSeconds: 120,
    handler: async ({ params, body }, { deps, caller }) => ({
      instances: await deps.instances.stop(params.pack_id, body.runtime, caller.actor),
    }),
  }),
  route({
    name: "containers.remove",
    method: "DELETE",
    path: "/api/containers/{pack_id}",
    scope: "admin",
    summary: "Remove a pack's containers now; calls in flight are cancelled",
    verb: "container remove",
    params: ContainerParams,
    body: RuntimeBody,
    data: InstancesAnswer,
    timeoutSeconds: 120,
    handler: async ({ params, body }, { deps, caller }) => ({
      instances: await deps.instances.remove(params.pack_id, body.runtime, caller.actor),
    }),
  }),
  route({
    name: "images.pin",
    method: "POST",
    path: "/api/images/pin",
    scope: "admin",
    summary: "Pin the images that the configured names mean now",
    verb: "container pin",
    body: RuntimeBody,
    data: PinsAnswer,
    handler: async ({ body }, { deps, caller }) => ({ images: await deps.sandbox.pin(body.runtime, caller.actor) }),
  }),
] as const;
