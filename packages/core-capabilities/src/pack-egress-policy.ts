import type { Decision, Digest, ErrorCode, PackId } from "@rumi/core";
import type { ApprovedPack } from "@rumi/approval";
import type { EgressAsk, EgressLimits, EgressPolicy, EgressVerdict } from "@rumi/egress";
import { covers } from "./domain-pattern.ts";

/** The network grants of every level, folded. `NetworkGrants` is one. Memory only. */
export interface NetworkVerdicts {
  /** Takes no use. */
  check(principal: string, domain: string, port: number): { readonly allowed: boolean };
  /** One request: a yes takes a use. */
  verdict(ask: { readonly principal: PackId; readonly host: string; readonly port: number; readonly method: string | null }): EgressVerdict;
  limits(principal: PackId): EgressLimits | null;
}

export interface PackEgressPolicyDeps {
  readonly approvals: { gate(packId: PackId, digest?: Digest): Decision<ApprovedPack, ErrorCode> };
  readonly network: NetworkVerdicts;
}

/** Rule 6 of the proxy: the gate at the asking bytes, the grants of every level, then what the pack's manifest forbids itself. */
export class PackEgressPolicy implements EgressPolicy {
  readonly #deps: PackEgressPolicyDeps;

  constructor(deps: PackEgressPolicyDeps) {
    this.#deps = deps;
  }

  decide(ask: EgressAsk): EgressVerdict {
    const { approvals, network } = this.#deps;
    const gate = approvals.gate(ask.principal, ask.digest);
    if (!gate.allowed) return { allowed: false, reason: "Pack is not approved", code: gate.code, limits: null };
    const { egress_deny_domains: deny = [], egress_allow_domains: allow } = gate.pack.manifest;
    const isDenied = deny.some((pattern) => covers(pattern, ask.host)) || allow?.some((pattern) => covers(pattern, ask.host)) === false;
    // The grant's own "no" comes first; its "yes" would count a use that the manifest then refuses.
    if (!isDenied || !network.check(ask.principal, ask.host, ask.port).allowed) return network.verdict(ask);
    return {
      allowed: false,
      reason: "Domain not in allowed list",
      code: "capability.permission_denied",
      limits: network.limits(ask.principal),
    };
  }

  limits(principal: PackId): EgressLimits | null {
    return this.#deps.network.limits(principal);
  }
}
