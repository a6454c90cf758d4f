import { isoTime, RumiError } from "@rumi/core";
import type { AuditEvent, AuditSink, Clock, Decision, ErrorCode, ExecutionMode, JsonObject, JsonValue, Logger } from "@rumi/core";
import type { BlockCall, BlockOutcome, BlockRunner } from "@rumi/flow-engine";
import { runtimeOf } from "@rumi/pack-manifest";
import type { TreeListing } from "@rumi/safe-files";
import type { LogLine, RunResult, RunSpec } from "@rumi/sandbox";
import { outcomeOf, refusedOutcome } from "./block-outcome.ts";
import type { BlockRefusal } from "./block-outcome.ts";
import { refuseInput } from "./input-check.ts";
import type { InstancePool } from "./instance-pool.ts";
import type { ApprovalGate, ApprovedSnapshot, InstanceSeed } from "./ports.ts";
import type { RunLogs } from "./run-logs.ts";
import type { SandboxWatch } from "./sandbox-watch.ts";
import { NO_BYTES } from "./snapshot-block-resolver.ts";

/** Most bytes of log lines kept per call. Source: page "Execution", section 6. */
export const MAX_CALL_LOG_BYTES = 256 * 1024;

export interface PackBlockRunnerDeps {
  readonly gate: ApprovalGate;
  readonly pool: InstancePool;
  readonly sandbox: SandboxWatch;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Keeps what blocks print, by run. */
  readonly logs?: RunLogs;
  /** Takes live secrets and the like out of text that a block printed or raised. */
  readonly redact?: (text: string) => string;
}

export interface PackBlockRunnerOptions {
  /** Largest result of one call. */
  readonly maxResultBytes: number;
  readonly maxLogBytes?: number;
  /** Longest call on the host, where nothing but the deadline holds it. */
  readonly hostTimeoutMs?: number;
}

/**
 * Runs one block of one pack, behind the gates of page "Execution", section 2, in their order. Never throws.
 * A call on a warm instance passes the gates in memory: no disk, no hash, no wait for a log.
 */
export class PackBlockRunner implements BlockRunner {
  readonly #deps: PackBlockRunnerDeps;
  readonly #maxResultBytes: number;
  readonly #maxLogBytes: number;
  readonly #hostTimeoutMs: number;
  /** Paths of each listing, made once. */
  readonly #paths = new WeakMap<TreeListing, ReadonlySet<string>>();

  constructor(deps: PackBlockRunnerDeps, options: PackBlockRunnerOptions) {
    this.#deps = deps;
    this.#maxResultBytes = options.maxResultBytes;
    this.#maxLogBytes = options.maxLogBytes ?? MAX_CALL_LOG_BYTES;
    this.#hostTimeoutMs = options.hostTimeoutMs ?? Number.POSITIVE_INFINITY;
  }

  async run(call: BlockCall, signal: AbortSignal): Promise<BlockOutcome> {
    const startedAt = this.#deps.clock.monotonic();
    const principal =
      call.claimed_principal === undefined || call.claimed_principal === call.owner_pack ? null : await this.#ignorePrincipal(call);
    if (principal !== null) return this.#refuse(call, principal, startedAt);
    const passed = this.#deps.gate.gate(call.owner_pack, call.digest);
    if (!passed.allowed) return this.#refuse(call, this.#approvalRefusal(call), startedAt);
    const seed: InstanceSeed = {
      pack_id: call.owner_pack,
      digest: passed.digest,
      runtime: call.runtime,
      authority: call.owner_pack,
      root: passed.root,
      reuse: passed.pack.reuse,
    };
    const warm = this.#deps.pool.isWarm(seed);
    const refusal = warm ? this.#refuseCall(call, passed) : await this.#coldGates(call, passed);
    if (refusal !== null) return this.#refuse(call, refusal, startedAt);
    let result: RunResult;
    try {
      result = await this.#deps.pool.run(seed, this.#spec(call), signal, call);
    } catch (cause) {
      return this.#refuse(call, refusalOf(cause), startedAt);
    }
    return this.#finish(call, result);
  }

