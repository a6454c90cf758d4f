import type { AuditSink, Clock, ExecutionMode, Logger } from "@rumi/core";
import type { InstanceSeed } from "../ports.ts";
import type { CapabilityService, EgressService, Gateway, OpenGateway } from "./ports.ts";

/** Where one kind of sockets lies and who may open them. */
export interface SocketPlace {
  /** Absolute folder of this installation alone: ours, 0700; made when missing. Each instance has a folder below it. */
  readonly base: string;
  /** Group of the sockets; absent: everybody may connect, behind the base that only we may enter. */
  readonly gid?: number;
  /** With `gid` only. 0666 is audited. */
  readonly mode?: 0o660 | 0o666;
}

export interface InstanceGatewayDeps {
  readonly capability: CapabilityService;
  readonly egress: EgressService;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface InstanceGatewayOptions {
  readonly capability: SocketPlace;
  readonly egress: SocketPlace;
}

/**
 * Gives each instance its own two sockets: who speaks through one is the instance it was made for, whatever a message says.
 * They listen before the instance starts and are gone with it.
 */
export class InstanceGateway implements Gateway, AsyncDisposable {
  readonly #deps: InstanceGatewayDeps;
  readonly #options: InstanceGatewayOptions;

  constructor(deps: InstanceGatewayDeps, options: InstanceGatewayOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  open(seed: InstanceSeed, instance: { readonly id: string; readonly mode: ExecutionMode }): Promise<OpenGateway> {
    void [this.#deps, this.#options, seed, instance];
    return Promise.reject(new Error("not yet"));
  }

  /** Removes folders that a daemon which crashed left. Returns the count. Also done before the first `open`. */
  sweep(): Promise<number> {
    return Promise.resolve(0);
  }

  /** Ends the sockets of all instances. */
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
