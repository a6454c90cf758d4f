import type { AuditSink, Clock, JsonObject, JsonValue, Logger, SocketOwner } from "@rumi/core";
import type { GrantBook } from "./grant-book.ts";
import type { CallerGate, CapabilitySource } from "./ports.ts";

export interface CapabilityBrokerDeps {
  readonly grants: GrantBook;
  readonly gate: CallerGate;
  readonly source: CapabilitySource;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Takes live secret values out of what is audited and logged. */
  readonly redact?: (text: string) => string;
}

export interface CapabilityBrokerOptions {
  /** `RUMI_SECRET_GET_RATE_LIMIT`. Default 60. */
  readonly secretGetPerMinute?: number;
  /** `RUMI_MAX_RESPONSE_BYTES`. Default 4 MiB. */
  readonly maxResponseBytes?: number;
}

/** What a pack gets back: always these five keys. */
export type CapabilityAnswer = {
  readonly success: boolean;
  readonly output: JsonObject;
  readonly error: string | null;
  readonly error_type: string | null;
  readonly latency_ms: number;
};

/** A refusal as the pack sees it. */
export function refusalAnswer(error_type: string, error: string, facts: JsonObject = {}): CapabilityAnswer {
  return { success: false, output: { ...facts, success: false, error, error_type }, error, error_type, latency_ms: 0 };
}

/** Uses of host powers by packs: every check in its order, every use audited. */
export class CapabilityBroker {
  readonly #deps: CapabilityBrokerDeps;
  constructor(deps: CapabilityBrokerDeps, _options: CapabilityBrokerOptions = {}) {
    this.#deps = deps;
  }
  /** Answers one message of an instance, from check 2 on. Never throws. The message is pack-controlled. */
  handle(_message: JsonValue, _owner: SocketOwner, _signal: AbortSignal): Promise<CapabilityAnswer> {
    throw new Error(`to be filled in ${typeof this.#deps}`);
  }
}
