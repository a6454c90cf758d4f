import type { AuditEvent, AuditSink, Clock, ErrorCode, InstanceCaller, JsonObject, Logger } from "@rumi/core";
import type { CapabilityAnswer } from "./capability-answer.ts";
import type { CapabilityRequest } from "./capability-request.ts";
import { RateLimiter } from "./rate-limiter.ts";

/** Why a pack was refused, for operator and audit. */
export interface RealReason {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly remedy?: string | undefined;
}

/** Refusals of one kind a minute that are each recorded; after them only the 2nd, 4th, 8th... more. */
const RECORDED_REPEATS = 10;

/** What a pack can be refused with at any speed: these come before, or from, the rate. */
export const FLOODS: ReadonlySet<string> = new Set(["rate_limited", "invalid_request", "protocol_error"]);

const MAX_SHOWN = 256;

/** Records what packs do with the socket. Texts of packs and of handlers go through `redact`. */
export class CallAudit {
  readonly #audit: AuditSink;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #redact: (text: string) => string;
  readonly #repeats = new RateLimiter();
  readonly #repeated = new Map<string, number>();
  readonly #pending = new Set<Promise<void>>();
  #down = false;

  constructor(deps: {
    readonly audit: AuditSink;
    readonly clock: Clock;
    readonly logger: Logger;
    readonly redact?: ((text: string) => string) | undefined;
  }) {
    this.#audit = deps.audit;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#redact = deps.redact ?? ((text) => text);
  }

  /** False while the log refuses entries: then nothing may be done that would have to stand in it. */
  async isUp(caller: InstanceCaller, request: CapabilityRequest): Promise<boolean> {
    if (!this.#down) return true;
    return this.#write([callEvent(caller, request, { attempt: true })]);
  }

  /** A message that was refused before anything was done. Resolves when it is recorded. */
  async refused(caller: InstanceCaller, request: CapabilityRequest | null, answer: CapabilityAnswer, why: RealReason): Promise<void> {
    const repeats = this.#countRepeat(caller, answer.error_type);
    if (repeats === null) return;
    const { code, reason, remedy } = why;
    const event = callEvent(caller, request, { code, ...(remedy === undefined ? {} : { remedy }), ...(repeats > 0 ? { repeats } : {}) });
    const no = {
      ...event,
      severity: "warning",
      success: false,
      error_type: answer.error_type ?? "",
      rejection_reason: this.#redact(reason),
    } as const;
    await this.#write([no, { ...no, category: "security", action: code }]);
  }

  /** A message that claimed to be somebody else's. */
  async overridden(caller: InstanceCaller, request: CapabilityRequest): Promise<void> {
    const claimed = request.claims.filter((name) => name !== caller.principal).map((name) => name.slice(0, MAX_SHOWN));
    if (claimed.length === 0) return;
    const event = callEvent(caller, request, { claimed });
    await this.#write([{ ...event, category: "security", severity: "warning", action: "principal_id_overridden", success: false }]);
  }

  /**
   * A use that was let through, however it ended. Its entry is on its way at once; the answer does not wait for the
   * disk. `why`: it ended as a refusal after all.
   */
  used(caller: InstanceCaller, request: CapabilityRequest, answer: CapabilityAnswer, latency_ms: number, why: RealReason | null): void {
    const done = new Promise<void>((resolve) => {
      // After the answer: measuring and signing must not hold it up.
      setImmediate(() => {
        const sizes = { args_bytes: byteSize(request.args), output_bytes: byteSize(answer.output), latency_ms };
        const event = callEvent(caller, request, why === null ? sizes : { ...sizes, code: why.code });
        const ended = {
          ...event,
          success: answer.success,
          ...(answer.error_type === null ? {} : { error_type: answer.error_type }),
          ...(why === null ? {} : { rejection_reason: this.#redact(why.reason) }),
        };
        const security = why === null ? [] : [{ ...ended, category: "security", action: why.code } as const];
        void this.#write([ended, ...security]).then(() => resolve());
      });
    });
    this.#pending.add(done);
    void done.then(() => this.#pending.delete(done));
  }

  /** Resolves when every use so far is recorded. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  async #write(events: readonly AuditEvent[]): Promise<boolean> {
    try {
      await Promise.all(events.map((event) => this.#audit.record(event)));
      this.#down = false;
    } catch (cause) {
      if (!this.#down) this.#logger.log("error", "uses of capabilities cannot be recorded", { cause: this.#redact(String(cause)) });
      this.#down = true;
    }
    return !this.#down;
  }

  /** How many were left out since the last one that was recorded; null: leave this one out too. */
  #countRepeat(caller: InstanceCaller, errorType: string | null): number | null {
    if (errorType === null || !FLOODS.has(errorType)) return 0;
    const key = `${caller.principal}/${errorType}`;
    if (this.#repeats.take(key, RECORDED_REPEATS, this.#clock.monotonic())) {
      const before = this.#repeated.get(key) ?? 0;
      this.#repeated.delete(key);
      return before;
    }
    const more = (this.#repeated.get(key) ?? 0) + 1;
    this.#repeated.set(key, more);
    return (more & (more - 1)) === 0 ? more : null;
  }
}

function callEvent(caller: InstanceCaller, request: CapabilityRequest | null, details: JsonObject): AuditEvent {
  const { call } = caller;
  return {
    category: "permission",
    action: "call",
    success: true,
    owner_pack: caller.principal,
    digest: caller.digest,
    execution_mode: caller.execution_mode,
    ...(call === null ? {} : { flow_id: call.flow_id, step_id: call.step_id, phase: call.phase, run_id: call.run_id }),
    details: {
      permission_type: "capability_call",
      principal_id: caller.principal,
      permission_id: request === null ? null : request.permission.slice(0, MAX_SHOWN),
      request_id: request?.request_id ?? null,
      instance_id: caller.instance_id,
      ...details,
    },
  };
}

function byteSize(value: JsonObject): number {
  return Buffer.byteLength(JSON.stringify(value));
}
