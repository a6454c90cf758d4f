import type { PackReview, PacksPort } from "@rumi/api";
import type { ApprovedPack } from "@rumi/approval";
import type { Grant, GrantBook, NetworkGrants } from "@rumi/capability";
import { isJsonObject, isoTime } from "@rumi/core";
import type { Clock, Decision, JsonObject, PackId } from "@rumi/core";
import type { StoreRegistry } from "@rumi/store";
import { isHeld, planDeclared } from "./declared-plan.ts";

export interface PackRightsParts {
  readonly gate: { gate(packId: PackId): Decision<Pick<ApprovedPack, "pack">> };
  readonly grants: GrantBook;
  readonly verdicts: NetworkGrants;
  readonly stores: StoreRegistry;
  readonly clock: Clock;
}

/** The packs of an API, with what they hold: status, review and approval tell of their rights and stores. */
export function packsWithRights(packs: PacksPort, parts: PackRightsParts): PacksPort {
  const { gate, stores, verdicts } = parts;
  return {
    ...packs,
    async status(id) {
      const state = await packs.status(id);
      const packId = id as PackId;
      return { ...state, network_enabled: gate.gate(packId).allowed && verdicts.hasNetwork(packId) };
    },
    async review(id) {
      return withRights(await packs.review(id), parts);
    },
    async approve(id, options) {
      const answer = await packs.approve(id, options);
      const decision = gate.gate(id as PackId);
      if (!decision.allowed) return answer;
      const { created, refused } = await stores.declare(id as PackId, decision.pack.manifest.stores, options.actor);
      return {
        ...answer,
        stores_created: [...(answer.stores_created ?? []), ...created],
        warnings: [...answer.warnings, ...refused.map((one) => `store ${one.store_id}: ${one.reason}`)],
      };
    },
  };
}

/** What of a review follows from the rights that the pack holds, and from what the shown files wish for. */
function withRights(review: PackReview & { readonly declared_rights?: unknown }, parts: PackRightsParts): PackReview {
  const { clock, grants } = parts;
  const { declared_rights: declared, ...shown } = review;
  const now = isoTime(clock.now());
  const held = (grants.list(review.pack_id)[review.pack_id] ?? []).filter(
    (right) => right.expires_at === undefined || right.expires_at > now,
  );
  const plan = planDeclared(isJsonObject(declared) ? Object.entries(declared).filter(isConfig) : []);
  return {
    ...shown,
    sleeping_grants: review.status === "approved" ? [] : held.map(brief),
    undeclared_grants: held
      .filter((right) => right.undeclared.length > 0)
      .map((right) => ({ ...brief(right), undeclared: right.undeclared })),
    declared_grants: plan.map((right) => {
      const own = held.find((one) => one.permission_id === right.permission_id);
      return { ...right, held: own !== undefined && right.config !== null && isHeld(own.config, right.config) };
    }),
  };
}

function isConfig(entry: [string, unknown]): entry is [string, JsonObject] {
  return isJsonObject(entry[1]);
}

function brief({ permission_id, config, granted_at, granted_by }: Grant): Record<string, unknown> {
  return { permission_id, config, granted_at, granted_by };
}
