import type { RequestParts, ResponseScrubber, SecretBroker } from "@rumi/egress";
import type { AuditSink, Clock, PackId } from "@rumi/core";
import type { HeldRights } from "./ports.ts";

/** Values of secrets, in memory. `SecretStore` is one. */
export interface SecretValues {
  /** Null: absent, deleted or undecryptable. */
  read(key: string): Promise<string | null>;
  /** The same without waiting, for what is already unsealed. */
  peek(key: string): string | null;
}

export interface GrantedSecretBrokerDeps {
  readonly rights: HeldRights;
  readonly secrets: SecretValues;
  readonly audit: AuditSink;
  readonly clock: Clock;
}

/** Puts secrets into requests under `secrets.use`, and takes them out of what comes back. */
export class GrantedSecretBroker implements SecretBroker {
  readonly #deps: GrantedSecretBrokerDeps;

  constructor(deps: GrantedSecretBrokerDeps) {
    this.#deps = deps;
  }

  keys(_parts: RequestParts): readonly string[] {
    return [];
  }

  fill(...[ask]: Parameters<SecretBroker["fill"]>): ReturnType<SecretBroker["fill"]> {
    const held = this.#deps.rights.effective(ask.principal, "secrets.use" as never);
    return Promise.resolve({ allowed: false, error: "Access denied or secret not found", reason: held.allowed ? "not yet" : held.reason });
  }

  scrubber(_principal: PackId, _host: string): ResponseScrubber | null {
    return null;
  }
}
