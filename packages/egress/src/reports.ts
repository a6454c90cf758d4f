import type { Clock, PackId } from "@rumi/core";
import { isoTime } from "@rumi/core";
import { EgressError } from "./errors.ts";
import { MAX_OBSERVED, MAX_REPORT_SECONDS } from "./limits.ts";

/** A destination that a principal asked for. */
export interface ObservedHost {
  readonly domain: string;
  readonly port: number;
  readonly count: number;
  /** Its grant allowed it when it was asked for last. */
  readonly would_allow: boolean;
  readonly last_at: string;
}

/** A network grant's config that would allow what was observed, and no host or port more. */
export interface ProposedGrant {
  readonly allowed_domains: readonly string[];
  readonly allowed_ports: readonly number[];
}

interface Seen {
  readonly domain: string;
  readonly port: number;
  readonly global: boolean;
  count: number;
  allowed: boolean;
  at: number;
}

/**
 * What principals asked for, and for whom a report runs now: a time in which requests to global hosts on 80 and 443 pass
 * without a grant, so that an operator sees which grant a pack needs. In memory alone: a restart ends every report.
 */
export class EgressReports {
  readonly #clock: Clock;
  readonly #until = new Map<PackId, number>();
  readonly #seen = new Map<PackId, Map<string, Seen>>();

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  /**
   * Lets a report run for `seconds` from now (0 ends one). Returns its end, null when it ended.
   * @throws EgressError `egress.report_too_long`
   */
  start(principal: PackId, seconds: number): string | null {
    if (!Number.isFinite(seconds) || seconds < 0 || seconds > MAX_REPORT_SECONDS) {
      throw new EgressError("egress.report_too_long", `a report lasts at most ${MAX_REPORT_SECONDS} seconds`);
    }
    if (seconds === 0) {
      this.#until.delete(principal);
      return null;
    }
    this.#until.set(principal, this.#clock.now() + seconds * 1000);
    return this.until(principal);
  }

  /** When the running report ends; null when none runs. */
  until(principal: PackId): string | null {
    const end = this.#until.get(principal);
    if (end === undefined) return null;
    if (this.#clock.now() < end) return isoTime(end);
    this.#until.delete(principal);
    return null;
  }

  /** True while a report runs. */
  running(principal: PackId): boolean {
    return this.until(principal) !== null;
  }

  /** Destinations asked for since the daemon started, the newest first. */
  observed(principal: PackId): readonly ObservedHost[] {
    return [...(this.#seen.get(principal)?.values() ?? [])]
      .sort((a, b) => b.at - a.at)
      .map(({ domain, port, count, allowed, at }) => ({ domain, port, count, would_allow: allowed, last_at: isoTime(at) }));
  }

  /**
   * The smallest grant for everything observed on global hosts. Null when that is nothing. What is private is never proposed:
   * it takes an operator who names it.
   */
  proposed(principal: PackId): ProposedGrant | null {
    const seen = [...(this.#seen.get(principal)?.values() ?? [])].filter(({ global }) => global);
    if (seen.length === 0) return null;
    return {
      allowed_domains: [...new Set(seen.map(({ domain }) => domain))].sort(),
      allowed_ports: [...new Set(seen.map(({ port }) => port))].sort((a, b) => a - b),
    };
  }

  /** Notes one request. `allowed`: by the grant itself. `global`: nothing private was met on the way. */
  note(
    principal: PackId,
    asked: { readonly domain: string; readonly port: number; readonly allowed: boolean; readonly global: boolean },
  ): void {
    let hosts = this.#seen.get(principal);
    if (hosts === undefined) this.#seen.set(principal, (hosts = new Map()));
    const key = `${asked.domain} ${asked.port} ${asked.global}`;
    const known = hosts.get(key);
    if (known !== undefined) hosts.delete(key);
    hosts.set(key, {
      domain: asked.domain,
      port: asked.port,
      global: asked.global,
      count: (known?.count ?? 0) + 1,
      allowed: asked.allowed,
      at: this.#clock.now(),
    });
    if (hosts.size > MAX_OBSERVED) {
      for (const oldest of hosts.keys()) {
        hosts.delete(oldest);
        break;
      }
    }
  }

  /** Forgets a pack that is no longer there. */
  forget(principal: PackId): void {
    this.#until.delete(principal);
    this.#seen.delete(principal);
  }
}
