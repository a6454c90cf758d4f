import { Buffer } from "node:buffer";
import { jsonDepth } from "@rumi/core";
import type { JsonValue } from "@rumi/core";
import type { Log, Result } from "@rumi/wire";
import { isJsonTooDeep, MAX_CALL_LOG_LINES, MAX_MESSAGE_BYTES, MAX_RESULT_DEPTH, MAX_TRACEBACK_BYTES, MAX_WARNINGS } from "@rumi/wire";
import { LogLines } from "./log-lines.ts";
import type { LogLine, RunFacts, RunFailureType, RunResult, RunSpec } from "./ports.ts";

/** Longest exception type and warning kept. */
const MAX_NAME_CHARS = 256;

/** A value nested deeper than the limit takes two bytes a level at least: shorter texts need no look. */
const SHORT_PAYLOAD_BYTES = 2 * MAX_RESULT_DEPTH;

/** From here on a look at the brackets pays: parsing millions of nested ones would hold everybody up. */
const LARGE_PAYLOAD_BYTES = 64 * 1024;

/** One call between its dispatch and its result: what it printed, what came back, how it ends. */
export class RunnerCall {
  readonly spec: RunSpec;
  readonly #start: RunFacts["start"];
  readonly #resolve: (result: RunResult) => void;
  #stdout: LogLines | null = null;
  #stderr: LogLines | null = null;
  #logBytes = 0;
  #logLines = 0;
  #dropped = 0;
  #invalidChunk = false;
  cancelled = false;

  constructor(spec: RunSpec, start: RunFacts["start"], resolve: (result: RunResult) => void) {
    this.spec = spec;
    this.#start = start;
    this.#resolve = resolve;
  }

  log(message: Log, bytes: Uint8Array): void {
    this.#dropped += message.dropped ?? 0;
    const room = this.#logLines < MAX_CALL_LOG_LINES ? this.spec.max_log_bytes - this.#logBytes : 0;
    const kept = bytes.length <= room ? bytes : bytes.subarray(0, Math.max(0, room));
    this.#dropped += bytes.length - kept.length;
    this.#logBytes += kept.length;
    const emit = this.spec.on_log;
    if (emit === undefined || kept.length === 0) return;
    if (message.stream === "stdout") (this.#stdout ??= this.#lines("stdout", emit)).push(kept);
    else (this.#stderr ??= this.#lines("stderr", emit)).push(kept);
  }

  /** Lines over their number are counted, not shown. */
  #lines(stream: LogLine["stream"], emit: (line: LogLine) => void): LogLines {
    return new LogLines(stream, (line, bytes) => {
      this.#logLines += 1;
      if (this.#logLines <= MAX_CALL_LOG_LINES) emit(line);
      else {
        this.#logBytes -= bytes;
        this.#dropped += bytes;
      }
    });
  }

  chunk(bytes: Uint8Array): void {
    const parsed = parseValue(bytes);
    if (parsed.ok) this.spec.on_chunk?.(parsed.value);
    else this.#invalidChunk = true;
  }

  /** Ends the call with what the runner said. A value that is not JSON fails this call only. */
  finish(message: Result, payload: Uint8Array | null, durationMs: number): void {
    this.#dropped += message.log_dropped ?? 0;
    if (message.kind !== "ok") {
      this.#settle(failure(message, this.#facts(durationMs, message.peak_bytes)));
      return;
    }
    const parsed = payload === null || this.#invalidChunk ? { ok: false as const } : parseValue(payload);
    if (!parsed.ok) {
      this.fail("protocol_error", "the block's process answered something that is not JSON", durationMs);
      return;
    }
    this.#settle({
      kind: "ok",
      value: parsed.value,
      streaming: message.streaming ?? false,
      warnings: (message.warnings ?? []).slice(0, MAX_WARNINGS).map((text) => text.slice(0, MAX_NAME_CHARS)),
      ...this.#facts(durationMs, message.peak_bytes),
    });
  }

  /** Ends the call without the runner's word. */
  fail(kind: RunFailureType, message: string, durationMs: number): void {
    this.#settle({ kind, message, ...this.#facts(durationMs, undefined) });
  }

  #settle(result: RunResult): void {
    this.#stdout?.flush();
    this.#stderr?.flush();
    this.#resolve(result);
  }

  #facts(durationMs: number, peakBytes: number | undefined): RunFacts {
    return {
      duration_ms: durationMs,
      start: this.#start,
      ...(peakBytes === undefined ? {} : { peak_bytes: peakBytes }),
      log: { bytes: this.#logBytes, dropped: this.#dropped },
    };
  }
}

function failure(message: Result, facts: RunFacts): RunResult {
  return {
    kind: message.kind === "ok" ? "protocol_error" : message.kind,
    message: clip(message.message ?? "", MAX_MESSAGE_BYTES),
    ...(message.exception_type === undefined ? {} : { exception_type: message.exception_type.slice(0, MAX_NAME_CHARS) }),
    ...(message.traceback === undefined ? {} : { traceback: clip(message.traceback, MAX_TRACEBACK_BYTES) }),
    ...(message.exit_code === undefined ? {} : { exit_code: message.exit_code }),
    ...(message.signal === undefined ? {} : { signal: message.signal.slice(0, MAX_NAME_CHARS) }),
    ...facts,
  };
}

/** `text` cut to at most `maxBytes` of UTF-8, at a character's edge. */
function clip(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text;
  let bytes = Buffer.from(text).subarray(0, maxBytes);
  while (bytes.length > 0 && ((bytes[bytes.length - 1] ?? 0) & 0xc0) === 0x80) bytes = bytes.subarray(0, -1);
  if (((bytes[bytes.length - 1] ?? 0) & 0x80) !== 0) bytes = bytes.subarray(0, -1);
  return bytes.toString("utf8");
}

function parseValue(bytes: Uint8Array): { ok: true; value: JsonValue } | { ok: false } {
  if (bytes.length > LARGE_PAYLOAD_BYTES && isJsonTooDeep(bytes, MAX_RESULT_DEPTH)) return { ok: false };
  try {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
    const value = JSON.parse(text) as JsonValue;
    if (bytes.length > SHORT_PAYLOAD_BYTES && jsonDepth(value, MAX_RESULT_DEPTH) > MAX_RESULT_DEPTH) return { ok: false };
    return { ok: true, value };
  } catch {
    return { ok: false };
  }
}
