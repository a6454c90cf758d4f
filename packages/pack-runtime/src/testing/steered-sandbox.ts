import type {
  HeldInstance,
  Instance,
  InstanceEnd,
  InstanceSpec,
  JobResult,
  RunResult,
  RunSpec,
  Sandbox,
  SandboxProbe,
} from "@rumi/sandbox";
import { SandboxError } from "@rumi/sandbox";

/** An instance of the steered sandbox: the test ends it. */
export interface SteeredInstance extends Instance {
  readonly end: (end: InstanceEnd) => void;
  readonly leave: () => void;
}

/** A call that the test answers. */
export interface SteeredCall {
  readonly instance: Instance;
  readonly spec: RunSpec;
  readonly answer: (value: string) => void;
  readonly fail: (result: RunResult) => void;
}

const FACTS = { duration_ms: 1, start: "warm", log: { bytes: 0, dropped: 0 } } as const;

/** A sandbox whose starts, calls and ends are given by the test; it runs nothing. */
export class SteeredSandbox implements Sandbox {
  readonly started: SteeredInstance[] = [];
  readonly stopped: string[] = [];
  readonly calls: SteeredCall[] = [];
  readonly log: string[] = [];
  sweeps = 0;
  resumeFails = false;
  /** Answers every call at once when true. */
  echo = false;
  /** The next starts fail with these, first first. */
  startFailures: Error[] = [];
  /** Starts stay pending until they are let go. */
  holdStarts = false;
  readonly #held: (() => void)[] = [];
  readonly #inFlight = new Map<string, Set<SteeredCall>>();
  found: SandboxProbe = {
    available: true,
    adapter: "fake",
    isolation: "container",
    transport: "socket",
    runtimes: {
      python: { ref: "python", image_id: "sha256:py", present: true },
      node: { ref: "node", image_id: "sha256:node", present: true },
    },
    weaknesses: [],
    warnings: [],
  };

  probe(): Promise<SandboxProbe> {
    return Promise.resolve(this.found);
  }

  async start(spec: InstanceSpec, signal?: AbortSignal): Promise<Instance> {
    this.log.push(`start ${spec.instance_id}`);
    if (this.holdStarts) {
      await new Promise<void>((resolve, reject) => {
        this.#held.push(resolve);
        signal?.addEventListener("abort", () => reject(new SandboxError("sandbox.start_failed", "aborted")), { once: true });
      });
    }
    const failure = this.startFailures.shift();
    if (failure !== undefined) throw failure;
    const { promise, resolve } = Promise.withResolvers<InstanceEnd>();
    const left = Promise.withResolvers<void>();
    const instance: SteeredInstance = { spec, started_at: 0, gone: promise, end: resolve, leaving: left.promise, leave: left.resolve };
    this.started.push(instance);
    this.#inFlight.set(spec.instance_id, new Set());
    return instance;
  }

  /** Lets pending starts go on. */
  letStart(): void {
    this.holdStarts = false;
    for (const go of this.#held.splice(0)) go();
  }

  run(instance: Instance, spec: RunSpec, signal?: AbortSignal): Promise<RunResult> {
    if (this.echo) return Promise.resolve({ kind: "ok", value: spec.input, streaming: false, warnings: [], ...FACTS });
    const { promise, resolve } = Promise.withResolvers<RunResult>();
    const call: SteeredCall = {
      instance,
      spec,
      answer: (value) => resolve({ kind: "ok", value, streaming: false, warnings: [], ...FACTS }),
      fail: resolve,
    };
    const flying = this.#inFlight.get(instance.spec.instance_id);
    flying?.add(call);
    void promise.then(() => flying?.delete(call));
    signal?.addEventListener("abort", () => resolve({ kind: "cancelled", message: "cancelled", ...FACTS }), { once: true });
    this.calls.push(call);
    return promise;
  }

  pause(instance: Instance): Promise<void> {
    this.log.push(`pause ${instance.spec.instance_id}`);
    return Promise.resolve();
  }

  resume(instance: Instance): Promise<void> {
    this.log.push(`resume ${instance.spec.instance_id}`);
    if (this.resumeFails) return Promise.reject(new SandboxError("sandbox.docker_required", "the engine was lost"));
    return Promise.resolve();
  }

  stop(instance: Instance): Promise<void> {
    this.stopped.push(instance.spec.instance_id);
    for (const call of this.#inFlight.get(instance.spec.instance_id) ?? [])
      call.fail({ kind: "cancelled", message: "the instance was stopped", ...FACTS });
    this.started.find((one) => one.spec.instance_id === instance.spec.instance_id)?.end({ kind: "stopped", message: "stopped" });
    return Promise.resolve();
  }

  job(): Promise<JobResult> {
    return Promise.reject(new SandboxError("sandbox.docker_required", "no jobs here"));
  }

  list(): Promise<readonly HeldInstance[]> {
    return Promise.resolve([]);
  }

  sweep(): Promise<number> {
    this.sweeps += 1;
    return Promise.resolve(0);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
