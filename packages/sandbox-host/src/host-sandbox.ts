import { execFile } from "node:child_process";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Clock, Logger } from "@rumi/core";
import type {
  HeldInstance,
  Instance,
  InstanceSpec,
  JobResult,
  RunResult,
  RunSpec,
  Runtime,
  RuntimeImage,
  Sandbox,
  SandboxProbe,
} from "@rumi/sandbox";
import { checkMounts, InstanceSockets, ownInstance, SandboxError, VesselInstance } from "@rumi/sandbox";
import { HostVessel } from "./host-vessel.ts";
import { killProcessesOf, processesOf } from "./marked-processes.ts";

/** What every probe and every good result says. */
export const HOST_WARNING = "permissive mode: the block ran on the host without any wall (no network, file or memory limit)";

/** Longest call on the host. Source: page "Execution", section 11 (`RUMI_HOST_EXEC_TIMEOUT`). */
const MAX_TIMEOUT_MS = 120_000;

/** How long an answer about the interpreters is kept. Source: page "Execution", section 3. */
const PROBE_MS = 60_000;

/** Characters of an installation's id in its folder's name: socket paths are short. */
const INSTALLATION_CHARS = 8;

const INSTANCE_ID = /^[0-9a-f]{32}$/u;

export interface HostSandboxDeps {
  readonly installation: string;
  /** Absolute folder for sockets and homes; one of our own is made below it. */
  readonly socketBase: string;
  readonly runnerRoot: string;
  readonly userData: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface HostSandboxOptions {
  /** The daemon's security mode. Anything but `permissive` refuses construction. */
  readonly mode: "strict" | "permissive";
  /** The interpreters; absent: `python3` of the system, and the Node that runs the daemon. */
  readonly interpreters?: Partial<Readonly<Record<Runtime, string>>>;
  readonly maxTimeoutMs?: number;
}

/** Gives a run on the bare host, for development only: a process group of its own with a scrubbed environment, and no wall. */
export class HostSandbox implements Sandbox {
  readonly #deps: HostSandboxDeps;
  readonly #interpreters: Readonly<Record<Runtime, string>>;
  readonly #maxTimeoutMs: number;
  readonly #base: string;
  readonly #live = new Map<string, VesselInstance<HostVessel>>();
  readonly #starting = new Set<string>();
  #probe: { readonly answer: SandboxProbe; readonly at: number } | null = null;

  /** @throws SandboxError `sandbox.docker_required` in strict mode: nothing falls back to the host, ever */
  constructor(deps: HostSandboxDeps, options: HostSandboxOptions) {
    if (options.mode !== "permissive") {
      throw new SandboxError("sandbox.docker_required", "strict mode runs nothing on the host", { remedy: "start a Docker engine" });
    }
    this.#deps = deps;
    this.#interpreters = { python: "/usr/bin/python3", node: process.execPath, ...options.interpreters };
    this.#maxTimeoutMs = options.maxTimeoutMs ?? MAX_TIMEOUT_MS;
    this.#base = join(deps.socketBase, `h${deps.installation.slice(0, INSTALLATION_CHARS)}`);
  }

