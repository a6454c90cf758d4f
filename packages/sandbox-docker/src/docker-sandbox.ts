import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Logger } from "@rumi/core";
import type {
  HeldInstance,
  Instance,
  InstanceSpec,
  JobResult,
  JobSpec,
  Mount,
  RunResult,
  RunSpec,
  Runtime,
  Sandbox,
  SandboxProbe,
} from "@rumi/sandbox";
import { checkMounts, InstanceSockets, isRunnerReadable, ownInstance, SandboxError, VesselInstance } from "@rumi/sandbox";
import { createContainerBody, createJobBody } from "./container-body.ts";
import type { ContainerPlace } from "./container-body.ts";
import { DockerVessel } from "./docker-vessel.ts";
import { runJob } from "./docker-job.ts";
import { Engine, EngineError } from "./engine.ts";
import { CAPABILITY_TYPE, containerName, jobName, LABEL } from "./labels.ts";
import { PinnedImages } from "./pinned-images.ts";
import { MemoryImagePins } from "./ports.ts";
import type { ImagePins } from "./ports.ts";
import { describeEngine, describeNoEngine, imageRemedy, isRemoteEngine } from "./probe.ts";

/** How long an answer is kept. Source: page "Execution", section 3. */
const PROBE_UP_MS = 60_000;
const PROBE_DOWN_MS = 5_000;

/** Characters of an installation's id in the socket folder's name: socket paths are short. */
const INSTALLATION_CHARS = 8;

export interface DockerSandboxDeps {
  /** Random id of this installation: what carries it is ours, anything else is left alone. */
  readonly installation: string;
  /** Absolute folder for sockets; one of our own is made below it. */
  readonly socketBase: string;
  readonly runnerRoot: string;
  readonly userData: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface DockerSandboxOptions {
  /** Path of the engine's socket. */
  readonly engineSocket: string;
  /** Names of images that are present locally. */
  readonly images: Readonly<Record<Runtime, string>>;
  readonly ociRuntime?: string | undefined;
  readonly imagePins?: ImagePins;
  /** Group of the sockets, given to the user inside as well. */
  readonly socketGid?: number | undefined;
  readonly socketMode?: 0o660 | 0o666;
  /** Further groups of the user inside: those of the instances' other sockets. */
  readonly extraGids?: readonly number[];
  /** Start on an engine with weaknesses all the same. Never set in strict mode. */
  readonly allowWeak?: boolean;
}

/** Gives a safe run through a Docker engine: one container per instance, every wall the engine has. */
export class DockerSandbox implements Sandbox {
  readonly #deps: DockerSandboxDeps;
  readonly #options: DockerSandboxOptions;
  readonly #engine: Engine;
  readonly #images: PinnedImages;
  readonly #sockets: string;
  readonly #starting = new Set<string>();
  readonly #live = new Map<string, VesselInstance<DockerVessel>>();
  readonly #jobs = new Map<string, AbortController>();
  readonly #orphans = new Set<string>();
  #probe: { readonly answer: SandboxProbe; readonly at: number } | null = null;
  #probing: Promise<SandboxProbe> | null = null;

  constructor(deps: DockerSandboxDeps, options: DockerSandboxOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#engine = new Engine(options.engineSocket.replace(/^unix:\/\//u, ""));
    this.#images = new PinnedImages(this.#engine, options.imagePins ?? new MemoryImagePins(), options.images);
    this.#sockets = join(deps.socketBase, deps.installation.slice(0, INSTALLATION_CHARS));
  }