  /** Gates 3, 4 and 5, then 2 once more, for time has passed. */
  async #coldGates(call: BlockCall, passed: ApprovedSnapshot): Promise<BlockRefusal | null> {
    try {
      const verified = await this.#deps.gate.verifySnapshot(call.owner_pack, passed.digest);
      if (!verified.allowed) return snapshotRefusal(verified);
      const refused = this.#refuseCall(call, passed);
      if (refused !== null) return refused;
      await this.#deps.sandbox.admit(call.runtime);
    } catch (cause) {
      return refusalOf(cause);
    }
    const again = this.#deps.gate.gate(call.owner_pack, call.digest);
    return again.allowed ? null : this.#approvalRefusal(call);
  }

  /** Gate 4. */
  #refuseCall(call: BlockCall, passed: ApprovedSnapshot): BlockRefusal | null {
    if (!this.#pathsOf(passed.listing).has(call.file) || runtimeOf(call.file) !== call.runtime) {
      return {
        error_type: "path_rejected",
        code: "sandbox.path_rejected",
        message: `the approved bytes hold no ${call.runtime} file of that name`,
      };
    }
    const tooLarge = refuseInput(call.input);
    return tooLarge === null ? null : { error_type: "input_too_large", code: "flow.input_too_large", message: tooLarge };
  }

  #pathsOf(listing: TreeListing): ReadonlySet<string> {
    let paths = this.#paths.get(listing);
    if (paths === undefined) {
      paths = new Set(listing.entries.filter((entry) => entry.type === "f").map((entry) => entry.path));
      this.#paths.set(listing, paths);
    }
    return paths;
  }

  #spec(call: BlockCall): RunSpec {
    const { clock, logs, redact } = this.#deps;
    const now = clock.now();
    const timeoutMs = this.#mode() === "host_permissive" ? Math.min(call.timeout_ms, this.#hostTimeoutMs) : call.timeout_ms;
    const onLog = (line: LogLine): void => {
      const shown = redact === undefined ? line : { stream: line.stream, text: redact(line.text) };
      logs?.add(call.run_id, call.step_id, shown);
      call.on_log?.(shown);
    };
    return {
      call_id: call.call_id,
      convention: "block",
      file: call.file,
      function: null,
      input: call.input,
      context: blockContext(call, now, timeoutMs),
      timeout_ms: timeoutMs,
      max_result_bytes: this.#maxResultBytes,
      max_log_bytes: this.#maxLogBytes,
      on_log: onLog,
    };
  }

  #mode(): ExecutionMode {
    return this.#deps.sandbox.last?.isolation === "none" ? "host_permissive" : "container";
  }

  /**
   * A run bound to no bytes began when the pack might not run: that is the answer. Else it is bound to bytes that might run
   * then: either others were approved meanwhile, or none may run any more.
   */
  #approvalRefusal(call: BlockCall): BlockRefusal {
    const current = this.#deps.gate.gate(call.owner_pack);
    const changed = { error_type: "approval_rejected", code: "flow.pack_changed" } as const;
    if (current.allowed) return { ...changed, message: `pack "${call.owner_pack}" was approved anew while the flow ran` };
    const { code, reason: message, remedy } = current;
    if (call.digest === NO_BYTES) return { error_type: "approval_rejected", code, message, remedy };
    return { ...changed, cause: code, message, remedy };
  }

  #finish(call: BlockCall, result: RunResult): BlockOutcome {
    const mode = this.#mode();
    const outcome = this.#redacted(outcomeOf(result, mode));
    this.#record({
      category: "python_file_call",
      action: "block_call",
      success: outcome.ok,
      ...(outcome.ok ? {} : { severity: "warning", error: outcome.message, error_type: outcome.error_type }),
      ...callIds(call),
      execution_mode: mode,
      details: {
        ...callDetails(call),
        ...this.#adapterDetails(call),
        outcome: result.kind,
        start: result.start,
        latency_ms: round(result.duration_ms),
        ...logDetails(result),
        ...(mode === "host_permissive" ? { warning: "host_permissive" } : {}),
      },
    });
    return outcome;
  }

  #redacted(outcome: BlockOutcome): BlockOutcome {
    const { redact } = this.#deps;
    if (outcome.ok || redact === undefined) return outcome;
    const details: Record<string, JsonValue> = {};
    for (const [key, value] of Object.entries(outcome.details ?? {})) details[key] = typeof value === "string" ? redact(value) : value;
    return { ...outcome, message: redact(outcome.message), details };
  }

  async #refuse(call: BlockCall, refusal: BlockRefusal, startedAt: number): Promise<BlockOutcome> {
    const outcome = refusedOutcome(refusal, this.#deps.clock.monotonic() - startedAt);
    const event = {
      success: false,
      severity: "warning",
      error: refusal.message,
      error_type: refusal.error_type,
      rejection_reason: refusal.message,
      ...callIds(call),
      execution_mode: "rejected",
      details: { ...callDetails(call), ...this.#adapterDetails(call), code: refusal.code },
    } as const;
    this.#record({ ...event, category: "python_file_call", action: "block_call" });
    await this.#recordSafely({ ...event, category: "security", action: refusal.cause ?? refusal.code });
    return outcome;
  }

  async #ignorePrincipal(call: BlockCall): Promise<BlockRefusal | null> {
    try {
      await this.#deps.audit.record({
        category: "security",
        severity: "warning",
        action: "principal_id_overridden",
        success: false,
        ...callIds(call),
        details: { claimed: (call.claimed_principal ?? "").slice(0, 128), principal_id: call.owner_pack },
      });
      return null;
    } catch (cause) {
      return refusalOf(cause);
    }
  }

  #adapterDetails(call: BlockCall): JsonObject {
    const probe = this.#deps.sandbox.last;
    if (probe === null) return {};
    return {
      adapter: probe.adapter,
      image: probe.runtimes[call.runtime].image_id,
      ...(probe.oci_runtime === undefined ? {} : { oci_runtime: probe.oci_runtime }),
    };
  }

  #record(event: AuditEvent): void {
    void this.#recordSafely(event);
  }

  async #recordSafely(event: AuditEvent): Promise<void> {
    try {
      await this.#deps.audit.record(event);
    } catch (cause) {
      this.#deps.logger.log("error", "an audit entry could not be written", { action: event.action, error: String(cause) });
    }
  }
}

