import type { EgressAsk, EgressLimits, EgressPolicy, EgressVerdict } from "@rumi/egress";
import type { PackId } from "@rumi/core";
import type { ApprovedPacks } from "./ports.ts";

/** The network grants of every level, folded. `NetworkGrants` is one. Memory only. */
export interface NetworkVerdicts {
  verdict(ask: { readonly principal: PackId; readonly host: string; readonly port: number; readonly method: string | null }): EgressVerdict;
  limits(principal: PackId): EgressLimits | null;
}

export interface PackEgressPolicyDeps {
  readonly approvals: ApprovedPacks;
  readonly network: NetworkVerdicts;
}

/** Rule 6 of the proxy: the gate at the asking bytes, the grants of every level, then the manifest's own limits. */
export class PackEgressPolicy implements EgressPolicy {
  readonly #deps: PackEgressPolicyDeps;

  constructor(deps: PackEgressPolicyDeps) {
    this.#deps = deps;
  }

  decide(ask: EgressAsk): EgressVerdict {
    return this.#deps.network.verdict(ask);
  }

  limits(principal: PackId): EgressLimits | null {
    return this.#deps.network.limits(principal);
  }
}
