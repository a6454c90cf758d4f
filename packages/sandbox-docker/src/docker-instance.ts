import type { Clock } from "@rumi/core";
import type { Instance, InstanceEnd, InstanceSpec, InstanceSockets, RunResult, RunSpec, SessionFault } from "@rumi/sandbox";
import { failedRun, failureOfEnd, noFacts, READY_TIMEOUT_MS, RunnerSession, SandboxError } from "@rumi/sandbox";
import type { ContainerBody } from "./container-body.ts";
import type { ContainerExit, Engine } from "./engine.ts";
import { EngineError } from "./engine.ts";

/** How long after its runner's connection closed a container's end is waited for before it is killed. */
const EXIT_GRACE_MS = 2_000;

/** Exit code of a process ended by SIGKILL, as the engine gives it. */
const KILLED = 137;

/** Everything an instance is started from. */
export interface DockerInstanceDeps {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly spec: InstanceSpec;
  readonly name: string;
  readonly body: ContainerBody;
  readonly sockets: InstanceSockets;
  /** The engine was lost while the instance lived. */
  readonly onEngineLost: () => void;
  /** The container could not be removed (engine gone): somebody must later. */
  readonly onOrphan: (containerId: string) => void;
}

/** One container and the session with its runner, from create to removal. */
export class DockerInstance implements Instance {
  readonly spec: InstanceSpec;
  readonly started_at: number;
  readonly #deps: DockerInstanceDeps;
  readonly #watch = new AbortController();
  readonly #gone = Promise.withResolvers<InstanceEnd>();
  #containerId: string | null = null;
  #session: RunnerSession | null = null;
  #exit: Promise<ContainerExit> = Promise.resolve({ kind: "unknown" });
  #end: InstanceEnd | null = null;
  #removed: Promise<void> | null = null;
  #paused = false;
  #resumed = false;

  /**
   * Creates and starts the container while its socket listens already.
   * @throws SandboxError `sandbox.start_failed`, EngineError; nothing is left then
   */
  static async start(deps: DockerInstanceDeps, signal?: AbortSignal): Promise<DockerInstance> {
    const instance = new DockerInstance(deps);
    try {
      await instance.#start(signal);
      return instance;
    } catch (error) {
      instance.#finish({ kind: "instance_lost", message: "the instance did not start" });
      await instance.#removed;
      throw error;
    }
  }

  private constructor(deps: DockerInstanceDeps) {
    this.#deps = deps;
    this.spec = deps.spec;
    this.started_at = deps.clock.now();
  }

  get gone(): Promise<InstanceEnd> {
    return this.#gone.promise;
  }

  /** Resolves when nothing of the instance is left; null while it lives. */
  get removed(): Promise<void> | null {
    return this.#removed;
  }

  async run(spec: RunSpec, signal?: AbortSignal): Promise<RunResult> {
    if (this.#paused && this.#end === null) await this.resume();
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
    if (this.#paused || this.#end !== null || this.#containerId === null) return;
    this.#paused = true;
    await this.#deps.engine.pause(this.#containerId);
  }

  async resume(): Promise<void> {
    if (!this.#paused || this.#end !== null || this.#containerId === null) return;
    this.#paused = false;
    this.#resumed = true;
    await this.#deps.engine.resume(this.#containerId);
  }

  /** Ends it; resolves when container and sockets are gone. */
  async stop(): Promise<void> {
    this.#finish({ kind: "stopped", message: "the instance was stopped" });
    await this.#removed;
  }

  async #start(signal: AbortSignal | undefined): Promise<void> {
    const { engine, sockets } = this.#deps;
    signal?.throwIfAborted();
    const containerId = await this.#create();
    signal?.throwIfAborted();
    this.#exit = engine.nextExit(containerId, this.#watch.signal);
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => {});
    const fail = (message: string): void => failed.reject(new SandboxError("sandbox.start_failed", message));
    const timer = setTimeout(() => fail(`the runner did not connect in ${String(READY_TIMEOUT_MS)} ms`), READY_TIMEOUT_MS);
    const onAbort = (): void => fail("the start was called off");
    signal?.addEventListener("abort", onAbort, { once: true });
    void this.#exit.then((exit) =>
      fail(exit.kind === "exited" ? `the container ended with exit code ${String(exit.code)}` : "the engine was lost"),
    );
    const started = engine.start(containerId);
    started.catch(failed.reject);
    try {
      const stream = await Promise.race([sockets.runner, failed.promise]);
      const opening = RunnerSession.open(stream, {
        spec: this.spec,
        clock: this.#deps.clock,
        onFault: (fault) => this.#onFault(fault),
        explainLoss: () => this.#explainLoss(),
        ...(signal === undefined ? {} : { signal }),
      });
      opening.catch(() => {});
      this.#session = await Promise.race([opening, failed.promise]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
    await started;
    void this.#session.closed.then((end) => this.#finish(end));
    void this.#watchExit();
  }

  /** An engine that was lost while it was asked may have made the container: then its name stands for it. */
  async #create(): Promise<string> {
    const { engine, name, body } = this.#deps;
    try {
      this.#containerId = await engine.create(name, body);
      return this.#containerId;
    } catch (error) {
      if (error instanceof EngineError && error.failure === "gone") this.#containerId = name;
      throw error;
    }
  }

  /** A runner that broke its promises or hangs: the session is closed by then, the container goes too. */
  #onFault(fault: SessionFault): void {
    this.#finish({ kind: fault.code === "protocol_error" ? "protocol_error" : "instance_lost", message: fault.message });
  }

  /** Why the runner's connection closed by itself. */
  async #explainLoss(): Promise<InstanceEnd> {
    const late = new Promise<ContainerExit>((resolve) => setTimeout(() => resolve({ kind: "unknown" }), EXIT_GRACE_MS).unref());
    const exit = await Promise.race([this.#exit, late]);
    if (exit.kind === "exited") return await this.#explainExit(exit.code);
    if (await this.#deps.engine.answers()) return { kind: "crashed", message: "the runner closed its connection" };
    return { kind: "instance_lost", message: "the engine was lost" };
  }

  async #explainExit(code: number): Promise<InstanceEnd> {
    const oom = code === KILLED && this.#containerId !== null && (await this.#deps.engine.wasOomKilled(this.#containerId));
    return oom
      ? { kind: "oom_killed", message: "the container went over its memory limit" }
      : { kind: "crashed", message: `the container ended with exit code ${String(code)}` };
  }

  /** Follows the container to its end; a lost engine ends the instance, a short gap in its answers does not. */
  async #watchExit(): Promise<void> {
    for (;;) {
      const exit = await this.#exit;
      if (this.#end !== null || this.#containerId === null) return;
      if (exit.kind === "exited") {
        this.#finish(await this.#explainExit(exit.code));
        return;
      }
      if (!(await this.#deps.engine.answers())) {
        this.#finish({ kind: "instance_lost", message: "the engine was lost" });
        this.#deps.onEngineLost();
        return;
      }
      this.#exit = this.#deps.engine.nextExit(this.#containerId, this.#watch.signal, "not-running");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  #finish(end: InstanceEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    this.#session?.close(end);
    this.#removed = this.#remove();
    this.#gone.resolve(end);
  }

  async #remove(): Promise<void> {
    const { engine, sockets, onOrphan } = this.#deps;
    const id = this.#containerId;
    await Promise.all([id === null ? null : engine.remove(id).catch(() => onOrphan(id)), sockets[Symbol.asyncDispose]()]);
    this.#watch.abort();
  }
}
