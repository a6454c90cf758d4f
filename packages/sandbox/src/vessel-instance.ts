import type { Clock } from "@rumi/core";
import type { RunnerRoots } from "@rumi/wire";
import { SandboxError } from "./errors.ts";
import type { InstanceSockets } from "./instance-sockets.ts";
import type { Instance, InstanceEnd, InstanceSpec, RunResult, RunSpec } from "./ports.ts";
import { failedRun, failureOfEnd, noFacts } from "./run-result.ts";
import { READY_TIMEOUT_MS, RunnerSession } from "./runner-session.ts";

/** What an instance lives in: a container, a set of namespaces, a process group. Each adapter has its own. */
export interface Vessel {
  /** Brings it up with the runner in it, while the instance's socket listens already. Rejects with the adapter's own errors. */
  launch(signal: AbortSignal | undefined): Promise<void>;
  /** Resolves once, when it ended by itself. Never rejects. */
  readonly ended: Promise<InstanceEnd>;
  /** Why the runner's connection closed by itself. Never rejects. */
  explainLoss(): Promise<InstanceEnd>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Ends it, also while it is launched or paused; resolves when nothing of it is left. Never rejects. */
  remove(): Promise<void>;
  /** Where the runner finds things, when it is not in a container. */
  readonly roots?: RunnerRoots;
}

/** Everything a `VesselInstance` is started from. */
export interface VesselInstanceDeps<V extends Vessel> {
  readonly clock: Clock;
  readonly spec: InstanceSpec;
  /** Owned by the instance from here on. */
  readonly sockets: InstanceSockets;
  readonly vessel: V;
}

/** One vessel and the session with the runner in it, from launch until nothing is left: the life every adapter's instances share. */
export class VesselInstance<V extends Vessel = Vessel> implements Instance {
  readonly spec: InstanceSpec;
  readonly started_at: number;
  readonly vessel: V;
  readonly #deps: VesselInstanceDeps<V>;
  readonly #gone = Promise.withResolvers<InstanceEnd>();
  readonly #left = Promise.withResolvers<void>();
  #session: RunnerSession | null = null;
  #end: InstanceEnd | null = null;
  #removed: Promise<void> | null = null;
  #paused = false;
  #resumed = false;

  /** @throws SandboxError `sandbox.start_failed`, what `Vessel.launch` rejects with; nothing is left then */
  static async start<V extends Vessel>(deps: VesselInstanceDeps<V>, signal?: AbortSignal): Promise<VesselInstance<V>> {
    const instance = new VesselInstance(deps);
    try {
      await instance.#start(signal);
      return instance;
    } catch (cause) {
      instance.#finish({ kind: "instance_lost", message: "the instance did not start" });
      await instance.#removed;
      throw cause;
    }
  }

  private constructor(deps: VesselInstanceDeps<V>) {
    this.#deps = deps;
    this.vessel = deps.vessel;
    this.spec = deps.spec;
    this.started_at = deps.clock.now();
  }

  get gone(): Promise<InstanceEnd> {
    return this.#gone.promise;
  }

  get leaving(): Promise<void> {
    return this.#left.promise;
  }

  /** Resolves when nothing of the instance is left; null while it lives. */
  get removed(): Promise<void> | null {
    return this.#removed;
  }

  get paused(): boolean {
    return this.#paused;
  }

  async run(spec: RunSpec, signal?: AbortSignal): Promise<RunResult> {
    if (this.#paused) await this.resume();
    const resumed = this.#resumed;
    this.#resumed = false;
    if (this.#end !== null || this.#session === null) {
      const end = this.#end ?? { kind: "instance_lost", message: "the instance is not running" };
      return failedRun(failureOfEnd(end), end.message, noFacts());
    }
    const result = await this.#session.run(spec, signal);
    return resumed && result.start === "warm" ? { ...result, start: "resumed" } : result;
  }

  async pause(): Promise<void> {
    if (this.#paused || this.#end !== null) return;
    this.#paused = true;
    await this.vessel.pause();
  }

  async resume(): Promise<void> {
    if (!this.#paused || this.#end !== null) return;
    this.#paused = false;
    this.#resumed = true;
    await this.vessel.resume();
  }

  /** Ends it; resolves when no process, container, socket or folder of it is left. */
  async stop(): Promise<void> {
    this.#finish({ kind: "stopped", message: "the instance was stopped" });
    await this.#removed;
  }

  async #start(signal: AbortSignal | undefined): Promise<void> {
    const { vessel, sockets, spec, clock } = this.#deps;
    signal?.throwIfAborted();
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => {});
    const fail = (message: string): void => failed.reject(new SandboxError("sandbox.start_failed", message));
    const timer = setTimeout(() => fail(`the runner did not connect in ${String(READY_TIMEOUT_MS)} ms`), READY_TIMEOUT_MS);
    const onAbort = (): void => fail("the start was called off");
    signal?.addEventListener("abort", onAbort, { once: true });
    void vessel.ended.then((end) => fail(end.message));
    const launching = vessel.launch(signal);
    launching.catch(failed.reject);
    try {
      const stream = await Promise.race([sockets.runner, failed.promise]);
      const opening = RunnerSession.open(stream, {
        spec,
        clock,
        onFault: (fault) =>
          this.#finish({ kind: fault.code === "protocol_error" ? "protocol_error" : "instance_lost", message: fault.message }),
        explainLoss: () => vessel.explainLoss(),
        ...(vessel.roots === undefined ? {} : { roots: vessel.roots }),
        ...(signal === undefined ? {} : { signal }),
      });
      opening.catch(() => {});
      this.#session = await Promise.race([opening, failed.promise]);
      await Promise.race([launching, failed.promise]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
    void this.#session.leaving.then(() => this.#left.resolve());
    void this.#session.closed.then((end) => this.#finish(end));
    void vessel.ended.then((end) => this.#finish(end));
  }

  #finish(end: InstanceEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    this.#session?.close(end);
    this.#removed = this.#remove();
    this.#gone.resolve(end);
  }

  async #remove(): Promise<void> {
    await Promise.all([this.vessel.remove(), this.#deps.sockets[Symbol.asyncDispose]()]);
  }
}

/** The instance as its adapter knows it. @throws SandboxError `sandbox.start_failed` for an instance of another adapter */
export function ownInstance<V extends Vessel>(instance: Instance, kind: abstract new (...args: never[]) => V): VesselInstance<V> {
  if (instance instanceof VesselInstance && instance.vessel instanceof kind) return instance as VesselInstance<V>;
  throw new SandboxError("sandbox.start_failed", "the instance belongs to another sandbox");
}
