import type { Clock, InstanceCaller, PackId } from "@rumi/core";
import type { JudgedAddress } from "./address-class.ts";
import { allGlobal, checkAddresses } from "./address-rule.ts";
import type { OwnAddress } from "./address-rule.ts";
import type { Fault } from "./fault.ts";
import { blocked, fault, isFault } from "./fault.ts";
import { canonicalPair } from "./host-name.ts";
import type { EgressOptions } from "./limits.ts";
import type { EgressPolicy, EgressVerdict } from "./ports.ts";
import type { EgressReports } from "./reports.ts";
import { RequestPace } from "./request-pace.ts";
import type { RequestTrace } from "./request-trace.ts";
import type { Lookups } from "./resolver.ts";

export interface AdmissionDeps {
  readonly policy: EgressPolicy;
  readonly reports: EgressReports;
  readonly lookups: Lookups;
  readonly ownAddresses: () => readonly OwnAddress[];
  readonly clock: Clock;
}

/** Where somebody wants to go. */
export interface Wish {
  readonly host: string;
  /** The host is an address. */
  readonly literal: boolean;
  readonly port: number;
  /** Null for a tunnel. */
  readonly method: string | null;
}

/** A yes of rule 6. */
export interface Admitted {
  readonly allowPrivate: readonly string[];
  /** The host and port stand in `allow_private` as written. */
  readonly pair: boolean;
  /** Only a running report lets it pass: global hosts alone, and nothing brokered. */
  readonly report: boolean;
}

/** Ports that a report opens. */
const REPORT_PORTS: ReadonlySet<number> = new Set([80, 443]);

/** Rules 5, 6 and 8: who may go where, for requests and tunnels alike. */
export class Admission {
  readonly #deps: AdmissionDeps;
  readonly #options: Required<EgressOptions>;
  readonly #pace: RequestPace;

  constructor(deps: AdmissionDeps, options: Required<EgressOptions>) {
    this.#deps = deps;
    this.#options = options;
    this.#pace = new RequestPace(deps);
  }

  /** Rule 5: one place. It must be released. */
  take(principal: PackId): { release(): void } | Fault {
    const perMinute = this.#deps.policy.limits(principal)?.requests_per_minute ?? this.#options.requestsPerMinute;
    const taken = this.#pace.take(principal, { perMinute, atOnce: this.#options.maxInFlight });
    if (taken === "rate_limited") return fault("rate_limited", 5, `Rate limited: at most ${perMinute} requests a minute`);
    if (taken === "busy") return fault("busy", 5, `Busy: at most ${this.#options.maxInFlight} requests at once`);
    let open = true;
    return {
      release: () => {
        if (open) this.#pace.release(principal);
        open = false;
      },
    };
  }

  /** Waits before a refusal is answered, once a principal makes a habit of them. */
  async refusalPause(principal: PackId): Promise<void> {
    const delay = this.#pace.refusalDelay(principal);
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
  }

  /** Rule 6. */
  admit(caller: InstanceCaller, wish: Wish, trace: RequestTrace): Admitted | Fault {
    const { policy, reports } = this.#deps;
    const { principal, digest } = caller;
    const verdict = policy.decide({ principal, digest, host: wish.host, port: wish.port, method: wish.method });
    if (verdict.allowed) {
      trace.wouldDeny = null;
      const { allow_private: allowPrivate } = verdict.limits;
      const pair = allowPrivate.some((text) => {
        const one = canonicalPair(text);
        return one?.host === wish.host && one.port === wish.port;
      });
      return { allowPrivate, pair, report: false };
    }
    trace.remedy = verdict.remedy ?? (isFinal(verdict) ? null : `rumi network grant ${principal}`);
    if (reports.running(principal) && !isFinal(verdict) && REPORT_PORTS.has(wish.port)) {
      trace.wouldDeny = verdict.reason;
      return { allowPrivate: [], pair: false, report: true };
    }
    reports.note(principal, { domain: wish.host, port: wish.port, allowed: false, global: mayBeGlobal(wish) });
    return grantFault(verdict);
  }

  /** Rule 8: the addresses of an admitted host that may be dialled. */
  async addresses(
    caller: InstanceCaller,
    wish: Wish,
    admitted: Admitted,
    trace: RequestTrace,
    signal: AbortSignal,
  ): Promise<readonly JudgedAddress[] | Fault> {
    const { lookups, reports, ownAddresses } = this.#deps;
    const { principal } = caller;
    const found = wish.literal ? [wish.host] : await lookups.resolve(principal, wish.host, signal);
    if (isFault(found)) return found;
    const judged = checkAddresses(wish, found, { allowPrivate: admitted.allowPrivate, own: ownAddresses() });
    const global = !isFault(judged) && allGlobal(judged);
    reports.note(principal, { domain: wish.host, port: wish.port, allowed: !admitted.report && !isFault(judged), global });
    if (isFault(judged)) return judged;
    if (admitted.report && !global) return blocked(8, "a report opens nothing private");
    trace.class = judged[0]?.class ?? null;
    return judged;
  }
}

/** True for a "no" that no report changes. */
function isFinal(verdict: Extract<EgressVerdict, { allowed: false }>): boolean {
  return verdict.final === true || verdict.reason === "Pack is not approved";
}

/** What a pack reads of a "no" of rule 6. */
export function grantFault(verdict: Extract<EgressVerdict, { allowed: false }>): Fault {
  return fault("grant_denied", 6, `Network access denied: ${verdict.reason}`, { reason: verdict.reason, code: verdict.code });
}

/** True unless the host alone says that it lies inside; no name is resolved for one that is refused. */
function mayBeGlobal(wish: Wish): boolean {
  if (!wish.literal) return wish.host !== "localhost" && !wish.host.endsWith(".localhost");
  const judged = checkAddresses(wish, [wish.host], { allowPrivate: [], own: [] });
  return !isFault(judged);
}
