import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import type { Clock, JsonObject } from "@rumi/core";
import { encodeFrame, FrameDecoder, MAX_PAYLOAD_BYTES, parseRunnerMessage, PROTOCOL_VERSION, WireError } from "@rumi/wire";
import type { Fault, Frame, Ready, RunnerRoots } from "@rumi/wire";
import { SandboxError } from "./errors.ts";
import type { InstanceEnd, InstanceSpec, RunFacts, RunFailureType, RunResult, RunSpec } from "./ports.ts";
import { RunnerCall } from "./runner-call.ts";

/** How long a runner may take to say `ready`. Source: page "Execution", section 5. */
export const READY_TIMEOUT_MS = 20_000;

/** How long after a call's deadline its result may come. Source: page "Execution", section 6. */
export const RESULT_GRACE_MS = 500;

/** How long a cancelled call has between SIGTERM and SIGKILL. Source: page "Execution", section 6. */
export const CANCEL_GRACE_MS = 500;

/** How long a ping may go unanswered, and how often one is sent while calls run. Source: page "Execution", section 6. */
export const PING_TIMEOUT_MS = 5_000;

/** Why the instance has to be killed. */
export interface SessionFault {
  readonly code: "deadline" | "ping" | "protocol_error" | "leftovers" | "start_failed";
  readonly message: string;
}

export interface RunnerSessionOptions {
  readonly spec: InstanceSpec;
  readonly clock: Clock;
  /** Called at most once: the instance must be killed. The session is closed by then; never throws. */
  readonly onFault: (fault: SessionFault) => void;
  /** Asked once when the stream ends by itself: why? Absent: `instance_lost`. Never rejects. */
  readonly explainLoss?: () => Promise<InstanceEnd>;
  /** Where the runner finds things, for adapters without a container. */
  readonly roots?: RunnerRoots;
  /** Single-use processes kept ready. */
  readonly spares?: number;
  readonly readyTimeoutMs?: number;
  readonly maxPayloadBytes?: number;
  readonly signal?: AbortSignal;
}

/** How calls in flight end when the instance ends so. */
const CALL_END: Readonly<Record<InstanceEnd["kind"], RunFailureType>> = {
  stopped: "cancelled",
  crashed: "crashed",
  oom_killed: "oom_killed",
  protocol_error: "protocol_error",
  instance_lost: "instance_lost",
};

interface InFlight {
  readonly call: RunnerCall;
  readonly startedAt: number;
  overdue: NodeJS.Timeout;
  readonly signal: AbortSignal | undefined;
  readonly onAbort: (() => void) | undefined;
}

/**
 * The host's end of one runner: many calls at once over one stream, each with exactly one result.
 * Whatever the runner does, every call ends by its deadline and a second.
 */
export class RunnerSession {
  readonly #stream: Duplex;
  readonly #options: RunnerSessionOptions;
  readonly #decoder: FrameDecoder;
  readonly #calls = new Map<string, InFlight>();
  readonly #closed: PromiseWithResolvers<InstanceEnd>;
  readonly #left = Promise.withResolvers<void>();
  #ready: ((message: Ready | SessionFault) => void) | null = null;
  #end: InstanceEnd | null = null;
  #leaving: SessionFault | null = null;
  #cold = true;
  #pings = 0;
  #pongs = 0;
  #heartbeat: NodeJS.Timeout | null = null;
  #info: Ready | null = null;

  /**
   * Greets the runner behind `stream` and waits until it serves. `stream` belongs to the session from here on.
   * @throws SandboxError `sandbox.start_failed` with nothing left open
   */
  static open(stream: Duplex, options: RunnerSessionOptions): Promise<RunnerSession> {
    const session = new RunnerSession(stream, options);
    return session.#greet();
  }

  private constructor(stream: Duplex, options: RunnerSessionOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#decoder = new FrameDecoder({ maxPayloadBytes: options.maxPayloadBytes ?? MAX_PAYLOAD_BYTES });
    this.#closed = Promise.withResolvers<InstanceEnd>();
  }

  /** Resolves once when no call will be served any more; never rejects. */
  get closed(): Promise<InstanceEnd> {
    return this.#closed.promise;
  }

  /** Resolves when the runner asked to be removed, or the session ended: no call should be given to it. Never rejects. */
  get leaving(): Promise<void> {
    return this.#left.promise;
  }

  /** Calls in flight. */
  get busy(): number {
    return this.#calls.size;
  }

  /** False once the session ended or the runner asked to be removed: no call should be given to it. */
  get accepting(): boolean {
    return this.#end === null && this.#leaving === null;
  }

  /** What the runner said of itself. */
  get runner(): Ready | null {
    return this.#info;
  }

