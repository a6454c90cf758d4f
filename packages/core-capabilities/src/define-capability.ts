import type { Capability, CapabilityOutcome, CapabilityUse } from "@rumi/capability";
import { PermissionId } from "@rumi/core";
import type { JsonObject } from "@rumi/core";
import * as v from "valibot";

/** A use whose args have the types of their schema. */
export type TypedUse<Args> = Omit<CapabilityUse, "args"> & { readonly args: Args };

/** What makes one built-in power. */
export interface CapabilityParts<Schema extends v.GenericSchema> extends Pick<Capability, "aliases" | "per_minute" | "uniform"> {
  readonly args: Schema;
  outside(use: Pick<TypedUse<v.InferOutput<Schema>>, "args" | "config" | "caller">): string | null;
  run(use: TypedUse<v.InferOutput<Schema>>): Promise<CapabilityOutcome> | CapabilityOutcome;
  decide?(use: Pick<TypedUse<v.InferOutput<Schema>>, "args" | "caller">): ReturnType<NonNullable<Capability["decide"]>>;
}

/** One built-in power. The broker hands over only args that its schema has passed, so they are taken as such. */
export function defineCapability<Schema extends v.GenericSchema>(permissionId: string, parts: CapabilityParts<Schema>): Capability {
  type Use = TypedUse<v.InferOutput<Schema>>;
  const { args, outside, run, decide, ...rest } = parts;
  return {
    ...rest,
    permission_id: v.parse(PermissionId, permissionId),
    args: args as unknown as v.GenericSchema<unknown, JsonObject>,
    outside: (use) => outside(use as unknown as Use),
    run: async (use) => run(use as unknown as Use),
    ...(decide === undefined ? {} : { decide: (use: Pick<CapabilityUse, "args" | "caller">) => decide(use as unknown as Use) }),
  };
}