  async probe(options: { readonly fresh?: boolean } = {}): Promise<SandboxProbe> {
    const known = this.#probe;
    if (options.fresh !== true && known !== null && this.#deps.clock.monotonic() - known.at <= PROBE_MS) return known.answer;
    const [python, node] = await Promise.all([look(this.#interpreters.python), look(this.#interpreters.node)]);
    const answer: SandboxProbe = {
      available: true,
      adapter: "host",
      isolation: "none",
      transport: "socket",
      runtimes: { python, node },
      weaknesses: [],
      warnings: [HOST_WARNING],
    };
    this.#probe = { answer, at: this.#deps.clock.monotonic() };
    return answer;
  }

  async start(spec: InstanceSpec, signal?: AbortSignal): Promise<Instance> {
    if (!INSTANCE_ID.test(spec.instance_id)) throw new SandboxError("sandbox.start_failed", "an instance id is 32 hex digits");
    if (this.#starting.has(spec.instance_id) || this.#live.has(spec.instance_id)) {
      throw new SandboxError("sandbox.start_failed", "an instance of this id exists already");
    }
    this.#starting.add(spec.instance_id);
    try {
      if (!(await this.probe()).runtimes[spec.runtime].present) {
        throw new SandboxError("sandbox.image_missing", `no ${spec.runtime} interpreter on the host`, {
          remedy: `install ${spec.runtime}`,
        });
      }
      const { userData, socketBase } = this.#deps;
      await checkMounts(spec.mounts, { userData, enginePaths: [], socketBases: [socketBase], ownSocketFolders: [], purpose: spec.purpose });
      const home = this.#home(spec.instance_id);
      await mkdir(home, { recursive: true, mode: 0o700 });
      const instance = await this.#startInstance(spec, home, signal);
      this.#live.set(spec.instance_id, instance);
      void instance.gone.then(() => instance.removed).then(() => this.#live.delete(spec.instance_id));
      this.#deps.logger.log("warn", HOST_WARNING, { pack_id: spec.pack_id, instance_id: spec.instance_id });
      return instance;
    } finally {
      this.#starting.delete(spec.instance_id);
    }
  }

  async run(instance: Instance, spec: RunSpec, signal?: AbortSignal): Promise<RunResult> {
    const timeout_ms = Math.min(spec.timeout_ms, this.#maxTimeoutMs);
    const result = await ownInstance(instance, HostVessel).run({ ...spec, timeout_ms }, signal);
    return result.kind === "ok" ? { ...result, warnings: [HOST_WARNING, ...result.warnings] } : result;
  }

  async pause(instance: Instance): Promise<void> {
    await ownInstance(instance, HostVessel).pause();
  }

  async resume(instance: Instance): Promise<void> {
    await ownInstance(instance, HostVessel).resume();
  }

  async stop(instance: Instance): Promise<void> {
    await ownInstance(instance, HostVessel).stop();
  }

  /** @throws SandboxError `sandbox.docker_required`: commands in images need an engine */
  job(): Promise<JobResult> {
    return Promise.reject(new SandboxError("sandbox.docker_required", "jobs need a Docker engine", { remedy: "start a Docker engine" }));
  }

  list(): Promise<readonly HeldInstance[]> {
    return Promise.resolve(
      [...this.#live.values()].map((instance) => ({
        id: instance.spec.instance_id,
        instance_id: instance.spec.instance_id,
        installation: this.#deps.installation,
        pack_id: instance.spec.pack_id,
        digest: instance.spec.digest,
        runtime: instance.spec.runtime,
        state: instance.paused ? "paused" : "running",
        memory_bytes: null,
        started_at: instance.started_at,
      })),
    );
  }

  async sweep(): Promise<number> {
    const names = await readdir(this.#homes()).catch(() => []);
    const left = names.filter((name) => INSTANCE_ID.test(name) && !this.#live.has(name) && !this.#starting.has(name));
    for (const id of left) {
      await killProcessesOf(this.#home(id));
      await rm(this.#home(id), { recursive: true, force: true });
      await rm(join(this.#base, id), { recursive: true, force: true });
    }
    return left.length;
  }

  /** Pids that bear the home of one of this installation's instances. */
  async processes(): Promise<readonly number[]> {
    return await processesOf(this.#homes());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#live.values()].map((instance) => instance.stop()));
    await rm(this.#base, { recursive: true, force: true }).catch(() => {});
  }

  async #startInstance(spec: InstanceSpec, home: string, signal: AbortSignal | undefined): Promise<VesselInstance<HostVessel>> {
    let sockets: InstanceSockets;
    try {
      sockets = await InstanceSockets.create(this.#base, spec.instance_id);
    } catch (error) {
      await rm(home, { recursive: true, force: true });
      throw error;
    }
    const { clock, runnerRoot } = this.#deps;
    const interpreter = this.#interpreters[spec.runtime];
    const vessel = new HostVessel({ spec, sockets: sockets.folder, runnerRoot, home, interpreter });
    try {
      return await VesselInstance.start({ clock, spec, sockets, vessel }, signal);
    } catch (cause) {
      if (cause instanceof SandboxError) throw cause;
      throw new SandboxError("sandbox.start_failed", "the runner did not start", { cause });
    }
  }

  #homes(): string {
    return join(this.#base, "home");
  }

  #home(instanceId: string): string {
    return join(this.#homes(), instanceId);
  }
}

async function look(interpreter: string): Promise<RuntimeImage> {
  try {
    await promisify(execFile)(interpreter, ["--version"], { env: {}, timeout: 10_000 });
    return { ref: interpreter, image_id: null, present: true };
  } catch {
    return { ref: interpreter, image_id: null, present: false };
  }
}
