import type { PackId } from "@rumi/core";
import type { GrantBook } from "./grant-book.ts";
import type { CallerGate } from "./ports.ts";

export interface NetworkGrantsDeps {
  readonly grants: GrantBook;
  readonly gate: CallerGate;
}

/** The answer of a check, for the pack and the operator. `domain` as asked. */
export interface NetworkCheck {
  readonly allowed: boolean;
  readonly reason: string;
  readonly pack_id: string;
  readonly domain: string;
  readonly port: number;
}

/** The folded network grant as far as a proxy needs it. */
export interface NetworkLimits {
  /** `host:port`, IPv6 in brackets, canonical. */
  readonly allow_private: readonly string[];
  /** Upper case; null: any. */
  readonly allowed_methods: readonly string[] | null;
  readonly requests_per_minute: number;
}

export type NetworkVerdict =
  | { readonly allowed: true; readonly reason: "Access granted"; readonly limits: NetworkLimits }
  | { readonly allowed: false; readonly reason: string; readonly code: string; readonly limits: NetworkLimits | null };

/** May this pack reach that host? Grants of every level; no DNS, memory only. */
export class NetworkGrants {
  readonly #deps: NetworkGrantsDeps;
  constructor(deps: NetworkGrantsDeps) {
    this.#deps = deps;
  }
  /** Takes no use. */
  check(_principal: string, _domain: string, _port: number): NetworkCheck {
    throw new Error(`to be filled in ${typeof this.#deps}`);
  }
  /** One request: a yes takes a use. `method` null: a tunnel. */
  verdict(_ask: {
    readonly principal: PackId;
    readonly host: string;
    readonly port: number;
    readonly method: string | null;
  }): NetworkVerdict {
    throw new Error("to be filled in");
  }
  /** Null without a grant that holds now. */
  limits(_principal: PackId): NetworkLimits | null {
    throw new Error("to be filled in");
  }
  /** True while the principal holds a network grant at every level. */
  hasNetwork(_principal: PackId): boolean {
    throw new Error("to be filled in");
  }
}
