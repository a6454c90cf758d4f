import type { JsonObject, PermissionId } from "@rumi/core";
import * as v from "valibot";
import type { Capability, CapabilityOutcome, CapabilitySource, CapabilityUse } from "../ports.ts";

/** A power that answers its args, unless told otherwise. Every use is kept. */
export interface FakeCapability extends Capability {
  readonly used: CapabilityUse[];
}

export function fakeCapability(
  permission: string,
  behaviour: Partial<Omit<Capability, "permission_id" | "run">> & {
    readonly run?: (use: CapabilityUse) => Promise<CapabilityOutcome> | CapabilityOutcome;
  } = {},
): FakeCapability {
  const used: CapabilityUse[] = [];
  const { run = (use: CapabilityUse): CapabilityOutcome => ({ ok: true, output: { args: use.args } }), ...rest } = behaviour;
  return {
    permission_id: permission as PermissionId,
    args: v.record(v.string(), v.unknown()) as unknown as v.GenericSchema<unknown, JsonObject>,
    outside: () => null,
    ...rest,
    used,
    run: async (use) => {
      used.push(use);
      return run(use);
    },
  };
}

/** These powers and no others. */
export function fakeSource(...capabilities: readonly Capability[]): CapabilitySource {
  const byName = new Map(
    capabilities.flatMap((one) => [one.permission_id, ...(one.aliases ?? [])].map((name): [string, Capability] => [name, one])),
  );
  return { find: (name) => byName.get(name) };
}
