import { isoTime, RumiError } from "@rumi/core";
import type { AuditSink, Clock, FlowId, InFlightCall, InstanceCaller, JsonObject, JsonValue, Logger, Random } from "@rumi/core";
import type { RunResult, RunSpec } from "@rumi/sandbox";
import { refuseInput } from "../input-check.ts";
import type { InstancePool } from "../instance-pool.ts";
import type { ApprovalGate, InstanceSeed } from "../ports.ts";
import type { RunLogs } from "../run-logs.ts";
import { ForeignCalls } from "./foreign-calls.ts";
import type { CatalogFunction, FunctionCatalog } from "./function-catalog.ts";

/** Flows and functions that may call each other, root 1. Source: page "Flows", section 7. */
const MAX_CHAIN = 10;
/** Most bytes of log lines kept per call. Source: page "Execution", section 6. */
const MAX_LOG_BYTES = 256 * 1024;

/** What one function is asked for. Rights were judged. */
export interface FunctionCallAsk {
  /** `<pack_id>:<function_id>`. */
  readonly name: string;
  readonly args: JsonObject;
  readonly caller: InstanceCaller;
  /** Milliseconds the caller has left. */
  readonly timeout_ms: number;
}

/** How a call ended. `code` and `message` are for operator and audit. */
export type FunctionCallEnd =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly error_type: string; readonly code: string; readonly message: string };

export interface PackFunctionsDeps {
  readonly catalog: FunctionCatalog;
  readonly gate: Pick<ApprovalGate, "gate">;
  readonly pool: Pick<InstancePool, "run">;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly logs?: RunLogs;
  /** Takes live secrets out of what a function printed or raised. */
  readonly redact?: (text: string) => string;
}

/** Runs functions of packs, each in an instance of its own pack, as part of the call that asked for it. Never throws. */
export class PackFunctions {
  readonly #deps: PackFunctionsDeps;
  readonly #maxResultBytes: number;
  readonly #foreign = new ForeignCalls();

  constructor(deps: PackFunctionsDeps, options: { readonly maxResultBytes: number }) {
    this.#deps = deps;
    this.#maxResultBytes = options.maxResultBytes;
  }

  /** By `<pack_id>:<function_id>`, else by alias. Memory only. */
  find(name: string): CatalogFunction | undefined {
    return this.#deps.catalog.find(name);
  }

  async call(ask: FunctionCallAsk, signal: AbortSignal): Promise<FunctionCallEnd> {
    const startedAt = this.#deps.clock.monotonic();
    const end = await this.#call(ask, signal);
    const { call, principal } = ask.caller;
    try {
      await this.#deps.audit.record({
        category: "flow_execution",
        action: "function_call",
        success: end.ok,
        ...(end.ok ? {} : { severity: "warning", error: end.message, error_type: end.error_type }),
        ...(call === null ? {} : { flow_id: call.flow_id, step_id: call.step_id, run_id: call.run_id, phase: call.phase }),
        owner_pack: ask.name.split(":", 1)[0] ?? "",
        details: {
          function: ask.name,
          caller: principal,
          status: end.ok ? "done" : "failed",
          trigger: "function.call",
          latency_ms: Math.round((this.#deps.clock.monotonic() - startedAt) * 1000) / 1000,
          ...(end.ok ? {} : { code: end.code }),
        },
      });
    } catch (cause) {
      this.#deps.logger.log("error", "an audit entry could not be written", { action: "function_call", error: String(cause) });
    }
    return end;
  }

  async #call(ask: FunctionCallAsk, signal: AbortSignal): Promise<FunctionCallEnd> {
    const found = this.#deps.catalog.find(ask.name);
    if (found === undefined) return failure("function_not_found", "flow.missing_target", `there is no function ${ask.name}`);
    if (found.host_refused) return failure("permission_denied", "function.host_refused", `${found.name} asks for the host`);
    const { call } = ask.caller;
    // Without a call there is no chain, and functions that call each other would have no end.
    if (call === null) return failure("permission_denied", "function.call_denied", "no call of the instance is in flight");
    if (call.chain.length >= MAX_CHAIN) {
      return failure("flow_depth_exceeded", "flow.depth_exceeded", `at most ${MAX_CHAIN} flows and functions may call each other`);
    }
    const wrong = refuseInput(ask.args);
    if (wrong !== null) return failure("validation_error", "flow.input_too_large", wrong);
    const passed = this.#deps.gate.gate(found.pack_id, found.digest);
    if (!passed.allowed) return failure("permission_denied", passed.code, passed.reason);
    if (passed.pack.reuse && found.pack_id === ask.caller.principal) {
      // Its one process is taken by the very call that would wait for it.
      return failure("busy", "sandbox.busy", "a pack with runtime.reuse cannot call its own functions from a call");
    }
    const seed: InstanceSeed = {
      pack_id: found.pack_id,
      digest: passed.digest,
      runtime: found.runtime,
      authority: found.pack_id,
      root: passed.root,
      reuse: passed.pack.reuse,
    };
    const spec = this.#spec(found, ask, call);
    const chain = [...call.chain, found.name as FlowId];
    const isForeign = found.pack_id !== ask.caller.principal;
    if (isForeign && !(await this.#foreign.enter(found.pack_id, chain.length, signal))) {
      return failure("cancelled", "sandbox.cancelled", "cancelled before it was started");
    }
    try {
      return this.#end(await this.#deps.pool.run(seed, spec, signal, { ...call, chain }));
    } catch (cause) {
      if (!(cause instanceof RumiError)) throw cause;
      const code: string = cause.code;
      return failure(code.slice(code.indexOf(".") + 1), code, cause.message);
    } finally {
      if (isForeign) this.#foreign.leave(found.pack_id, chain.length);
    }
  }

  #spec(found: CatalogFunction, ask: FunctionCallAsk, call: InFlightCall): RunSpec {
    const { clock, random, logs } = this.#deps;
    const timeoutMs = Math.max(1, Math.ceil(Math.min(found.timeout_ms, ask.timeout_ms)));
    const now = clock.now();
    return {
      call_id: `${call.run_id}:${found.name}@${random.hex(8)}`,
      convention: "function",
      file: found.file,
      function: found.function,
      input: ask.args,
      context: {
        flow_id: call.flow_id,
        step_id: call.step_id,
        phase: call.phase,
        ts: isoTime(now),
        owner_pack: found.pack_id,
        // The flow's inputs are the caller's: a function knows what it was given.
        inputs: {},
        run_id: call.run_id,
        idempotency_key: call.idempotency_key,
        attempt: 1,
        deadline_ts: isoTime(now + timeoutMs),
        capability_socket: null,
        principal_id: ask.caller.principal,
        function: found.name,
      },
      timeout_ms: timeoutMs,
      max_result_bytes: this.#maxResultBytes,
      max_log_bytes: MAX_LOG_BYTES,
      on_log: (line) => logs?.add(call.run_id, call.step_id, { stream: line.stream, text: this.#redact(line.text) }),
    };
  }

  #end(result: RunResult): FunctionCallEnd {
    if (result.kind === "ok") return { ok: true, value: result.value };
    return failure(result.kind, `sandbox.${result.kind}`, this.#redact(result.message));
  }

  #redact(text: string): string {
    return this.#deps.redact?.(text) ?? text;
  }
}

function failure(errorType: string, code: string, message: string): FunctionCallEnd {
  return { ok: false, error_type: errorType, code, message };
}