  async probe(options: { readonly fresh?: boolean; readonly signal?: AbortSignal } = {}): Promise<SandboxProbe> {
    const known = this.#probe;
    if (options.fresh !== true && known !== null && !this.#isStale(known)) return known.answer;
    return await this.#refresh();
  }

  async start(spec: InstanceSpec, signal?: AbortSignal): Promise<Instance> {
    if (this.#starting.has(spec.instance_id) || this.#live.has(spec.instance_id)) {
      throw new SandboxError("sandbox.start_failed", "an instance of this id exists already");
    }
    this.#starting.add(spec.instance_id);
    try {
      await this.#assertUsable();
      const instance = await this.#startInstance(spec, signal);
      this.#live.set(spec.instance_id, instance);
      void instance.gone.then(() => instance.removed).then(() => this.#live.delete(spec.instance_id));
      return instance;
    } catch (error) {
      throw this.#startError(error, spec.runtime);
    } finally {
      this.#starting.delete(spec.instance_id);
    }
  }

  async run(instance: Instance, spec: RunSpec, signal?: AbortSignal): Promise<RunResult> {
    return await ownInstance(instance, DockerVessel).run(spec, signal);
  }

  async pause(instance: Instance): Promise<void> {
    await ownInstance(instance, DockerVessel).pause();
  }

  async resume(instance: Instance): Promise<void> {
    await ownInstance(instance, DockerVessel).resume();
  }

  async stop(instance: Instance): Promise<void> {
    await ownInstance(instance, DockerVessel).stop();
  }

  async job(spec: JobSpec, signal?: AbortSignal): Promise<JobResult> {
    const abort = new AbortController();
    this.#jobs.set(spec.job_id, abort);
    try {
      await this.#assertUsable();
      await checkMounts(spec.mounts, this.#mountRules([]));
      const image = await this.#engine.image(spec.image);
      if (image === null) {
        throw new SandboxError("sandbox.image_missing", `the image ${spec.image} is not there`, { remedy: `docker pull ${spec.image}` });
      }
      const body = createJobBody(spec, { ...this.#place(), imageId: image.id, imageEnvNames: [] });
      const both = signal === undefined ? abort.signal : AbortSignal.any([abort.signal, signal]);
      return await runJob(this.#engine, jobName(spec), body, spec, both);
    } catch (error) {
      throw this.#startError(error, null);
    } finally {
      this.#jobs.delete(spec.job_id);
    }
  }

  async list(): Promise<readonly HeldInstance[]> {
    const held = await this.#held();
    return await Promise.all(
      held.map(async ({ id, state, labels, createdMs }) => ({
        id,
        instance_id: labels[LABEL.instance] ?? "",
        installation: labels[LABEL.installation] ?? "",
        pack_id: labels[LABEL.packId] ?? "",
        digest: labels[LABEL.digest] ?? "",
        runtime: labels[LABEL.runtime] ?? "",
        state,
        memory_bytes: state === "running" ? await this.#engine.memoryBytes(id) : null,
        started_at: createdMs,
      })),
    );
  }

  async sweep(): Promise<number> {
    const held = await this.#held();
    const strangers = held.filter((container) => !this.#isLive(container.labels[LABEL.instance] ?? ""));
    await Promise.all(
      strangers.map(async ({ id }) => {
        await this.#engine.remove(id);
        this.#orphans.delete(id);
      }),
    );
    await this.#sweepSockets();
    return strangers.length;
  }

  /** Stops every instance and job of this process. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const job of this.#jobs.values()) job.abort();
    await Promise.all([...this.#live.values()].map((instance) => instance.stop()));
    await rm(this.#sockets, { recursive: true, force: true }).catch(() => {});
  }

  async #startInstance(spec: InstanceSpec, signal: AbortSignal | undefined): Promise<VesselInstance<DockerVessel>> {
    const image = await this.#images.use(spec.runtime);
    if (image === null) throw new SandboxError("sandbox.image_missing", `the image for ${spec.runtime} is not there`);
    const socketMounts = Object.entries(spec.sockets).map(([name, source]): Mount => ({
      source,
      target: `/run/rumi/${name}`,
      read_only: true,
    }));
    await Promise.all([
      mkdir(this.#sockets, { recursive: true, mode: 0o700 }),
      checkMounts([...spec.mounts, ...socketMounts], { ...this.#mountRules(Object.values(spec.sockets)), purpose: spec.purpose }),
    ]);
    const { socketGid, socketMode } = this.#options;
    const sockets = await InstanceSockets.create(this.#sockets, spec.instance_id, {
      ...(socketGid === undefined ? {} : { gid: socketGid }),
      ...(socketMode === undefined ? {} : { mode: socketMode }),
    });
    const vessel = new DockerVessel({
      engine: this.#engine,
      name: containerName(spec),
      createBody: () =>
        createContainerBody(spec, {
          ...this.#place(),
          imageId: image.id,
          imageEnvNames: image.envNames,
          runnerRoot: this.#deps.runnerRoot,
          runnerSockets: sockets.folder,
        }),
      onEngineLost: () => this.#engineLost(),
      onOrphan: (id) => this.#orphans.add(id),
    });
    return await VesselInstance.start({ clock: this.#deps.clock, spec, sockets, vessel }, signal);
  }

  #place(): Pick<ContainerPlace, "installation" | "ociRuntime" | "socketGids"> {
    const { ociRuntime, socketGid, extraGids = [] } = this.#options;
    const socketGids = [...new Set(socketGid === undefined ? extraGids : [socketGid, ...extraGids])];
    return { installation: this.#deps.installation, ociRuntime, socketGids };
  }

  #mountRules(ownSocketFolders: readonly string[]): Parameters<typeof checkMounts>[1] {
    return {
      userData: this.#deps.userData,
      enginePaths: isRemoteEngine(this.#options.engineSocket) ? [] : [this.#options.engineSocket.replace(/^unix:\/\//u, "")],
      socketBases: [this.#deps.socketBase],
      ownSocketFolders,
    };
  }

  /** Passes while the engine was last seen well; a stale good answer is renewed beside the start, not before it. */
  async #assertUsable(): Promise<void> {
    const known = this.#probe;
    let answer: SandboxProbe;
    if (known?.answer.available === true) {
      answer = known.answer;
      if (this.#isStale(known)) void this.#refresh();
    } else {
      answer = await this.probe();
    }
    const remedy = answer.remedy === undefined ? {} : { remedy: answer.remedy };
    if (!answer.available) throw new SandboxError("sandbox.docker_required", "no strict sandbox answers", remedy);
    if (answer.weaknesses.length > 0 && this.#options.allowWeak !== true) {
      const missing = answer.weaknesses.map((weakness) => weakness.id);
      throw new SandboxError("sandbox.engine_weak", `the engine cannot enforce: ${missing.join(", ")}`, { details: { missing } });
    }
  }

  #isStale(known: { readonly answer: SandboxProbe; readonly at: number }): boolean {
    return this.#deps.clock.monotonic() - known.at > (known.answer.available ? PROBE_UP_MS : PROBE_DOWN_MS);
  }

  /** Asks the engine; callers at the same time share one question. */
  async #refresh(): Promise<SandboxProbe> {
    this.#probing ??= this.#ask().finally(() => {
      this.#probing = null;
    });
    return await this.#probing;
  }

  async #ask(): Promise<SandboxProbe> {
    const { images, engineSocket, ociRuntime } = this.#options;
    let answer: SandboxProbe;
    try {
      const [facts, found, runnerReadable] = await Promise.all([
        this.#engine.facts(),
        this.#images.look(),
        isRunnerReadable(this.#deps.runnerRoot),
      ]);
      answer = describeEngine(facts, found, { engineSocket, ociRuntime, runnerReadable });
    } catch (error) {
      answer = describeNoEngine(images, reasonOf(error));
    }
    const wasUp = this.#probe?.answer.available;
    if (wasUp !== undefined && wasUp !== answer.available) {
      this.#deps.logger.log("warn", answer.available ? "the Docker engine answers again" : "the Docker engine was lost");
    }
    this.#probe = { answer, at: this.#deps.clock.monotonic() };
    if (answer.available) void this.#removeOrphans();
    return answer;
  }

  #engineLost(): void {
    this.#probe = null;
    this.#deps.logger.log("warn", "the Docker engine was lost; its instances are given up");
  }

  /** What could not be removed while the engine was away. */
  async #removeOrphans(): Promise<void> {
    for (const id of [...this.#orphans]) {
      try {
        await this.#engine.remove(id);
        this.#orphans.delete(id);
      } catch {
        return;
      }
    }
  }

  async #held(): ReturnType<Engine["list"]> {
    try {
      const all = await this.#engine.list([`${LABEL.managed}=true`, `${LABEL.installation}=${this.#deps.installation}`]);
      return all.filter((container) => container.labels[LABEL.type] !== CAPABILITY_TYPE);
    } catch (error) {
      throw this.#startError(error, null);
    }
  }

  #isLive(instanceId: string): boolean {
    return this.#starting.has(instanceId) || this.#live.has(instanceId) || this.#jobs.has(instanceId);
  }

