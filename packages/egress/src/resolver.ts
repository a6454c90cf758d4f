import { lookup } from "node:dns/promises";
import type { Clock, PackId } from "@rumi/core";
import type { Fault } from "./fault.ts";
import { fault } from "./fault.ts";
import { MAX_ADDRESSES, RESOLVE_TIMEOUT_MS } from "./limits.ts";
import type { Resolver } from "./ports.ts";

/** The machine's own resolver: its hosts file, its name servers. */
export const systemResolver: Resolver = {
  resolve: async (host) => (await lookup(host, { all: true, order: "verbatim" })).map(({ address }) => address),
};

/**
 * Resolves names within a time: one name of a principal after the other, since the machine's resolver serves only two at once,
 * whoever asks, and a pack with slow names must leave one to the others. Requests for the same name share a lookup that runs.
 */
export class Lookups {
  readonly #resolver: Resolver;
  readonly #clock: Clock;
  readonly #last = new Map<PackId, Promise<unknown>>();
  readonly #running = new Map<string, Promise<readonly string[] | null>>();

  constructor(deps: { readonly resolver: Resolver; readonly clock: Clock }) {
    this.#resolver = deps.resolver;
    this.#clock = deps.clock;
  }

  /** Rule 8, first half: every address of `host`. */
  async resolve(principal: PackId, host: string, signal: AbortSignal): Promise<readonly string[] | Fault> {
    let timer: NodeJS.Timeout | undefined;
    let stop = (): void => undefined;
    const late = new Promise<"late">((resolve) => {
      stop = () => resolve("late");
      timer = setTimeout(stop, RESOLVE_TIMEOUT_MS);
      signal.addEventListener("abort", stop, { once: true });
    });
    const found = await Promise.race([this.#lookup(principal, host), late]);
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    if (found === "late") return fault("dns_error", 8, "Name lookup timed out");
    if (found === null || found.length === 0) return fault("dns_error", 8, "Name not found");
    if (found.length > MAX_ADDRESSES) return fault("dns_error", 8, `The name has more than ${MAX_ADDRESSES} addresses`);
    return found;
  }

  #lookup(principal: PackId, host: string): Promise<readonly string[] | null> {
    const key = `${principal} ${host}`;
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const askedAt = this.#clock.monotonic();
    const lookup = async (): Promise<readonly string[] | null> => {
      // Nobody waits for one whose turn came that late.
      if (this.#clock.monotonic() - askedAt > RESOLVE_TIMEOUT_MS) return null;
      try {
        return await this.#resolver.resolve(host, AbortSignal.timeout(RESOLVE_TIMEOUT_MS));
      } catch {
        return null;
      }
    };
    const before = this.#last.get(principal);
    const own = before === undefined ? lookup() : before.then(lookup);
    this.#last.set(principal, own);
    this.#running.set(key, own);
    void own.then(() => {
      this.#running.delete(key);
      if (this.#last.get(principal) === own) this.#last.delete(principal);
    });
    return own;
  }
}
