import type { PackId } from "@rumi/core";
import type { EgressAsk, EgressLimits, EgressPolicy, EgressVerdict } from "../ports.ts";

/** One pack's rights, as a test writes them. */
export interface TestGrant {
  /** Exact, `*.x.y` (the apex too), or `*`. */
  readonly domains: readonly string[];
  readonly ports: readonly number[] | "*";
  readonly allowPrivate?: readonly string[];
  readonly methods?: readonly string[];
  readonly perMinute?: number;
  /** The manifest's own limit. */
  readonly deny?: readonly string[];
  readonly approved?: boolean;
}

/** Rights in memory, by the rules of page "Trust", section 6. */
export class TestPolicy implements EgressPolicy {
  readonly grants = new Map<string, TestGrant>();
  readonly asked: EgressAsk[] = [];

  grant(principal: string, grant: TestGrant): this {
    this.grants.set(principal, grant);
    return this;
  }

  limits(principal: PackId): EgressLimits | null {
    const grant = this.grants.get(principal);
    if (grant === undefined || grant.domains.length === 0) return null;
    return {
      allow_private: grant.allowPrivate ?? [],
      allowed_methods: grant.methods ?? null,
      requests_per_minute: grant.perMinute ?? 100_000,
    };
  }

  decide(ask: EgressAsk): EgressVerdict {
    this.asked.push(ask);
    const grant = this.grants.get(ask.principal);
    const limits = this.limits(ask.principal);
    const no = (reason: string, final = false): EgressVerdict => ({
      allowed: false,
      reason,
      code: "capability.permission_denied",
      limits,
      final,
    });
    if (grant?.approved === false) return no("Pack is not approved", true);
    if (grant?.deny?.some((pattern) => covers(pattern, ask.host)) === true) return no("Domain not in allowed list", true);
    if (grant === undefined || limits === null) return no("No network grant for this pack");
    if (!grant.domains.some((pattern) => covers(pattern, ask.host))) return no("Domain not in allowed list");
    if (grant.ports !== "*" && !grant.ports.includes(ask.port)) return no("Port not in allowed list");
    if (ask.method !== null && grant.methods !== undefined && !grant.methods.includes(ask.method)) return no("Method not in allowed list");
    return { allowed: true, reason: "Access granted", limits };
  }
}

function covers(pattern: string, host: string): boolean {
  if (pattern === "*" || pattern === host) return true;
  return pattern.startsWith("*.") && (host === pattern.slice(2) || host.endsWith(pattern.slice(1)));
}
