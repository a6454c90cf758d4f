import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { InstanceEnd, InstanceSpec, Vessel } from "@rumi/sandbox";
import { RUNNER_SOCKET } from "@rumi/sandbox";
import { hostEnvironment, sourceOf } from "./host-environment.ts";
import { killProcessesOf, signal as send } from "./marked-processes.ts";

/** How long a runner that lost its connection has to clear up and leave. */
const LEAVE_MS = 500;

/** No core files, few open files; then the program itself, with the same pid. The script is constant, the program its arguments. */
const LIMITED = ["/bin/sh", "-c", 'ulimit -c 0; ulimit -n 256; exec "$@"', "rumi-runner"] as const;

export interface HostVesselDeps {
  readonly spec: InstanceSpec;
  /** Folder of the instance's sockets. */
  readonly sockets: string;
  readonly runnerRoot: string;
  readonly home: string;
  /** Absolute path of the interpreter. */
  readonly interpreter: string;
}

/** One runner as a process group of the host. No walls. */
export class HostVessel implements Vessel {
  readonly roots: NonNullable<Vessel["roots"]>;
  readonly #deps: HostVesselDeps;
  readonly #exited = Promise.withResolvers<InstanceEnd>();
  #child: ChildProcess | null = null;
  #isPaused = false;

  constructor(deps: HostVesselDeps) {
    this.#deps = deps;
    const { spec, home } = deps;
    const pip = sourceOf(spec, "/pip-packages");
    const modules = sourceOf(spec, "/node_modules");
    this.roots = {
      pack: sourceOf(spec, "/pack") ?? home,
      ...(pip === undefined ? {} : { pip_packages: pip }),
      ...(modules === undefined ? {} : { node_modules: modules }),
      temp: [home],
    };
  }

  get ended(): Promise<InstanceEnd> {
    return this.#exited.promise;
  }

  launch(): Promise<void> {
    const { spec, sockets, runnerRoot, home, interpreter } = this.#deps;
    const program = spec.runtime === "python" ? ["-I", "-S", "-B", `${runnerRoot}/python/main.py`] : [`${runnerRoot}/node/main.mjs`];
    const [shell, ...limited] = LIMITED;
    const child = spawn(shell, [...limited, interpreter, ...program, join(sockets, RUNNER_SOCKET)], {
      cwd: home,
      env: hostEnvironment(spec, { home, runnerRoot }),
      detached: true,
      stdio: "ignore",
    });
    this.#child = child;
    child.once("error", () => this.#exited.resolve(crashed("could not be started")));
    child.once("exit", (code, name) =>
      this.#exited.resolve(crashed(name === null ? `ended with exit code ${String(code)}` : `was ended by ${name}`)),
    );
    return Promise.resolve();
  }

  async explainLoss(): Promise<InstanceEnd> {
    return await Promise.race([this.ended, delay(LEAVE_MS).then(() => crashed("closed its connection"))]);
  }

  pause(): Promise<void> {
    this.#isPaused = true;
    this.#group("SIGSTOP");
    return Promise.resolve();
  }

  resume(): Promise<void> {
    this.#isPaused = false;
    this.#group("SIGCONT");
    return Promise.resolve();
  }

  /** The runner leaves by itself when its connection ends; what does not leave is killed, group first, then what bears its home. */
  async remove(): Promise<void> {
    const { home } = this.#deps;
    if (this.#child !== null) {
      if (this.#isPaused) this.#group("SIGCONT");
      await Promise.race([this.ended, delay(LEAVE_MS)]);
      this.#group("SIGKILL");
      await Promise.race([this.ended, delay(LEAVE_MS)]);
    }
    await killProcessesOf(home);
    await rm(home, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
  }

  #group(name: NodeJS.Signals): void {
    const pid = this.#child?.pid;
    if (pid !== undefined && pid > 1) send(-pid, name);
  }
}

function crashed(how: string): InstanceEnd {
  return { kind: "crashed", message: `the runner ${how}` };
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
