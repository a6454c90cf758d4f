import type { ErrorCode, InstanceCaller, JsonObject } from "@rumi/core";
import type { GrantBook } from "./grant-book.ts";
import type { EffectiveGrant } from "./held-grants.ts";
import type { CallerGate, Capability } from "./ports.ts";

/** A right that holds. `grant` null: the power decided by a rule of its own, without limits. `remedy`: what would widen it. */
export type Rights =
  | { readonly allowed: true; readonly config: JsonObject; readonly grant: EffectiveGrant | null; readonly remedy: string | undefined }
  | { readonly allowed: false; readonly code: ErrorCode; readonly reason: string; readonly remedy?: string };

/**
 * Check 4 for a known power: the caller's gate at the bytes that ask, the provider's gate and trust, the folded grant.
 * `args`: null when they are not in their form. Memory only.
 */
export function judgeRights(
  deps: { readonly gate: CallerGate; readonly grants: GrantBook },
  capability: Capability,
  caller: InstanceCaller,
  args: JsonObject | null,
): Rights {
  const gate = deps.gate.gate(caller.principal, caller.digest);
  if (!gate.allowed) return gate;
  const { provider } = capability;
  if (provider !== undefined) {
    const open = deps.gate.gate(provider.pack_id);
    if (!open.allowed) return open;
    const trust = provider.decide();
    if (!trust.allowed) return trust;
  }
  const own = args === null ? null : (capability.decide?.({ args, caller }) ?? null);
  if (own !== null) return own.allowed ? { allowed: true, config: own.config, grant: null, remedy: undefined } : own;
  const grant = deps.grants.effective(caller.principal, capability.permission_id);
  if (!grant.allowed) return grant;
  return { allowed: true, config: grant.config, grant, remedy: `rumi grant add ${caller.principal} ${capability.permission_id}` };
}
