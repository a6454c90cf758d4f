import type { Capability, CapabilityOutcome, CapabilityUse } from "@rumi/capability";
import { PermissionId } from "@rumi/core";
import type { JsonObject } from "@rumi/core";
import * as v from "valibot";

/** A use whose args have the types of their schema. */
export type TypedUse<Args> = Omit<CapabilityUse, "args"> & { readonly args: Args };

/** What makes one built-in power. */
export interface CapabilityParts<Schema extends v.GenericSchema> extends Pick<Capability, "aliases" | "uniform"> {
  readonly args: Schema;
  readonly outside: (use: Pick<TypedUse<v.InferOutput<Schema>>, "args" | "config" | "caller">) => string | null;
  readonly run: (use: TypedUse<v.InferOutput<Schema>>) => Promise<CapabilityOutcome> | CapabilityOutcome;
  readonly decide?: (use: Pick<TypedUse<v.InferOutput<Schema>>, "args" | "caller">) => ReturnType<NonNullable<Capability["decide"]>>;
}

/** One built-in power. The broker hands over only args that its schema has passed, so they are taken as such. */
export function defineCapability<Schema extends v.GenericSchema>(permissionId: string, parts: CapabilityParts<Schema>): Capability {
  const { args, outside, run, decide, ...rest } = parts;
  return {
    ...rest,
    permission_id: v.parse(PermissionId, permissionId),
    args: args as unknown as v.GenericSchema<unknown, JsonObject>,
    outside: (use) => outside(use),
    run: async (use) => run(use),
    ...(decide === undefined ? {} : { decide: (use: Pick<CapabilityUse, "args" | "caller">) => decide(use) }),
  };
}
