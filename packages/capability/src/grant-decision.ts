import type { Decision, PackId, PermissionId } from "@rumi/core";
import type { CapabilityErrorCode } from "./errors.ts";
import type { GrantSpec } from "./grant-specs.ts";
import type { EffectiveGrant, FoldState } from "./held-grants.ts";

/** What the folded levels of a principal amount to: the right, or why there is none and the one command that gives it. */
export function decideGrant(spec: GrantSpec, principal: PackId, fold: FoldState): Decision<EffectiveGrant, CapabilityErrorCode> {
  const { permission_id } = spec;
  const lacking = fold.state === "missing" || fold.state === "expired" ? fold.principal : principal;
  const no = (code: CapabilityErrorCode, reason: string): Decision<EffectiveGrant, CapabilityErrorCode> => {
    return { allowed: false, code, reason, remedy: remedyFor(lacking, permission_id) };
  };
  switch (fold.state) {
    case "missing":
      return no("capability.permission_denied", `${fold.principal} holds no grant of ${permission_id}`);
    case "expired":
      return no("capability.grant_expired", `the grant of ${permission_id} to ${fold.principal} ended ${fold.grant.expires_at ?? ""}`);
    case "conflict":
      return no("capability.config_conflict", `the levels of ${principal} disagree on ${fold.conflict} of ${permission_id}`);
    case "ok": {
      const nothing = spec.nothing(fold.config);
      if (nothing !== null) return no("capability.permission_denied", `${nothing} over the levels of ${principal} in ${permission_id}`);
      return { allowed: true, permission_id, config: fold.config, levels: fold.levels };
    }
  }
}

function remedyFor(principal: PackId, permission: PermissionId): string {
  if (permission === "network.egress") return `rumi network grant ${principal}`;
  return permission.startsWith("secrets.") ? `rumi secret grant ${principal}` : `rumi grant add ${principal} ${permission}`;
}
