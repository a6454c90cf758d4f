import { PermissionId } from "@rumi/core";
import type { JsonObject, PackId } from "@rumi/core";
import * as v from "valibot";
import { isPrincipal } from "./grant-files.ts";
import type { GrantBook } from "./grant-book.ts";
import type { EffectiveGrant, FoldState } from "./held-grants.ts";
import { canonicalHost } from "./host-name.ts";
import { pairOf } from "./network-config.ts";
import { isListed } from "./pattern.ts";
import type { CallerGate } from "./ports.ts";

const EGRESS = v.parse(PermissionId, "network.egress");

export interface NetworkGrantsDeps {
  readonly grants: GrantBook;
  readonly gate: CallerGate;
}

/** The answer of a check, for the pack and the operator. `domain` and `port` as asked. */
export interface NetworkCheck {
  readonly allowed: boolean;
  readonly reason: string;
  readonly pack_id: string;
  readonly domain: string;
  readonly port: number;
}

/** The folded network grant as far as a proxy needs it. */
export interface NetworkLimits {
  /** `host:port`, canonical, IPv6 in brackets. */
  readonly allow_private: readonly string[];
  /** Upper case; null: any. */
  readonly allowed_methods: readonly string[] | null;
  readonly requests_per_minute: number;
}

/** The answer to one request. `reason` in the words of page "Trust", section 6; `code` for audit and operator. */
export type NetworkVerdict =
  | { readonly allowed: true; readonly reason: "Access granted"; readonly limits: NetworkLimits }
  | { readonly allowed: false; readonly reason: string; readonly code: string; readonly limits: NetworkLimits | null };

/** Why not, in the order in which it is asked. */
type Judged = { readonly grant: EffectiveGrant } & ({ readonly ok: true } | { readonly ok: false; readonly reason: string });

/**
 * May this pack reach that host and port? Judged by the grants of every level: no DNS, memory only. A pair of
 * `allow_private` allows itself, beside the domains and ports.
 */
export class NetworkGrants {
  readonly #grants: GrantBook;
  readonly #gate: CallerGate;

  constructor(deps: NetworkGrantsDeps) {
    this.#grants = deps.grants;
    this.#gate = deps.gate;
  }

  /** Takes no use and promises nothing about addresses. Everything in it may be pack-controlled. */
  check(packId: string, domain: string, port: number): NetworkCheck {
    const answer = (allowed: boolean, reason: string): NetworkCheck => ({ allowed, reason, pack_id: packId, domain, port });
    if (!isPrincipal(packId) || !this.#gate.gate(packId).allowed) return answer(false, "Pack is not approved");
    const fold = this.#grants.fold(packId, EGRESS);
    if (fold.state !== "ok") return answer(false, unheld(fold).reason);
    const judged = judge(fold, domain, port);
    return judged.ok ? answer(true, "Access granted") : answer(false, judged.reason);
  }

  /** One request: a yes takes a use. `method` null: a tunnel, whose methods nobody sees. */
  verdict(ask: {
    readonly principal: PackId;
    readonly host: string;
    readonly port: number;
    readonly method: string | null;
  }): NetworkVerdict {
    const gate = this.#gate.gate(ask.principal);
    if (!gate.allowed) return { allowed: false, reason: "Pack is not approved", code: gate.code, limits: null };
    const fold = this.#grants.fold(ask.principal, EGRESS);
    if (fold.state !== "ok") return { allowed: false, ...unheld(fold), limits: null };
    const limits = limitsOf(fold.config);
    const no = (reason: string, code = "capability.permission_denied"): NetworkVerdict => ({ allowed: false, reason, code, limits });
    const judged = judge(fold, ask.host, ask.port);
    if (!judged.ok) return no(judged.reason);
    const methods = limits.allowed_methods;
    if (methods !== null && (ask.method === null || !methods.includes(ask.method))) return no("Method not in allowed list");
    if (!this.#grants.take(ask.principal, fold)) return no("Limit reached", "capability.limit_reached");
    return { allowed: true, reason: "Access granted", limits };
  }

  /** Null without a grant that holds now. */
  limits(principal: PackId): NetworkLimits | null {
    const fold = this.#grants.fold(principal, EGRESS);
    return fold.state === "ok" ? limitsOf(fold.config) : null;
  }

  /** True while every level holds a grant that reaches something. */
  hasNetwork(principal: PackId): boolean {
    return this.#grants.effective(principal, EGRESS).allowed;
  }
}

function unheld(fold: Exclude<FoldState, { state: "ok" }>): { reason: string; code: string } {
  if (fold.state === "expired") return { reason: "Network grant expired", code: "capability.grant_expired" };
  const code = fold.state === "conflict" ? "capability.config_conflict" : "capability.permission_denied";
  return { reason: "No network grant for this pack", code };
}

function judge(grant: EffectiveGrant, domain: string, port: number): Judged {
  const { config } = grant;
  const host = canonicalHost(domain);
  const isPort = Number.isInteger(port) && port >= 1 && port <= 65_535;
  if (host !== null && isPort && isListed(config, "allow_private", pairOf(host, port))) return { ok: true, grant };
  if (host === null || !isListed(config, "allowed_domains", host)) return { ok: false, grant, reason: "Domain not in allowed list" };
  if (!isPort || !isListed(config, "allowed_ports", port)) return { ok: false, grant, reason: "Port not in allowed list" };
  return { ok: true, grant };
}

function limitsOf(config: JsonObject): NetworkLimits {
  const { allow_private, allowed_methods, requests_per_minute } = config;
  return {
    allow_private: Array.isArray(allow_private) ? (allow_private as string[]) : [],
    allowed_methods: Array.isArray(allowed_methods) ? (allowed_methods as string[]) : null,
    requests_per_minute: typeof requests_per_minute === "number" ? requests_per_minute : 0,
  };
}
