import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import type { Clock } from "@rumi/core";
import type { Instance, InstanceEnd, InstanceSockets, InstanceSpec, RunResult, RunSpec } from "@rumi/sandbox";
import { failedRun, failureOfEnd, noFacts, READY_TIMEOUT_MS, RunnerSession, SandboxError } from "@rumi/sandbox";
import type { Command } from "./launch.ts";
import { SECCOMP_FD } from "./launch.ts";
import { hostEnvironment } from "./run-program.ts";
import type { InstanceCgroup } from "./ports.ts";

/** How long after its runner's connection closed the sandbox's end is waited for before it is killed. */
const EXIT_GRACE_MS = 2_000;

/** Most bytes kept of what a launcher said when it failed. */
const MAX_WORDS = 2_048;

/** Everything an instance is started from. */
export interface BubblewrapInstanceDeps {
  readonly clock: Clock;
  readonly spec: InstanceSpec;
  readonly command: Command;
  /** Filter program for the kernel. */
  readonly seccomp: Uint8Array;
  readonly cgroup: InstanceCgroup;
  readonly sockets: InstanceSockets;
}

interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** Starts a command with the filter program on its descriptor; `words` gives the end of what it says. */
export function launch(command: Command, seccomp: Uint8Array): { readonly child: ChildProcess; readonly words: () => string } {
  const child = spawn(command.file, [...command.args], {
    cwd: "/",
    env: hostEnvironment(),
    detached: true,
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  let text = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    text = (text + chunk).slice(-MAX_WORDS);
  });
  const filter = child.stdio[SECCOMP_FD];
  if (filter !== null && filter !== undefined && "end" in filter) {
    filter.on("error", () => {});
    filter.end(seccomp);
  }
  return { child, words: () => text };
}

/** One sandbox and the session with its runner, from the launcher's start until nothing is left. */
export class BubblewrapInstance implements Instance {
  readonly spec: InstanceSpec;
  readonly started_at: number;
  readonly #deps: BubblewrapInstanceDeps;
  readonly #gone = Promise.withResolvers<InstanceEnd>();
  readonly #exited = Promise.withResolvers<Exit>();
  #child: ChildProcess | null = null;
  #session: RunnerSession | null = null;
  #end: InstanceEnd | null = null;
  #removed: Promise<void> | null = null;
  #paused = false;
  #resumed = false;

  /**
   * Starts the launcher while the instance's socket listens already.
   * @throws SandboxError `sandbox.start_failed`; nothing is left then
   */
  static async start(deps: BubblewrapInstanceDeps, signal?: AbortSignal): Promise<BubblewrapInstance> {
    const instance = new BubblewrapInstance(deps);
    try {
      await instance.#start(signal);
      return instance;
    } catch (cause) {
      instance.#finish({ kind: "instance_lost", message: "the instance did not start" });
      await instance.#removed;
      if (cause instanceof SandboxError) throw cause;
      throw new SandboxError("sandbox.start_failed", "the sandbox did not start", { cause });
    }
  }

  private constructor(deps: BubblewrapInstanceDeps) {
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

  get paused(): boolean {
    return this.#paused;
  }

  async memoryBytes(): Promise<number | null> {
    return await this.#deps.cgroup.memoryBytes();
  }

  async run(spec: RunSpec, signal?: AbortSignal): Promise<RunResult> {
    await this.resume();
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
    await this.#deps.cgroup.freeze();
  }

  async resume(): Promise<void> {
    if (!this.#paused || this.#end !== null) return;
    this.#paused = false;
    this.#resumed = true;
    await this.#deps.cgroup.thaw();
  }

  /** Ends it; resolves when no process, control group or socket of it is left. */
  async stop(): Promise<void> {
    this.#finish({ kind: "stopped", message: "the instance was stopped" });
    await this.#removed;
  }

  async #start(signal: AbortSignal | undefined): Promise<void> {
    const { clock, command, seccomp, sockets, spec, cgroup } = this.#deps;
    signal?.throwIfAborted();
    const { child, words } = launch(command, seccomp);
    this.#child = child;
    child.once("error", () => this.#exited.resolve({ code: null, signal: null }));
    child.once("exit", (code, name) => this.#exited.resolve({ code, signal: name }));
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => {});
    const fail = (message: string, cause?: unknown): void => failed.reject(new SandboxError("sandbox.start_failed", message, { cause }));
    const timer = setTimeout(() => fail(`the runner did not connect in ${String(READY_TIMEOUT_MS)} ms`), READY_TIMEOUT_MS);
    const onAbort = (): void => fail("the start was called off");
    signal?.addEventListener("abort", onAbort, { once: true });
    // What the launcher said may hold host paths: it is only the cause.
    void this.#exited.promise.then((exit) => fail(`the sandbox ended with ${describe(exit)}`, new Error(words())));
    try {
      if (child.pid !== undefined) await cgroup.started(child.pid);
      const stream = await Promise.race([sockets.runner, failed.promise]);
      const opening = RunnerSession.open(stream, {
        spec,
        clock,
        onFault: (fault) =>
          this.#finish({ kind: fault.code === "protocol_error" ? "protocol_error" : "instance_lost", message: fault.message }),
        explainLoss: () => this.#explainLoss(),
        ...(signal === undefined ? {} : { signal }),
      });
      opening.catch(() => {});
      this.#session = await Promise.race([opening, failed.promise]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
    void this.#session.closed.then((end) => this.#finish(end));
    void this.#exited.promise.then(async (exit) => this.#finish(await this.#explainExit(exit)));
  }

  /** Why the runner's connection closed by itself. */
  async #explainLoss(): Promise<InstanceEnd> {
    const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), EXIT_GRACE_MS).unref());
    const exit = await Promise.race([this.#exited.promise, late]);
    return exit === null ? { kind: "crashed", message: "the runner closed its connection" } : await this.#explainExit(exit);
  }

  async #explainExit(exit: Exit): Promise<InstanceEnd> {
    return wasKilled(exit) && (await this.#deps.cgroup.oomKills()) > 0
      ? { kind: "oom_killed", message: "the sandbox went over its memory limit" }
      : { kind: "crashed", message: `the sandbox ended with ${describe(exit)}` };
  }

  #finish(end: InstanceEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    this.#session?.close(end);
    this.#removed = this.#remove();
    this.#gone.resolve(end);
  }

  /** bubblewrap's end is the end of all inside; the control group also holds what never came that far. */
  async #remove(): Promise<void> {
    const { cgroup, sockets } = this.#deps;
    const child = this.#child;
    await cgroup.thaw();
    child?.kill("SIGKILL");
    await Promise.all([cgroup.remove(), sockets[Symbol.asyncDispose](), child === null ? null : this.#exited.promise]);
  }
}

/** Exit code of a process ended by SIGKILL, as bubblewrap passes it on. */
const KILLED = 137;

function wasKilled(exit: Exit): boolean {
  return exit.code === KILLED || exit.signal === "SIGKILL";
}

function describe(exit: Exit): string {
  return exit.signal === null ? `exit code ${String(exit.code)}` : exit.signal;
}
