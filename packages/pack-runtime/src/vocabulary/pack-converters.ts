import { isoTime, RumiError } from "@rumi/core";
import type { AuditSink, Clock, JsonValue, Logger, PackId, Random } from "@rumi/core";
import type { HandlerScope } from "@rumi/flow-engine";
import type { RunSpec } from "@rumi/sandbox";
import { CONVERTER_TIMEOUT_MS } from "@rumi/vocabulary";
import { refuseInput } from "../input-check.ts";
import type { InstancePool } from "../instance-pool.ts";
import type { ApprovalGate } from "../ports.ts";
import type { RunLogs } from "../run-logs.ts";
import type { PackConverter, VocabularyCatalog } from "./vocabulary-catalog.ts";

/** Most bytes of log lines kept per call. Source: page "Execution", section 6. */
const MAX_LOG_BYTES = 256 * 1024;

/** Data to be converted from one word's shape to another's, by a converter of `pack`. */
export interface ConvertAsk {
  readonly pack: PackId;
  readonly from: string;
  readonly to: string;
  readonly data: JsonValue;
  /** The step that asks. */
  readonly scope: Omit<HandlerScope, "ctx" | "signal">;
}

/** The converted data, or the data as it was with the code that says why. */
export interface Converted {
  readonly converted: boolean;
  readonly data: JsonValue;
  readonly code: string | null;
}

export interface PackConvertersDeps {
  readonly catalog: Pick<VocabularyCatalog, "facts">;
  readonly gate: Pick<ApprovalGate, "gate">;
  readonly pool: Pick<InstancePool, "run">;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly logs?: RunLogs;
  /** Takes live secrets out of what a converter printed or raised. */
  readonly redact?: (text: string) => string;
}

type End = { readonly ok: true; readonly value: JsonValue } | { readonly ok: false; readonly code: string; readonly message: string };

/** Runs converters of packs, each in an instance of its own pack and nowhere else. Never throws. */
export class PackConverters {
  readonly #deps: PackConvertersDeps;
  readonly #maxResultBytes: number;

  constructor(deps: PackConvertersDeps, options: { readonly maxResultBytes: number }) {
    this.#deps = deps;
    this.#maxResultBytes = options.maxResultBytes;
  }

  async convert(ask: ConvertAsk, signal: AbortSignal): Promise<Converted> {
    const startedAt = this.#deps.clock.monotonic();
    const end = await this.#convert(ask, signal);
    await this.#audit(ask, end, this.#deps.clock.monotonic() - startedAt);
    return end.ok ? { converted: true, data: end.value, code: null } : { converted: false, data: ask.data, code: end.code };
  }

  async #convert(ask: ConvertAsk, signal: AbortSignal): Promise<End> {
    const passed = this.#deps.gate.gate(ask.pack);
    if (!passed.allowed) return { ok: false, code: passed.code, message: passed.reason };
    const facts = this.#deps.catalog.facts(ask.pack);
    // Words of other bytes than those that would run say nothing of these.
    const found =
      facts?.digest === passed.digest ? facts.converters.find((each) => each.from === ask.from && each.to === ask.to) : undefined;
    if (found === undefined) return failed(`pack "${ask.pack}" has no converter from ${shown(ask.from)} to ${shown(ask.to)}`);
    const wrong = refuseInput(ask.data);
    if (wrong !== null) return failed(wrong);
    const seed = {
      pack_id: ask.pack,
      digest: passed.digest,
      runtime: found.runtime,
      authority: ask.pack,
      root: passed.root,
      reuse: passed.pack.reuse,
    };
    const { run_id, flow_id, step_id, phase, idempotency_key, chain } = ask.scope;
    const origin = { run_id, flow_id, step_id, phase, idempotency_key, chain };
    try {
      const result = await this.#deps.pool.run(seed, this.#spec(found, ask), signal, origin);
      if (result.kind !== "ok") return failed(`${result.kind}: ${this.#redact(result.message)}`);
      return result.value === null && ask.data !== null ? failed("it gave nothing") : { ok: true, value: result.value };
    } catch (cause) {
      if (!(cause instanceof RumiError)) throw cause;
      return { ok: false, code: cause.code, message: cause.message };
    }
  }

  #spec(found: PackConverter, ask: ConvertAsk): RunSpec {
    const { clock, random, logs } = this.#deps;
    const { run_id, flow_id, step_id, phase, idempotency_key, principal } = ask.scope;
    const now = clock.now();
    return {
      call_id: `${run_id}:${found.file}@${random.hex(8)}`,
      convention: "converter",
      file: found.file,
      function: null,
      input: ask.data,
      context: {
        flow_id,
        step_id,
        phase,
        ts: isoTime(now),
        owner_pack: ask.pack,
        // The flow's inputs are its own: a converter knows what it was given.
        inputs: {},
        run_id,
        idempotency_key,
        attempt: 1,
        deadline_ts: isoTime(now + CONVERTER_TIMEOUT_MS),
        capability_socket: null,
        principal_id: principal,
        from_term: found.from,
        to_term: found.to,
      },
      timeout_ms: CONVERTER_TIMEOUT_MS,
      max_result_bytes: this.#maxResultBytes,
      max_log_bytes: MAX_LOG_BYTES,
      on_log: (line) => logs?.add(run_id, step_id, { stream: line.stream, text: this.#redact(line.text) }),
    };
  }

  async #audit({ pack, from, to, scope }: ConvertAsk, end: End, ms: number): Promise<void> {
    try {
      await this.#deps.audit.record({
        category: "flow_execution",
        action: "vocab_convert",
        success: end.ok,
        ...(end.ok ? {} : { severity: "warning", error: end.message, error_type: end.code }),
        run_id: scope.run_id,
        flow_id: scope.flow_id,
        step_id: scope.step_id,
        phase: scope.phase,
        owner_pack: pack,
        details: { from_term: from, to_term: to, caller: scope.principal, latency_ms: Math.round(ms * 1000) / 1000 },
      });
    } catch (cause) {
      this.#deps.logger.log("error", "an audit entry could not be written", { action: "vocab_convert", error: String(cause) });
    }
  }

  #redact(text: string): string {
    return this.#deps.redact?.(text) ?? text;
  }
}

function failed(message: string): End {
  return { ok: false, code: "vocab.convert_failed", message };
}

function shown(term: string): string {
  return JSON.stringify(term.slice(0, 80).toWellFormed());
}
