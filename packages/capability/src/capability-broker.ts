import { isJsonObject, MAX_RESPONSE_BYTES } from "@rumi/core";
import type { AuditSink, Clock, InstanceCaller, JsonObject, JsonValue, Logger, SocketOwner } from "@rumi/core";
import * as v from "valibot";
import { CallAudit, FLOODS, type RealReason } from "./call-audit.ts";
import { PACK_TEXTS, refusalAnswer, type CapabilityAnswer } from "./capability-answer.ts";
import { parseCapabilityRequest, type CapabilityRequest } from "./capability-request.ts";
import { FloodBrake } from "./flood-brake.ts";
import type { GrantBook } from "./grant-book.ts";
import { judgeRights } from "./judge-rights.ts";
import type { CallerGate, Capability, CapabilityOutcome, CapabilitySource } from "./ports.ts";
import { RateLimiter } from "./rate-limiter.ts";
import { runInTime } from "./run-in-time.ts";

/** Calls of one power a minute and principal. Source: page "Trust", section 7, check 3. */
const CALLS_PER_MINUTE = 600;
const SECRET_GETS_PER_MINUTE = 60;
const UNIT_RUNS_PER_MINUTE = 30;

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
  /** `RUMI_UNIT_RATE_LIMIT`. Default 30. */
  readonly unitRunPerMinute?: number;
  /** `RUMI_MAX_RESPONSE_BYTES`, of the whole answer. Default 4 MiB. */
  readonly maxResponseBytes?: number;
}

/** A refusal: what the pack sees, and why. */
interface No {
  readonly answer: CapabilityAnswer;
  readonly why: RealReason;
}

/** Uses of host powers by packs: every check in its order, every decision recorded, generic texts for the pack. */
export class CapabilityBroker implements AsyncDisposable {
  readonly #deps: CapabilityBrokerDeps;
  readonly #perMinute: ReadonlyMap<string, number>;
  readonly #maxResponseBytes: number;
  readonly #audit: CallAudit;
  readonly #rates = new RateLimiter();
  readonly #brake: FloodBrake;

