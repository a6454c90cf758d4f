import { PackId } from "@rumi/core";
import * as v from "valibot";
import { list } from "./common.ts";

/** Whether blocks can run isolated, by what, and what to type when not. */
export const EngineStatus = v.object({
  available: v.boolean(),
  /** True in strict mode: without it every block call is refused. */
  required: v.boolean(),
  adapter: v.optional(v.string()),
  isolation: v.optional(v.string()),
  engine: v.nullable(v.unknown()),
  runtimes: v.unknown(),
  weaknesses: list(v.unknown()),
  warnings: v.optional(list(v.string())),
  remedy: v.nullable(v.string()),
});
export type EngineStatus = v.InferOutput<typeof EngineStatus>;

/** One warm container. */
export const InstanceView = v.object({
  id: v.string(),
  pack_id: v.string(),
  digest: v.string(),
  runtime: v.string(),
  state: v.string(),
  busy: v.number(),
  memory_bytes: v.nullable(v.number()),
  started_at: v.nullable(v.union([v.string(), v.number()])),
});
export type InstanceView = v.InferOutput<typeof InstanceView>;

/** One image as it is pinned now; `was` is the id it was pinned to before, null when new. */
export const ImagePin = v.object({ ref: v.string(), image_id: v.nullable(v.string()), was: v.nullable(v.string()) });
export type ImagePin = v.InferOutput<typeof ImagePin>;

export const Runtime = v.picklist(["python", "node"]);
export const ContainerParams = v.strictObject({ pack_id: PackId });
export const RuntimeBody = v.strictObject({ runtime: v.optional(Runtime) });
export const InstancesAnswer = v.object({ instances: list(InstanceView) });
export const PinsAnswer = v.object({ images: list(ImagePin) });
