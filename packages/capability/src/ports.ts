import type { Decision, Digest, ErrorCode, InstanceCaller, JsonObject, PackId, PermissionId } from "@rumi/core";
import type * as v from "valibot";

/** One use of a host power, past every check. */
export interface CapabilityUse<Args extends JsonObject = JsonObject> {
  readonly caller: InstanceCaller;
  readonly args: Args;
  /** The caller's grants folded over its levels, defaults filled in. */
  readonly config: JsonObject;
  readonly request_id: string | null;
  /** Aborts at the deadline, or when the instance goes. */
  readonly signal: AbortSignal;
  /** Milliseconds left. */
  readonly timeout_ms: number;
}

/** How a use ended. The pack sees `error`; `reason` is for operator and audit only. */
export type CapabilityOutcome =
  /** `output` is what the pack gets; built-in powers are answered with `success: true` put before it. */
  | { readonly ok: true; readonly output: JsonObject }
  | {
      readonly ok: false;
      readonly error_type: string;
      readonly error: string;
      readonly reason?: string;
      /** Facts for the pack beside `success`, `error` and `error_type` (`current_value`, `conflict`). */
      readonly output?: JsonObject;
    };

/** One host power as the broker knows it. Its grant's config was checked when it was granted. */
export interface Capability {
  readonly permission_id: PermissionId;
  /** Other names it answers to (`inbox.send`). Grants are held for `permission_id` alone. */
  readonly aliases?: readonly string[];
  /** Strict: an unknown key is refused. Check 5; its first issue is the text of `validation_error`. */
  readonly args: v.GenericSchema<unknown, JsonObject>;
  /** Check 6: why these args lie outside the folded grant, for the audit; null when inside. */
  outside(use: Pick<CapabilityUse, "args" | "config" | "caller">): string | null;
  run(use: CapabilityUse): Promise<CapabilityOutcome>;
  /** Calls a minute and principal. Default 600. */
  readonly per_minute?: number;
  /** One text for every refusal of checks 4 to 6 and for failures that say `uniform` (`secrets.get`). */
  readonly uniform?: { readonly error_type: string; readonly error: string };
  /** A power that a pack supplies: its gate and trust, judged at every call. Absent: built in. */
  readonly provider?: { readonly pack_id: PackId; decide(): Decision<object, ErrorCode> };
  /** Decides instead of the folded grant of `permission_id` where a power has its own rule (`function.call` of the own pack). */
  decide?(use: Pick<CapabilityUse, "args" | "caller">): Decision<{ readonly config: JsonObject }, ErrorCode> | null;
}

/** Every power there is now. */
export interface CapabilitySource {
  /** By permission id or alias. Memory only. */
  find(name: string): Capability | undefined;
}

/** "May this pack do anything at all?": the approval gate. With `digest`: only if these bytes are the approved ones. */
export interface CallerGate {
  gate(packId: PackId, digest?: Digest): Decision<object, ErrorCode>;
}

/** What a pack says it wishes for, in its approved (else its installed) bytes; null for a pack that is not there. */
export interface DeclaredRights {
  /** One entry per permission: the config its `permissions.json`, `required_secrets` and `required_network` amount to. */
  declared(packId: PackId): ReadonlyMap<PermissionId, JsonObject> | null;
}
