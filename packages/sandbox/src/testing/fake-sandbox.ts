import type { JsonObject, JsonValue } from "@rumi/core";
import { SandboxError } from "../errors.ts";
import type {
  HeldInstance,
  Instance,
  InstanceEnd,
  InstanceSpec,
  JobResult,
  JobSpec,
  RunFacts,
  RunFailed,
  RunFailureType,
  RunResult,
  RunSpec,
  Sandbox,
  SandboxProbe,
} from "../ports.ts";
import { failedRun, failureOfEnd, noFacts } from "../run-result.ts";

/** What a fake block gets: its call, its outputs, and the state of its process (kept between calls with `reuse` only). */
export interface FakeCall {
  readonly input: JsonValue;
  readonly context: JsonObject;
  readonly spec: RunSpec;
  readonly instance: InstanceSpec;
  readonly state: Map<string, JsonValue>;
  readonly signal: AbortSignal;
  readonly log: (stream: "stdout" | "stderr", text: string) => void;
  readonly chunk: (value: JsonValue) => void;
}

/** A block of a `FakeSandbox`: a value, or a thrown `FakeFailure`; any other throw is a `block_error`. */
export type FakeBlock = (call: FakeCall) => JsonValue | Promise<JsonValue>;

/** Ends a fake call in a chosen way. */
export class FakeFailure extends Error {
  readonly kind: RunFailureType;
  readonly facts: Pick<RunFailed, "exception_type" | "traceback" | "exit_code" | "signal">;

  constructor(kind: RunFailureType, message: string, facts: Pick<RunFailed, "exception_type" | "traceback" | "exit_code" | "signal"> = {}) {
    super(message);
    this.kind = kind;
    this.facts = facts;
  }
}

export interface FakeSandboxOptions {
  /** Blocks by file (`RunSpec.file`). A file without one ends `module_load_error`. */
  readonly blocks?: Readonly<Record<string, FakeBlock>>;
  /** Replaces parts of the probe's answer. */
  readonly probe?: Partial<SandboxProbe>;
  /** Thrown by the next starts, first one first. */
  readonly startErrors?: readonly SandboxError[];
}

/** Ends of a call that end its process, and with `reuse` the state it kept. */
const ENDS_STATE: ReadonlySet<RunFailureType> = new Set(["crashed", "timeout", "cancelled", "oom_killed", "protocol_error"]);

class FakeInstance implements Instance {
  readonly spec: InstanceSpec;
  readonly started_at = Date.now();
  readonly ended = Promise.withResolvers<InstanceEnd>();
  readonly state = new Map<string, JsonValue>();
  readonly abort = new AbortController();
  /** With `reuse`: the end of the call before. */
  turn: Promise<unknown> = Promise.resolve();
  end: InstanceEnd | null = null;
  paused = false;
  resumed = false;
  calls = 0;

  constructor(spec: InstanceSpec) {
    this.spec = spec;
  }

  get gone(): Promise<InstanceEnd> {
    return this.ended.promise;
  }

  finish(end: InstanceEnd): void {
    if (this.end !== null) return;
    this.end = end;
    this.ended.resolve(end);
    this.abort.abort();
  }
}

/** A `Sandbox` in memory: no process, no isolation, the port's promises kept. For tests of what stands above the port. */
export class FakeSandbox implements Sandbox {
  /** Every spec that was started, in order. */
  readonly started: InstanceSpec[] = [];
  /** Every call that reached an instance, in order. */
  readonly calls: RunSpec[] = [];
  readonly #options: FakeSandboxOptions;
  readonly #live = new Map<string, FakeInstance>();
  readonly #startErrors: SandboxError[];

  constructor(options: FakeSandboxOptions = {}) {
    this.#options = options;
    this.#startErrors = [...(options.startErrors ?? [])];
  }

  probe(): Promise<SandboxProbe> {
    return Promise.resolve({
      available: true,
      adapter: "fake",
      isolation: "container",
      transport: "socket",
      runtimes: {
        python: { ref: "fake-python", image_id: "sha256:fake", present: true },
        node: { ref: "fake-node", image_id: "sha256:fake", present: true },
      },
      weaknesses: [],
      warnings: [],
      ...this.#options.probe,
    });
  }

