import { isoTime, principalChain, SYSTEM_PRINCIPAL } from "@rumi/core";
import type { JsonObject, PackId, PermissionId } from "@rumi/core";
import type { Grant, GrantRecord } from "./grant.ts";
import type { GrantSpecs } from "./grant-specs.ts";
import type { DeclaredRights } from "./ports.ts";
import { undeclaredParts } from "./undeclared.ts";
import type { UseCounters } from "./use-counters.ts";

/** What else of the house a listing asks. */
export interface GrantViewDeps {
  readonly declared: DeclaredRights;
  readonly isKnownPack: (id: PackId) => boolean;
  readonly specs: GrantSpecs;
  readonly uses: UseCounters;
}

/** A grant as a listing shows it, held against what the pack asks for now. */
export function viewGrant(deps: GrantViewDeps, principal: PackId, grant: GrantRecord): Grant {
  const usedAt = deps.uses.lastUsedAt(principal, grant.permission_id);
  const undeclared = undeclaredOf(deps, principal, grant.permission_id, grant.config);
  return { ...grant, undeclared, last_used_at: usedAt === null ? null : isoTime(usedAt) };
}

/** What of a grant the pack does not ask for. Official and shared flows ask for nothing: theirs is the operator's own wish. */
export function undeclaredOf(deps: GrantViewDeps, principal: PackId, permission: PermissionId, config: JsonObject): string[] {
  if (principal === SYSTEM_PRINCIPAL) return [];
  return undeclaredParts(deps.specs.find(permission), config, deps.declared.declared(principal)?.get(permission));
}

/** What an operator should know of a grant that was just given. `holds`: the levels that hold that right. */
export function grantWarnings(
  deps: GrantViewDeps,
  principal: PackId,
  { permission_id, undeclared }: GrantRecord,
  holds: (level: PackId) => boolean,
): string[] {
  const without = principalChain(principal).find((level) => !holds(level));
  return [
    ...(principal === SYSTEM_PRINCIPAL || deps.isKnownPack(principal) ? [] : [`there is no pack ${principal}; the grant waits for it`]),
    ...(deps.specs.isKnown(permission_id) ? [] : [`nothing provides ${permission_id}; the grant waits for its handler`]),
    ...(without === undefined ? [] : [`${without} holds no grant of ${permission_id}: until it does, neither does ${principal}`]),
    ...(undeclared.length === 0 ? [] : [`the pack does not ask for this: ${undeclared.join(", ").slice(0, 1000)}`]),
  ];
}
