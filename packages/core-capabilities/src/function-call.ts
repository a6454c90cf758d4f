import { isListed } from "@rumi/capability";
import type { Capability, CapabilityOutcome } from "@rumi/capability";
import type { InstanceCaller, JsonObject, PackId, PermissionId } from "@rumi/core";
import * as v from "valibot";
import { closedOwner } from "./closed-owner.ts";
import { defineCapability } from "./define-capability.ts";
import { denied, done, failed } from "./outcome.ts";
import type { ApprovedPacks, FoundFunction, FunctionHouse, HeldRights } from "./ports.ts";

export interface FunctionCallDeps {
  readonly functions: FunctionHouse;
  readonly approvals: ApprovedPacks;
  readonly rights: HeldRights;
}

/**
 * `function.call`: a function of the own pack, or of another one where the grant names it. It runs as the pack it belongs
 * to, which must hold what it requires; the caller must hold what it requires of callers.
 */
export function functionCall(deps: FunctionCallDeps): Capability {
  const { functions } = deps;
  return defineCapability("function.call", {
    args: v.strictObject({
      function: v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_.:-]{1,129}$/u, "a function is <pack>:<function> or an alias")),
      args: v.nullish(v.custom<JsonObject>((value) => typeof value === "object" && !Array.isArray(value), "args is an object")),
    }),
    decide: ({ args, caller }) => (isOwn(args.function, functions.find(args.function), caller) ? { allowed: true, config: {} } : null),
    outside: ({ args, config, caller }) => {
      const found = functions.find(args.function);
      if (isOwn(args.function, found, caller)) return null;
      const name = found?.name ?? args.function;
      return isListed(config, "allowed_functions", name) ? null : `function.call_denied: the grant does not name ${name}`;
    },
    run: async ({ args, caller, signal, timeout_ms }) => {
      const found = functions.find(args.function);
      const closed = found === undefined ? closedOwner(deps.approvals, args.function) : null;
      if (closed !== null) return denied(`${closed.refusal.code}: ${closed.refusal.reason}`);
      if (found === undefined) return failed("function_not_found", "Function not found");
      const refusal = refuse(deps, found, caller);
      if (refusal !== null) return refusal;
      const end = await functions.call({ name: found.name, args: args.args ?? {}, caller, timeout_ms }, signal);
      if (end.ok) return done({ result: end.value });
      return failed(end.error_type, end.error_type === "timeout" ? "Timed out" : "The function did not complete", {
        reason: `${end.code}: ${end.message}`,
      });
    },
  });
}

/** A pack needs nobody's yes for what it ships itself. */
function isOwn(name: string, found: FoundFunction | undefined, caller: InstanceCaller): boolean {
  return found === undefined ? name.startsWith(`${caller.principal}:`) : found.pack_id === caller.principal;
}

function refuse({ approvals, rights }: FunctionCallDeps, found: FoundFunction, caller: InstanceCaller): CapabilityOutcome | null {
  const gate = approvals.gate(found.pack_id);
  if (!gate.allowed) return denied(`${gate.code}: ${gate.reason}`);
  const missing = (pack: PackId, permissions: readonly string[]): string | undefined =>
    permissions.find((permission) => !rights.effective(pack, permission as PermissionId).allowed);
  const ofCaller = missing(caller.principal, found.caller_requires);
  if (ofCaller !== undefined) return denied(`function.call_denied: ${caller.principal} does not hold ${ofCaller}`);
  const ofOwner = missing(found.pack_id, found.requires);
  if (ofOwner !== undefined) return denied(`function.requires_denied: ${found.pack_id} does not hold ${ofOwner}`);
  return null;
}