  constructor(deps: CapabilityBrokerDeps, options: CapabilityBrokerOptions = {}) {
    this.#deps = deps;
    this.#perMinute = new Map([
      ["secrets.get", options.secretGetPerMinute ?? SECRET_GETS_PER_MINUTE],
      ["unit.run", options.unitRunPerMinute ?? UNIT_RUNS_PER_MINUTE],
    ]);
    this.#maxResponseBytes = options.maxResponseBytes ?? MAX_RESPONSE_BYTES;
    this.#audit = new CallAudit(deps);
    this.#brake = new FloodBrake(deps);
  }

  /**
   * Answers one message of an instance, from check 2 on. Never throws. The message is pack-controlled; who asks is what
   * `owner` says. `signal`: the connection is gone.
   */
  async handle(message: JsonValue, owner: SocketOwner, signal: AbortSignal): Promise<CapabilityAnswer> {
    try {
      return await this.#handle(message, owner, signal);
    } catch (cause) {
      this.#log("a capability call failed inside the broker", cause);
      return refusalAnswer("internal_error", PACK_TEXTS.internal_error);
    }
  }

  /** Resolves when every use so far is in the audit log. */
  settled(): Promise<void> {
    return this.#audit.settled();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.settled();
  }

  async #handle(message: JsonValue, owner: SocketOwner, signal: AbortSignal): Promise<CapabilityAnswer> {
    const request = parseCapabilityRequest(message);
    if (typeof request === "string") {
      const error_type = isJsonObject(message) ? "invalid_request" : "protocol_error";
      const no = refusal(error_type, { code: `capability.${error_type}`, reason: request });
      return this.#refuse(owner.caller(), null, no, signal);
    }
    const caller = owner.caller(request.call_id);
    const capability = this.#deps.source.find(request.permission);
    const late = this.#pace(caller, request, capability);
    if (late === null) await this.#audit.overridden(caller, request);
    const judged = late ?? this.#judge(caller, request, capability);
    if ("why" in judged) return this.#refuse(caller, request, judged, signal);
    if (!(await this.#audit.isUp(caller, request))) return refusalAnswer("internal_error", PACK_TEXTS.internal_error);
    return this.#run(judged, caller, request, owner, signal);
  }

  async #refuse(
    caller: InstanceCaller,
    request: CapabilityRequest | null,
    { answer, why }: No,
    signal: AbortSignal,
  ): Promise<CapabilityAnswer> {
    await this.#audit.refused(caller, request, answer, why);
    if (FLOODS.has(answer.error_type ?? "")) await this.#brake.hold(caller.principal, signal);
    return answer;
  }

  /** Check 3. Every call counts, those that are refused later too. */
  #pace(caller: InstanceCaller, request: CapabilityRequest, capability: Capability | undefined): No | null {
    const id = capability?.permission_id ?? "?";
    const limit = capability?.per_minute ?? this.#perMinute.get(id) ?? CALLS_PER_MINUTE;
    if (this.#rates.take(`${caller.principal}/${id}`, limit, this.#deps.clock.monotonic())) return null;
    const reason = `${caller.principal} called ${request.permission.slice(0, 128)} more than ${limit} times in a minute`;
    return refusal("rate_limited", { code: "capability.rate_limited", reason });
  }

  /** Checks 4 to 6. */
  #judge(caller: InstanceCaller, request: CapabilityRequest, capability: Capability | undefined): No | Use {
    if (capability === undefined) {
      const reason = `there is no power ${request.permission.slice(0, 128)}`;
      return refusal("permission_denied", { code: "capability.permission_denied", reason, remedy: "rumi grant list" });
    }
    const args = v.safeParse(capability.args, request.args);
    const rights = judgeRights(this.#deps, capability, caller, args.success ? args.output : null);
    if (!rights.allowed) return uniform(capability, refusal("permission_denied", rights));
    if (!args.success) {
      const text = args.issues[0];
      const path = v.getDotPath(text);
      const rule = (path === null ? text.message : `${path}: ${text.message}`).slice(0, 500);
      const why: RealReason = { code: "capability.validation_error", reason: rule };
      return uniform(capability, { answer: refusalAnswer("validation_error", rule), why });
    }
    const use = { capability, args: args.output, config: rights.config };
    const outside = capability.outside({ args: use.args, config: use.config, caller });
    if (outside !== null) {
      const why = { code: "capability.permission_denied", reason: outside, remedy: rights.remedy } as const;
      return uniform(capability, refusal("permission_denied", why));
    }
    if (rights.grant !== null && !this.#deps.grants.take(caller.principal, rights.grant)) {
      const reason = `the grant of ${capability.permission_id} to ${caller.principal}, or to a level above it, is used up`;
      return uniform(capability, refusal("limit_reached", { code: "capability.limit_reached", reason, remedy: rights.remedy }));
    }
    return use;
  }

  /** Checks 7 and 8. */
  async #run(
    use: Use,
    caller: InstanceCaller,
    request: CapabilityRequest,
    owner: SocketOwner,
    signal: AbortSignal,
  ): Promise<CapabilityAnswer> {
    const { clock } = this.#deps;
    const { capability, args, config } = use;
    const startedAt = clock.monotonic();
    const rest = (caller.call?.deadline ?? Infinity) - startedAt;
    const timeout_ms = Math.min(request.timeout_ms, rest);
    const outcome = await runInTime(
      (ended) => capability.run({ caller, args, config, request_id: request.request_id, signal: ended, timeout_ms }),
      { timeout_ms, owner, call_id: caller.call?.call_id, signal },
    );
    const latency_ms = Math.round((clock.monotonic() - startedAt) * 1000) / 1000;
    if (outcome.end === "failed") this.#log(`${capability.permission_id} failed`, outcome.cause);
    const ended = outcome.end === "done" ? outcome.outcome : failureOf(outcome.end, capability);
    const answer = this.#answer(capability, ended, latency_ms);
    this.#audit.used(caller, request, answer, latency_ms, ended.ok ? null : refusedInside(capability, ended));
    return answer;
  }

  #answer(capability: Capability, outcome: CapabilityOutcome, latency_ms: number): CapabilityAnswer {
    if (!outcome.ok) {
      const { uniform: same } = capability;
      if (same !== undefined && (outcome.error_type === same.error_type || outcome.error_type === "uniform")) {
        return refusalAnswer(same.error_type, same.error);
      }
      return { ...refusalAnswer(outcome.error_type, outcome.error, outcome.output ?? {}), latency_ms };
    }
    const output: JsonObject = capability.provider === undefined ? { success: true, ...outcome.output } : outcome.output;
    const answer: CapabilityAnswer = { success: true, output, error: null, error_type: null, latency_ms };
    const bytes = jsonBytes(answer);
    if (bytes !== null && bytes <= this.#maxResponseBytes) return answer;
    const fault = bytes === null ? "internal_error" : "response_too_large";
    return { ...refusalAnswer(fault, PACK_TEXTS[fault]), latency_ms };
  }

  #log(message: string, cause: unknown): void {
    const { logger, redact = (text: string) => text } = this.#deps;
    logger.log("error", message, { cause: redact(cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)) });
  }
}

/** A call that passed every check. */
interface Use {
  readonly capability: Capability;
  readonly args: JsonObject;
  readonly config: JsonObject;
}

/** Null for what JSON cannot hold (cycles, too deep). */
function jsonBytes(answer: CapabilityAnswer): number | null {
  try {
    return Buffer.byteLength(JSON.stringify(answer));
  } catch {
    return null;
  }
}

function refusal(error_type: keyof typeof PACK_TEXTS, { code, reason, remedy }: RealReason): No {
  return { answer: refusalAnswer(error_type, PACK_TEXTS[error_type]), why: { code, reason, remedy } };
}

/** Some powers answer every refusal with one text. */
function uniform(capability: Capability, no: No): No {
  const same = capability.uniform;
  return same === undefined ? no : { ...no, answer: refusalAnswer(same.error_type, same.error) };
}

function failureOf(end: "timeout" | "gone" | "failed", capability: Capability): CapabilityOutcome & { readonly ok: false } {
  const error_type =
    end === "timeout" ? "timeout" : end === "gone" || capability.provider === undefined ? "internal_error" : "handler_error";
  return { ok: false, error_type, error: PACK_TEXTS[error_type] };
}

/** A power may refuse by its own rules (shares, policies): that is a refusal like any other. */
function refusedInside(capability: Capability, outcome: CapabilityOutcome & { readonly ok: false }): RealReason | null {
  const isRefusal = /(?:denied|not_allowed)$/u.test(outcome.error_type) || outcome.error_type === capability.uniform?.error_type;
  if (!isRefusal) return null;
  const reason = outcome.reason ?? outcome.error;
  const named = /^([a-z_]+\.[a-z_]+): /u.exec(reason)?.[1];
  return { code: (named ?? `capability.${outcome.error_type}`) as RealReason["code"], reason };
}