/** What a block finds in its `context`. Source: page "Execution", section 7. */
function blockContext(call: BlockCall, nowMs: number, timeoutMs: number): JsonObject {
  return {
    flow_id: call.flow_id,
    step_id: call.step_id,
    phase: call.phase,
    ts: isoTime(nowMs),
    owner_pack: call.owner_pack,
    inputs: call.inputs,
    run_id: call.run_id,
    idempotency_key: call.idempotency_key,
    attempt: call.attempt,
    deadline_ts: isoTime(nowMs + timeoutMs),
    capability_socket: null,
  };
}

function callIds(call: BlockCall) {
  return {
    flow_id: call.flow_id,
    step_id: call.step_id,
    phase: call.phase,
    owner_pack: call.owner_pack,
    run_id: call.run_id,
    digest: call.digest,
  };
}

function callDetails(call: BlockCall): JsonObject {
  return { file: call.file, runtime: call.runtime, attempt: call.attempt, step_path: call.step_path };
}

function logDetails(result: RunResult): JsonObject {
  return result.log.bytes === 0 && result.log.dropped === 0 ? {} : { log_bytes: result.log.bytes, log_dropped: result.log.dropped };
}

/** A refusal of gate 3: bytes that moved have their own error type. */
export function snapshotRefusal(refusal: Decision<object, ErrorCode> & { readonly allowed: false }): BlockRefusal {
  const corrupt = refusal.code === "approval.snapshot_corrupt";
  return {
    error_type: corrupt ? "hash_verification_failed" : "approval_rejected",
    code: refusal.code,
    message: refusal.reason,
    remedy: refusal.remedy,
  };
}

function refusalOf(cause: unknown): BlockRefusal {
  if (cause instanceof RumiError) {
    const code: string = cause.code;
    if (code === "approval.snapshot_corrupt")
      return { error_type: "hash_verification_failed", code, message: cause.message, remedy: cause.remedy };
    if (code.startsWith("approval.")) return { error_type: "approval_rejected", code, message: cause.message, remedy: cause.remedy };
    if (code === "daemon.stopping") return { error_type: "cancelled", code: "sandbox.cancelled", message: cause.message };
    return { error_type: code.slice(code.indexOf(".") + 1), code, message: cause.message, remedy: cause.remedy };
  }
  return { error_type: "instance_lost", code: "sandbox.instance_lost", message: "the instance was lost" };
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