  /** Runs one call. Always a result; `signal` cancels. */
  run(spec: RunSpec, signal?: AbortSignal): Promise<RunResult> {
    return new Promise((resolve) => this.#dispatch(spec, signal, resolve));
  }

  /** No call follows: the runner leaves once none is in flight. */
  drain(): void {
    if (this.#end === null) this.#send({ type: "drain" });
  }

  /** Ends the session: calls in flight end with `end`, the stream is destroyed. Idempotent. */
  close(end: InstanceEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    if (this.#heartbeat !== null) clearTimeout(this.#heartbeat);
    this.#ready?.({ code: "start_failed", message: end.message });
    this.#closed.resolve(end);
    this.#left.resolve();
    for (const [callId, entry] of this.#calls) {
      this.#release(callId, entry);
      entry.call.fail(CALL_END[end.kind], end.message, this.#since(entry.startedAt));
    }
    this.#stream.destroy();
  }

  async #greet(): Promise<RunnerSession> {
    const { spec, signal } = this.#options;
    const answered = Promise.withResolvers<Ready | SessionFault>();
    this.#ready = answered.resolve;
    const timeoutMs = this.#options.readyTimeoutMs ?? READY_TIMEOUT_MS;
    const timer = setTimeout(() => answered.resolve({ code: "start_failed", message: `no answer in ${timeoutMs} ms` }), timeoutMs);
    const onAbort = (): void => answered.resolve({ code: "start_failed", message: "the start was called off" });
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    this.#stream.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#stream.on("error", () => {});
    this.#stream.on("close", () => this.#lost());
    this.#stream.on("end", () => this.#lost());
    this.#send({
      type: "hello",
      protocols: [PROTOCOL_VERSION],
      instance_id: spec.instance_id,
      runtime: spec.runtime,
      reuse: spec.reuse,
      slots: spec.reuse ? 1 : Math.max(1, spec.slots),
      ...(this.#options.spares === undefined ? {} : { spares: this.#options.spares }),
      limits: { max_payload_bytes: this.#options.maxPayloadBytes ?? MAX_PAYLOAD_BYTES, cancel_grace_ms: CANCEL_GRACE_MS },
      ...(this.#options.roots === undefined ? {} : { roots: this.#options.roots as JsonObject }),
    });
    const answer = await answered.promise;
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    this.#ready = null;
    if ("code" in answer || this.#end !== null) {
      const message = "code" in answer ? answer.message : "the instance ended while starting";
      this.close({ kind: "instance_lost", message });
      throw new SandboxError("sandbox.start_failed", `the runner did not start: ${message}`);
    }
    this.#info = answer;
    return this;
  }

  #dispatch(spec: RunSpec, signal: AbortSignal | undefined, resolve: (result: RunResult) => void): void {
    const start: RunFacts["start"] = this.#cold ? "cold" : "warm";
    const call = new RunnerCall(spec, start, resolve);
    if (!this.accepting || this.#calls.has(spec.call_id)) {
      const end = this.#end;
      call.fail(end === null ? "instance_lost" : CALL_END[end.kind], end?.message ?? "the instance is leaving", 0);
      return;
    }
    if (signal?.aborted === true) {
      call.fail("cancelled", "cancelled before it started", 0);
      return;
    }
    this.#cold = false;
    const payload = Buffer.from(`{"input":${JSON.stringify(spec.input)},"context":${JSON.stringify(spec.context)}}`);
    const onAbort = signal === undefined ? undefined : (): void => this.#cancel(spec.call_id);
    if (onAbort !== undefined) signal?.addEventListener("abort", onAbort, { once: true });
    this.#calls.set(spec.call_id, {
      call,
      startedAt: this.#options.clock.monotonic(),
      overdue: setTimeout(() => this.#overdue(spec.call_id), spec.timeout_ms + RESULT_GRACE_MS),
      signal,
      onAbort,
    });
    this.#heartbeat ??= setTimeout(() => this.#beat(), PING_TIMEOUT_MS);
    this.#send(
      {
        type: "call",
        call_id: spec.call_id,
        convention: spec.convention,
        file: spec.file,
        function: spec.function,
        timeout_ms: spec.timeout_ms,
        max_result_bytes: spec.max_result_bytes,
        max_log_bytes: spec.max_log_bytes,
      },
      payload,
    );
  }

  #cancel(callId: string): void {
    const entry = this.#calls.get(callId);
    if (entry === undefined || entry.call.cancelled) return;
    entry.call.cancelled = true;
    clearTimeout(entry.overdue);
    entry.overdue = setTimeout(() => this.#overdue(callId), CANCEL_GRACE_MS + RESULT_GRACE_MS);
    this.#send({ type: "cancel", call_id: callId });
  }

  #overdue(callId: string): void {
    const entry = this.#calls.get(callId);
    if (entry === undefined) return;
    this.#release(callId, entry);
    const kind = entry.call.cancelled ? "cancelled" : "timeout";
    entry.call.fail(kind, `the call did not end by its deadline of ${entry.call.spec.timeout_ms} ms`, this.#since(entry.startedAt));
    this.#fault({ code: "deadline", message: "a call could not be ended at its deadline" }, "instance_lost");
  }

  /** Pings only while calls run, so that an idle instance costs nothing. */
  #beat(): void {
    this.#heartbeat = null;
    if (this.#end !== null) return;
    if (this.#pongs < this.#pings) {
      this.#fault({ code: "ping", message: `the runner did not answer for ${PING_TIMEOUT_MS} ms` }, "instance_lost");
      return;
    }
    if (this.#calls.size === 0) return;
    this.#pings += 1;
    this.#send({ type: "ping", n: this.#pings });
    this.#heartbeat = setTimeout(() => this.#beat(), PING_TIMEOUT_MS);
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#decoder.push(chunk)) {
        if (this.#end !== null) return;
        this.#handle(frame);
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#fault({ code: "protocol_error", message: error.message }, "protocol_error");
    }
  }

  #handle(frame: Frame): void {
    const message = parseRunnerMessage(frame);
    switch (message.type) {
      case "result": {
        const entry = this.#inFlight(message.call_id, message.type);
        this.#release(message.call_id, entry);
        if (this.#calls.size === 0 && this.#leaving !== null) this.#fault(this.#leaving, "instance_lost");
        entry.call.finish(message, frame.payload, this.#since(entry.startedAt));
        return;
      }
      case "log":
        this.#inFlight(message.call_id, message.type).call.log(message, frame.payload ?? Buffer.alloc(0));
        return;
      case "chunk":
        this.#inFlight(message.call_id, message.type).call.chunk(frame.payload ?? Buffer.alloc(0));
        return;
      case "started":
        this.#inFlight(message.call_id, message.type);
        return;
      case "pong":
        if (message.n > this.#pings) throw new WireError("wire.invalid_message", "a pong without its ping");
        this.#pongs = message.n;
        return;
      case "ready":
        this.#onReady(message);
        return;
      case "fault":
        this.#onFault(message);
    }
  }

  #onReady(message: Ready): void {
    if (this.#ready === null || message.protocol !== PROTOCOL_VERSION) {
      throw new WireError("wire.invalid_message", `the runner chose protocol ${message.protocol}`);
    }
    this.#ready(message);
    this.#ready = null;
  }

  /** Leftovers let the calls in flight finish; any other fault ends the session now. */
  #onFault(message: Fault): void {
    const fault: SessionFault = { code: message.code, message: message.message ?? `the runner reported ${message.code}` };
    this.#leaving = fault;
    this.#left.resolve();
    if (message.code !== "leftovers") this.#fault(fault, message.code === "protocol_error" ? "protocol_error" : "instance_lost");
    else if (this.#calls.size === 0) this.#fault(fault, "instance_lost");
  }

  /** @throws WireError for a call that is not in flight: a second result, or a made-up id */
  #inFlight(callId: string, type: string): InFlight {
    const entry = this.#calls.get(callId);
    if (entry === undefined) throw new WireError("wire.invalid_message", `a ${type} for a call that is not in flight`);
    return entry;
  }

  #release(callId: string, entry: InFlight): void {
    this.#calls.delete(callId);
    clearTimeout(entry.overdue);
    if (entry.onAbort !== undefined) entry.signal?.removeEventListener("abort", entry.onAbort);
  }

  #fault(fault: SessionFault, kind: InstanceEnd["kind"]): void {
    if (this.#end !== null) return;
    this.close({ kind, message: fault.message });
    this.#options.onFault(fault);
  }

  #lost(): void {
    if (this.#end !== null) return;
    const explain = this.#options.explainLoss;
    const unexplained: InstanceEnd = { kind: "instance_lost", message: "the runner's connection closed" };
    if (explain === undefined) this.close(unexplained);
    else
      void explain().then(
        (end) => this.close(end),
        () => this.close(unexplained),
      );
  }

  #send(header: JsonObject, payload?: Uint8Array): void {
    const parts = encodeFrame(header, payload);
    if (parts.length > 1) this.#stream.cork();
    for (const part of parts) this.#stream.write(part);
    if (parts.length > 1) this.#stream.uncork();
  }

  #since(startedAt: number): number {
    return this.#options.clock.monotonic() - startedAt;
  }
}
