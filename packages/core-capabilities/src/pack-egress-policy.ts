import type { Decision, Digest, ErrorCode, PackId } from "@rumi/core";
import type { ApprovedPack } from "@rumi/approval";
import type { EgressAsk, EgressLimits, EgressPolicy, EgressVerdict } from "@rumi/egress";
import { covers } from "./domain-pattern.ts";

/** The network grants of every level, folded. `NetworkGrants` is one. Memory only. */
export interface NetworkVerdicts {
  /** Takes no use. */
  check(principal: string, domain: string, port: number): { readonly allowed: boolean; readonly reason: string };
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
    const { network } = this.#deps;
    return this.#forbidden(ask) ?? network.verdict(ask);
  }

  check(ask: EgressAsk): { readonly allowed: boolean; readonly reason: string } {
    return this.#forbidden(ask) ?? this.#deps.network.check(ask.principal, ask.host, ask.port);
  }

  /** The gate's or the manifest's own "no", which no report changes; null when both let the grant decide. */
  #forbidden(ask: EgressAsk): EgressVerdict | null {
    const { approvals, network } = this.#deps;
    const gate = approvals.gate(ask.principal, ask.digest);
    if (!gate.allowed) return { allowed: false, reason: "Pack is not approved", code: gate.code, limits: null, final: true };
    const { egress_deny_domains: deny = [], egress_allow_domains: allow } = gate.pack.manifest;
    const isDenied = deny.some((pattern) => covers(pattern, ask.host)) || allow?.some((pattern) => covers(pattern, ask.host)) === false;
    if (!isDenied) return null;
    // The grant's own "no" comes first; its "yes" would count a use that the manifest then refuses.
    const granted = network.check(ask.principal, ask.host, ask.port);
    const reason = granted.allowed ? "Domain not in allowed list" : granted.reason;
    return { allowed: false, reason, code: "capability.permission_denied", limits: network.limits(ask.principal), final: true };
  }

  limits(principal: PackId): EgressLimits | null {
    return this.#deps.network.limits(principal);
  }
}
