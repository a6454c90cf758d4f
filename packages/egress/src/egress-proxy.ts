import type { Duplex } from "node:stream";
import type { AuditSink, Clock, JsonObject, Logger, SocketOwner } from "@rumi/core";
import type { Connector } from "./dial.ts";
import type { HttpAnswer } from "./http-answer.ts";
import { DEFAULT_EGRESS_OPTIONS } from "./limits.ts";
import type { EgressOptions } from "./limits.ts";
import type { EgressPolicy, Resolver, SecretBroker } from "./ports.ts";
import type { EgressReports } from "./reports.ts";

/** A listener of the daemon or of the engine: no request ever reaches it, whatever is granted. */
export interface OwnAddress {
  /** An IP address, or the wildcard `0.0.0.0` or `::`. */
  readonly host: string;
  readonly port: number;
}

export interface EgressProxyDeps {
  readonly policy: EgressPolicy;
  readonly secrets: SecretBroker;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly reports: EgressReports;
  /** Asked anew for every request. */
  readonly ownAddresses: () => readonly OwnAddress[];
  readonly resolver?: Resolver;
  readonly connect?: Connector;
}

/** Makes the requests of packs itself, under every rule of page "Execution", section 9. */
export class EgressProxy implements AsyncDisposable {
  readonly #deps: EgressProxyDeps;
  readonly #options: Required<EgressOptions>;

  constructor(deps: EgressProxyDeps, options: EgressOptions = {}) {
    this.#deps = deps;
    this.#options = { ...DEFAULT_EGRESS_OPTIONS, ...options };
  }

  /** Owns `connection` from now on: frames, tunnels and the forward proxy. Never throws. */
  serve(connection: Duplex, owner: SocketOwner): void {
    void this.#deps;
    void this.#options;
    void owner;
    connection.destroy();
  }

  /** One request as a frame would carry it; `stream` is not for this. Never rejects. */
  request(message: JsonObject, owner: SocketOwner, signal: AbortSignal): Promise<HttpAnswer> {
    void message;
    void owner;
    void signal;
    return Promise.reject(new Error("not yet"));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
