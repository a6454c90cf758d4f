import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@rumi/core";
import type { Instance, InstanceEnd, InstanceSockets, InstanceSpec, RunResult, RunSpec } from "@rumi/sandbox";
import { failedRun, failureOfEnd, noFacts, READY_TIMEOUT_MS, RUNNER_SOCKET, RunnerSession, SandboxError } from "@rumi/sandbox";
import { hostEnvironment, sourceOf } from "./host-environment.ts";
import { killProcessesOf, signal as send } from "./marked-processes.ts";

/** How long a runner that lost its connection has to clear up and leave. */
const LEAVE_MS = 500;

/** No core files, few open files; then the program itself, with the same pid. The script is constant, the program its arguments. */
const LIMITED = ["/bin/sh", "-c", 'ulimit -c 0; ulimit -n 256; exec "$@"', "rumi-runner"] as const;

export interface HostInstanceDeps {
  readonly clock: Clock;
  readonly spec: InstanceSpec;
  readonly sockets: InstanceSockets;
  readonly runnerRoot: string;
  readonly home: string;
  /** Absolute path of the interpreter. */
  readonly interpreter: string;
  readonly warning: string;
  readonly maxTimeoutMs: number;
}

/** One runner as a process group of the host, from its start until nothing of it is left. */
export class HostInstance implements Instance {
  readonly spec: InstanceSpec;
  readonly started_at: number;
  readonly #deps: HostInstanceDeps;
  readonly #gone = Promise.withResolvers<InstanceEnd>();
  readonly #exited = Promise.withResolvers<string>();
  #child: ChildProcess | null = null;
  #session: RunnerSession | null = null;
  #end: InstanceEnd | null = null;
  #removed: Promise<void> | null = null;
  #paused = false;
  #resumed = false;

  /** @throws SandboxError `sandbox.start_failed` with nothing left */
  static async start(deps: HostInstanceDeps, signal?: AbortSignal): Promise<HostInstance> {
    const instance = new HostInstance(deps);
    try {
      await instance.#start(signal);
      return instance;
    } catch (cause) {
      instance.#finish({ kind: "instance_lost", message: "the instance did not start" });
      await instance.#removed;
      if (cause instanceof SandboxError) throw cause;
      throw new SandboxError("sandbox.start_failed", "the runner did not start", { cause });
    }
  }

  private constructor(deps: HostInstanceDeps) {
    this.#deps = deps;
    this.spec = deps.spec;
    this.started_at = deps.clock.now();
  }

  get gone(): Promise<InstanceEnd> {
    return this.#gone.promise;
  }

  /** Resolves when nothing is left; null while it lives. */
  get removed(): Promise<void> | null {
    return this.#removed;
  }

  get paused(): boolean {
    return this.#paused;
  }

  async run(spec: RunSpec, signal?: AbortSignal): Promise<RunResult> {
    this.resume();
    const resumed = this.#resumed;
    this.#resumed = false;
    if (this.#end !== null || this.#session === null) {
      const end = this.#end ?? { kind: "instance_lost", message: "the instance is not running" };
      return failedRun(failureOfEnd(end), end.message, noFacts());
    }
    const timeout_ms = Math.min(spec.timeout_ms, this.#deps.maxTimeoutMs);
    const result = await this.#session.run({ ...spec, timeout_ms }, signal);
    const start = resumed && result.start === "warm" ? "resumed" : result.start;
    return result.kind === "ok" ? { ...result, start, warnings: [this.#deps.warning, ...result.warnings] } : { ...result, start };
  }

  pause(): void {
    if (this.#paused || this.#end !== null) return;
    this.#paused = true;
    this.#group("SIGSTOP");
  }

  resume(): void {
    if (!this.#paused || this.#end !== null) return;
    this.#paused = false;
    this.#resumed = true;
    this.#group("SIGCONT");
  }

  async stop(): Promise<void> {
    this.#finish({ kind: "stopped", message: "the instance was stopped" });
    await this.#removed;
  }

  async #start(signal: AbortSignal | undefined): Promise<void> {
    const { spec, sockets, runnerRoot, home, interpreter, clock } = this.#deps;
    signal?.throwIfAborted();
    const program = spec.runtime === "python" ? ["-I", "-S", "-B", `${runnerRoot}/python/main.py`] : [`${runnerRoot}/node/main.mjs`];
    const [shell, ...limited] = LIMITED;
    const child = spawn(shell, [...limited, interpreter, ...program, join(sockets.folder, RUNNER_SOCKET)], {
      cwd: home,
      env: hostEnvironment(spec, { home, runnerRoot }),
      detached: true,
      stdio: "ignore",
    });
    this.#child = child;
    child.once("error", () => this.#exited.resolve("could not be started"));
    child.once("exit", (code, name) =>
      this.#exited.resolve(name === null ? `ended with exit code ${String(code)}` : `was ended by ${name}`),
    );
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => {});
    const fail = (message: string): void => failed.reject(new SandboxError("sandbox.start_failed", message));
    const timer = setTimeout(() => fail(`the runner did not connect in ${String(READY_TIMEOUT_MS)} ms`), READY_TIMEOUT_MS);
    const onAbort = (): void => fail("the start was called off");
    signal?.addEventListener("abort", onAbort, { once: true });
    void this.#exited.promise.then((how) => fail(`the runner ${how}`));
    try {
      const stream = await Promise.race([sockets.runner, failed.promise]);
      const pip = sourceOf(spec, "/pip-packages");
      const modules = sourceOf(spec, "/node_modules");
      const opening = RunnerSession.open(stream, {
        spec,
        clock,
        onFault: (fault) =>
          this.#finish({ kind: fault.code === "protocol_error" ? "protocol_error" : "instance_lost", message: fault.message }),
        explainLoss: async () => ({ kind: "crashed", message: `the runner ${await this.#ending()}` }),
        roots: {
          pack: sourceOf(spec, "/pack") ?? home,
          ...(pip === undefined ? {} : { pip_packages: pip }),
          ...(modules === undefined ? {} : { node_modules: modules }),
          temp: [home],
        },
        ...(signal === undefined ? {} : { signal }),
      });
      opening.catch(() => {});
      this.#session = await Promise.race([opening, failed.promise]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
    void this.#session.closed.then((end) => this.#finish(end));
  }

  #finish(end: InstanceEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    this.#session?.close(end);
    this.#removed = this.#remove();
    this.#gone.resolve(end);
  }

  /** The runner leaves by itself when its connection ends; what does not leave is killed, group first, then what bears its home. */
  async #remove(): Promise<void> {
    const { sockets, home } = this.#deps;
    await sockets[Symbol.asyncDispose]();
    if (this.#child !== null) {
      if (this.#paused) this.#group("SIGCONT");
      await Promise.race([this.#exited.promise, delay(LEAVE_MS)]);
      this.#group("SIGKILL");
      await Promise.race([this.#exited.promise, delay(LEAVE_MS)]);
    }
    await killProcessesOf(home);
    await rm(home, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
  }

  async #ending(): Promise<string> {
    return await Promise.race([this.#exited.promise, delay(LEAVE_MS).then(() => "closed its connection")]);
  }

  #group(name: NodeJS.Signals): void {
    const pid = this.#child?.pid;
    if (pid !== undefined && pid > 1) send(-pid, name);
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