  async start(spec: InstanceSpec, signal?: AbortSignal): Promise<Instance> {
    const error = this.#startErrors.shift();
    if (error !== undefined) throw error;
    if (this.#live.has(spec.instance_id)) throw new SandboxError("sandbox.start_failed", "an instance of this id exists already");
    if (spec.mounts.some((mount) => mount.source === "/")) throw new SandboxError("sandbox.invalid_mount", "the root is refused");
    await Promise.resolve();
    if (signal?.aborted === true) throw new SandboxError("sandbox.start_failed", "the start was called off");
    const instance = new FakeInstance(spec);
    this.#live.set(spec.instance_id, instance);
    this.started.push(spec);
    void instance.gone.then(() => this.#live.delete(spec.instance_id));
    return instance;
  }

  async run(instance: Instance, spec: RunSpec, signal?: AbortSignal): Promise<RunResult> {
    const fake = asFake(instance);
    if (fake.end !== null) return failedRun(failureOfEnd(fake.end), fake.end.message, noFacts());
    if (signal?.aborted === true) return failedRun("cancelled", "cancelled before it started", noFacts());
    this.calls.push(spec);
    const start: RunFacts["start"] = fake.calls === 0 ? "cold" : fake.resumed ? "resumed" : "warm";
    fake.resumed = false;
    fake.paused = false;
    fake.calls += 1;
    if (!fake.spec.reuse) return await this.#call(fake, spec, signal, start);
    const mine = fake.turn.then(() => this.#call(fake, spec, signal, start));
    fake.turn = mine;
    return await mine;
  }

  pause(instance: Instance): Promise<void> {
    asFake(instance).paused = true;
    return Promise.resolve();
  }

  resume(instance: Instance): Promise<void> {
    const fake = asFake(instance);
    fake.resumed = fake.paused;
    fake.paused = false;
    return Promise.resolve();
  }

  stop(instance: Instance): Promise<void> {
    asFake(instance).finish({ kind: "stopped", message: "the instance was stopped" });
    return Promise.resolve();
  }

  /** Ends an instance as a crash, an OOM kill or a lost engine would. */
  lose(instance: Instance, end: InstanceEnd): void {
    asFake(instance).finish(end);
  }

  job(_spec: JobSpec): Promise<JobResult> {
    return Promise.resolve({ exit_code: 0, stdout: "", stderr: "", truncated: false, timed_out: false, oom_killed: false });
  }

  list(): Promise<readonly HeldInstance[]> {
    return Promise.resolve(
      [...this.#live.values()].map(({ spec, started_at, paused }) => ({
        id: spec.instance_id,
        instance_id: spec.instance_id,
        installation: "fake",
        pack_id: spec.pack_id,
        digest: spec.digest,
        runtime: spec.runtime,
        state: paused ? "paused" : "running",
        memory_bytes: null,
        started_at,
      })),
    );
  }

  sweep(): Promise<number> {
    return Promise.resolve(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#live.values()].map((instance) => this.stop(instance)));
  }

  async #call(fake: FakeInstance, spec: RunSpec, signal: AbortSignal | undefined, start: RunFacts["start"]): Promise<RunResult> {
    const began = performance.now();
    let bytes = 0;
    let dropped = 0;
    const facts = (): RunFacts => ({ duration_ms: performance.now() - began, start, log: { bytes, dropped } });
    const log = (stream: "stdout" | "stderr", text: string): void => {
      const length = Buffer.byteLength(text);
      const kept = Math.min(length, Math.max(0, spec.max_log_bytes - bytes));
      bytes += kept;
      dropped += length - kept;
      if (kept > 0) spec.on_log?.({ stream, text: text.slice(0, kept).replace(/\n$/u, "") });
    };
    const over = AbortSignal.timeout(spec.timeout_ms);
    const any = AbortSignal.any([over, fake.abort.signal, ...(signal === undefined ? [] : [signal])]);
    const stopped = new Promise<RunFailureType>((resolve) => {
      any.addEventListener("abort", () => resolve(over.aborted ? "timeout" : fake.end === null ? "cancelled" : failureOfEnd(fake.end)), {
        once: true,
      });
    });
    let streaming = false;
    const chunk = (value: JsonValue): void => {
      streaming = true;
      spec.on_chunk?.(value);
    };
    const state = spec.function === null && fake.spec.reuse ? fake.state : new Map<string, JsonValue>();
    const work = this.#work(fake, spec, state, any, log, chunk);
    const outcome = await Promise.race([work, stopped.then((kind) => new FakeFailure(kind, `the call ended: ${kind}`))]);
    if (outcome instanceof FakeFailure) {
      if (ENDS_STATE.has(outcome.kind)) fake.state.clear();
      return { ...failedRun(outcome.kind, outcome.message, facts()), ...outcome.facts };
    }
    if (Buffer.byteLength(JSON.stringify(outcome.value)) > spec.max_result_bytes) {
      return failedRun("response_too_large", `the result is over ${String(spec.max_result_bytes)} bytes`, facts());
    }
    return { ...facts(), kind: "ok", value: outcome.value, streaming, warnings: [] };
  }

  async #work(
    fake: FakeInstance,
    spec: RunSpec,
    state: Map<string, JsonValue>,
    signal: AbortSignal,
    log: FakeCall["log"],
    chunk: FakeCall["chunk"],
  ): Promise<{ readonly value: JsonValue } | FakeFailure> {
    const block = this.#options.blocks?.[spec.file];
    if (block === undefined) return new FakeFailure("module_load_error", `no block ${spec.file}`);
    try {
      const { input, context } = spec;
      return { value: await block({ input, context, spec, instance: fake.spec, state, signal, log, chunk }) };
    } catch (error) {
      if (error instanceof FakeFailure) return error;
      return new FakeFailure("block_error", error instanceof Error ? error.message : String(error), { exception_type: "Error" });
    }
  }
}

function asFake(instance: Instance): FakeInstance {
  if (!(instance instanceof FakeInstance)) throw new SandboxError("sandbox.start_failed", "the instance belongs to another sandbox");
  return instance;
}
