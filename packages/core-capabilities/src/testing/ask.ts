import { createGrantSpecs } from "@rumi/capability";
import type { Capability, CapabilityOutcome } from "@rumi/capability";
import type {
  Decision,
  ErrorCode,
  FlowId,
  InFlightCall,
  InstanceCaller,
  JsonObject,
  PackId,
  PermissionId,
  RunId,
  StepId,
} from "@rumi/core";
import { sha256 } from "@rumi/core";
import * as v from "valibot";
import type { HeldRights } from "../ports.ts";

/** A call in flight; give what differs. */
export function call(over: Partial<InFlightCall> = {}): InFlightCall {
  return {
    call_id: "c1",
    run_id: "run_01890000-0000-7000-8000-000000000000" as RunId,
    flow_id: "alpha.main" as FlowId,
    step_id: "s" as StepId,
    phase: "main",
    idempotency_key: "k",
    chain: ["alpha.main" as FlowId],
    deadline: Number.POSITIVE_INFINITY,
    ...over,
  };
}

/** An instance of `principal` that asks. */
export function caller(principal = "alpha", over: Partial<InstanceCaller> = {}): InstanceCaller {
  return {
    principal: principal as PackId,
    digest: sha256(principal),
    instance_id: "i1",
    execution_mode: "container",
    call: call(),
    ...over,
  };
}

/** Rights held in memory, never folded. */
export class FakeRights implements HeldRights {
  readonly held = new Map<string, JsonObject>();

  grant(principal: string, permission: string, config: JsonObject = {}): this {
    this.held.set(`${principal} ${permission}`, configOf(permission, config));
    return this;
  }

  effective(principal: PackId, permission: PermissionId): Decision<{ readonly config: JsonObject }, ErrorCode> {
    const config = this.held.get(`${principal} ${permission}`);
    if (config !== undefined) return { allowed: true, config };
    return { allowed: false, code: "capability.permission_denied", reason: `${principal} does not hold ${permission}` };
  }
}

/** A grant's config as the book would keep it, defaults filled in. */
export function configOf(permission: string, config: JsonObject): JsonObject {
  const spec = createGrantSpecs().find(permission);
  return { ...spec.defaults, ...v.parse(spec.config, config) };
}

/** How a use ends, with the refusals of the broker's checks 4 to 6 in words of their own. */
export interface AskOptions {
  readonly grant?: JsonObject | null;
  readonly caller?: InstanceCaller;
  readonly signal?: AbortSignal;
  readonly timeout_ms?: number;
}

/** One use past the checks that the broker makes of every power: grant, args, allow-lists. */
export async function ask(capability: Capability, args: JsonObject, options: AskOptions = {}): Promise<CapabilityOutcome> {
  const asking = options.caller ?? caller();
  const refuse = (errorType: string, reason: string): CapabilityOutcome => ({
    ok: false,
    error_type: capability.uniform?.error_type ?? errorType,
    error: capability.uniform?.error ?? reason,
    reason,
  });
  const own = capability.decide?.({ args, caller: asking }) ?? null;
  const granted =
    own?.allowed === true
      ? own.config
      : options.grant === undefined || options.grant === null
        ? null
        : configOf(capability.permission_id, options.grant);
  if (granted === null) return refuse("permission_denied", "no grant");
  const parsed = v.safeParse(capability.args, args);
  if (!parsed.success) return refuse("validation_error", parsed.issues[0].message);
  const use = { args: parsed.output, config: granted, caller: asking };
  const outside = capability.outside(use);
  if (outside !== null) return refuse("permission_denied", outside);
  return capability.run({
    ...use,
    request_id: null,
    signal: options.signal ?? new AbortController().signal,
    timeout_ms: options.timeout_ms ?? 30_000,
  });
}