  async #sweepSockets(): Promise<void> {
    const names = await readdir(this.#sockets).catch(() => []);
    const leftovers = names.filter((name) => /^[0-9a-f]{32}$/u.test(name) && !this.#isLive(name));
    await Promise.all(leftovers.map((name) => rm(join(this.#sockets, name), { recursive: true, force: true })));
  }

  /** The engine's failure in the port's words. The engine's own text may hold host paths: it is only the cause. */
  #startError(error: unknown, runtime: Runtime | null): SandboxError {
    if (error instanceof SandboxError) {
      if (error.code !== "sandbox.image_missing" || runtime === null) return error;
      const ref = this.#options.images[runtime];
      const remedy = imageRemedy({ ref, imageId: null, present: false, moved: false, pinLost: false });
      return new SandboxError("sandbox.image_missing", `the image ${ref} is not there; it is never pulled by itself`, {
        remedy: error.remedy ?? remedy,
      });
    }
    if (error instanceof EngineError && error.failure === "gone") {
      this.#probe = null;
      const remedy = "start the Docker engine (tools/engine-up.sh)";
      return new SandboxError("sandbox.docker_required", "the Docker engine does not answer", { cause: error, remedy });
    }
    if (error instanceof EngineError && error.failure === "not_found" && runtime !== null && /no such image/iu.test(error.message)) {
      this.#images.forget(runtime);
      this.#probe = null;
      return new SandboxError("sandbox.image_missing", `the image pinned for ${this.#options.images[runtime]} is gone`, {
        cause: error,
        remedy: `rumi container pin ${this.#options.images[runtime]}`,
      });
    }
    return new SandboxError("sandbox.start_failed", "the engine did not start the container", { cause: error });
  }
}

function reasonOf(error: unknown): string {
  const code = (error as { cause?: { code?: string } }).cause?.code;
  return code ?? (error instanceof Error ? error.name : "unknown");
}
