import { access, lstat, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Logger } from "@rumi/core";
import type {
  HeldInstance,
  Instance,
  InstanceSpec,
  JobResult,
  Mount,
  RunResult,
  RunSpec,
  Runtime,
  RuntimeImage,
  Sandbox,
  SandboxProbe,
} from "@rumi/sandbox";
import { checkMounts, InstanceSockets, isRunnerReadable, ownInstance, SandboxError, SOCKET_TARGET, VesselInstance } from "@rumi/sandbox";
import { BubblewrapVessel, launch } from "./bubblewrap-vessel.ts";
import { findCgroups, ownCgroup } from "./find-cgroups.ts";
import { readHostFacts } from "./host-facts.ts";
import type { HostFacts } from "./host-facts.ts";
import { InterpreterRoots } from "./interpreter-roots.ts";
import { createLaunch, createTrial } from "./launch.ts";
import { CGROUP_ROOT } from "./ports.ts";
import type { Cgroups } from "./ports.ts";
import { describeBubblewrap } from "./probe.ts";
import { seccompProgram } from "./seccomp.ts";

/** How long an answer is kept. Source: page "Execution", section 3. */
const PROBE_UP_MS = 60_000;
const PROBE_DOWN_MS = 5_000;

/** Longest trial of an empty sandbox. */
const TRIAL_MS = 10_000;

/** Characters of an installation's id in the socket folder's name: socket paths are short. */
const INSTALLATION_CHARS = 8;

const INSTANCE_ID = /^[0-9a-f]{32}$/u;

export interface BubblewrapSandboxDeps {
  /** Random id of this installation: what carries it is ours, anything else is left alone. */
  readonly installation: string;
  /** Absolute folder for sockets; one of our own is made below it. */
  readonly socketBase: string;
  readonly runnerRoot: string;
  /** The roots are unpacked under `runtime/roots` of it. */
  readonly userData: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface BubblewrapSandboxOptions {
  /** Name or path of bubblewrap. */
  readonly bwrap?: string;
  /** The host's interpreters; absent: the distribution's `python3`, and the Node that runs the daemon. */
  readonly interpreters?: Partial<Readonly<Record<Runtime, string>>>;
  /** Group of the sockets, given to the user inside as well where the daemon is root. */
  readonly socketGid?: number | undefined;
  readonly socketMode?: 0o660 | 0o666;
  /** Further groups of the user inside: those of the instances' other sockets. */
  readonly extraGids?: readonly number[];
  /** Where the kernel shows its control groups. */
  readonly cgroupRoot?: string;
  /** Start on a machine with weaknesses all the same. Never set in strict mode. */
  readonly allowWeak?: boolean;
}

interface Known {
  readonly answer: SandboxProbe;
  readonly host: HostFacts;
  readonly cgroups: Cgroups;
  readonly at: number;
}

/** Gives a safe run through bubblewrap, without a daemon: one set of namespaces and one control group per instance. */
export class BubblewrapSandbox implements Sandbox {
  readonly #deps: BubblewrapSandboxDeps;
  readonly #options: BubblewrapSandboxOptions;
  readonly #interpreters: Readonly<Record<Runtime, string>>;
  readonly #roots: InterpreterRoots;
  readonly #sockets: string;
  readonly #stage: string;
  readonly #isRoot: boolean;
  readonly #starting = new Set<string>();
  readonly #live = new Map<string, VesselInstance<BubblewrapVessel>>();
  #known: Known | null = null;
  #probing: Promise<Known> | null = null;
  #cgroups: Promise<Cgroups> | null = null;

  constructor(deps: BubblewrapSandboxDeps, options: BubblewrapSandboxOptions = {}) {
    this.#deps = deps;
    this.#options = options;
    this.#interpreters = { python: "/usr/bin/python3", node: process.execPath, ...options.interpreters };
    const folder = join(deps.userData, "runtime", "roots");
    this.#roots = new InterpreterRoots({ folder, interpreters: this.#interpreters, logger: deps.logger });
    this.#sockets = join(deps.socketBase, deps.installation.slice(0, INSTALLATION_CHARS));
    this.#stage = join(this.#sockets, "stage");
    this.#isRoot = process.getuid?.() === 0;
  }

  async probe(options: { readonly fresh?: boolean; readonly signal?: AbortSignal } = {}): Promise<SandboxProbe> {
    const known = this.#known;
    if (options.fresh !== true && known !== null && !this.#isStale(known)) return known.answer;
    return (await this.#refresh()).answer;
  }

  /**
   * Unpacks or verifies the roots ahead of the first start, which otherwise does it.
   * @throws SandboxError `sandbox.image_missing`
   */
  async prepare(runtimes: readonly Runtime[] = ["python", "node"]): Promise<void> {
    for (const runtime of runtimes) await this.#roots.use(runtime);
  }

  async start(spec: InstanceSpec, signal?: AbortSignal): Promise<Instance> {
    if (!INSTANCE_ID.test(spec.instance_id)) throw new SandboxError("sandbox.start_failed", "an instance id is 32 hex digits");
    if (this.#starting.has(spec.instance_id) || this.#live.has(spec.instance_id)) {
      throw new SandboxError("sandbox.start_failed", "an instance of this id exists already");
    }
    this.#starting.add(spec.instance_id);
    try {
      const known = await this.#assertUsable();
      const instance = await this.#startInstance(spec, known, signal);
      this.#live.set(spec.instance_id, instance);
      void instance.gone.then(() => instance.removed).then(() => this.#live.delete(spec.instance_id));
      return instance;
    } finally {
      this.#starting.delete(spec.instance_id);
    }
  }

  async run(instance: Instance, spec: RunSpec, signal?: AbortSignal): Promise<RunResult> {
    return await ownInstance(instance, BubblewrapVessel).run(spec, signal);
  }

  async pause(instance: Instance): Promise<void> {
    await ownInstance(instance, BubblewrapVessel).pause();
  }

  async resume(instance: Instance): Promise<void> {
    await ownInstance(instance, BubblewrapVessel).resume();
  }

  async stop(instance: Instance): Promise<void> {
    await ownInstance(instance, BubblewrapVessel).stop();
  }

  /** @throws SandboxError `sandbox.docker_required`: commands in images need an engine */
  job(): Promise<JobResult> {
    const remedy = "start a Docker engine (tools/engine-up.sh installs and starts one)";
    return Promise.reject(new SandboxError("sandbox.docker_required", "jobs need a Docker engine", { remedy }));
  }

  async list(): Promise<readonly HeldInstance[]> {
    const { installation } = this.#deps;
    const live = [...this.#live.values()].map(async (instance): Promise<HeldInstance> => ({
      id: instance.spec.instance_id,
      instance_id: instance.spec.instance_id,
      installation,
      pack_id: instance.spec.pack_id,
      digest: instance.spec.digest,
      runtime: instance.spec.runtime,
      state: instance.paused ? "paused" : "running",
      memory_bytes: await instance.vessel.memoryBytes(),
      started_at: instance.started_at,
    }));
    const unknown = { installation, pack_id: "", digest: "", runtime: "", state: "left", started_at: null };
    const cgroups = await this.#groups();
    const left = (await this.#left(cgroups)).map(async (id): Promise<HeldInstance> => ({
      id,
      instance_id: id,
      ...unknown,
      memory_bytes: await cgroups.open(id).memoryBytes(),
    }));
    return await Promise.all([...live, ...left]);
  }

  async sweep(): Promise<number> {
    const cgroups = await this.#groups();
    const left = await this.#left(cgroups);
    const removed = await Promise.all(left.map((id) => cgroups.open(id).remove()));
    const names = await readdir(this.#sockets).catch(() => []);
    const sockets = names.filter((name) => INSTANCE_ID.test(name) && !this.#isLive(name));
    await Promise.all(sockets.map((name) => rm(join(this.#sockets, name), { recursive: true, force: true })));
    return removed.filter(Boolean).length;
  }

  /** Stops every instance of this process. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#live.values()].map((instance) => instance.stop()));
    await (await this.#cgroups)?.[Symbol.asyncDispose]();
    await rm(this.#sockets, { recursive: true, force: true }).catch(() => {});
  }

  async #startInstance(spec: InstanceSpec, known: Known, signal: AbortSignal | undefined): Promise<VesselInstance<BubblewrapVessel>> {
    const socketMounts = Object.entries(spec.sockets).map(([name, source]): Mount => ({
      source,
      target: `${SOCKET_TARGET}/${name}`,
      read_only: true,
    }));
    const { userData, socketBase, runnerRoot, clock, logger } = this.#deps;
    const seccomp = seccompProgram();
    if (seccomp === null) throw new SandboxError("sandbox.engine_weak", "there is no filter program for this machine");
    const [root, fileSources] = await Promise.all([
      this.#roots.use(spec.runtime),
      fileSourcesOf(spec.mounts),
      this.#makeFolders(),
      checkMounts([...spec.mounts, ...socketMounts], {
        userData,
        enginePaths: [],
        socketBases: [socketBase],
        ownSocketFolders: Object.values(spec.sockets),
        purpose: spec.purpose,
      }),
    ]);
    const { socketGid, socketMode, extraGids = [] } = this.#options;
    const sockets = await InstanceSockets.create(this.#sockets, spec.instance_id, {
      ...(socketGid === undefined ? {} : { gid: socketGid }),
      ...(socketMode === undefined ? {} : { mode: socketMode }),
    });
    let cgroup;
    let command;
    try {
      cgroup = await known.cgroups.create(spec.instance_id, spec.limits);
      const place = {
        stage: this.#stage,
        root: root.folder,
        runnerRoot,
        runnerSockets: sockets.folder,
        socketGids: [...new Set(socketGid === undefined ? extraGids : [socketGid, ...extraGids])],
        cgroup,
        fileSources,
      };
      command = createLaunch(spec, place, known.host.host);
    } catch (cause) {
      await Promise.all([cgroup?.remove(), sockets[Symbol.asyncDispose]()]);
      if (cause instanceof SandboxError) throw cause;
      throw new SandboxError("sandbox.start_failed", "the sandbox's control group could not be made", { cause });
    }
    const onWords = (words: string): void => logger.log("debug", "a sandbox ended by itself", { said: words });
    try {
      const vessel = new BubblewrapVessel({ command, seccomp, cgroup, onWords });
      return await VesselInstance.start({ clock, spec, sockets, vessel }, signal);
    } catch (cause) {
      if (cause instanceof SandboxError) throw cause;
      throw new SandboxError("sandbox.start_failed", "the sandbox did not start", { cause });
    }
  }

  /** Passes while the machine was last seen well; a stale good answer is renewed beside the start, not before it. */
  async #assertUsable(): Promise<Known> {
    let known = this.#known;
    if (known === null || !known.answer.available)
      known = await (this.#known !== null && !this.#isStale(this.#known) ? this.#known : this.#refresh());
    else if (this.#isStale(known)) void this.#refresh();
    const { answer } = known;
    const remedy = answer.remedy === undefined ? {} : { remedy: answer.remedy };
    if (!answer.available) throw new SandboxError("sandbox.docker_required", "no strict sandbox answers", remedy);
    if (answer.weaknesses.length > 0 && this.#options.allowWeak !== true) {
      const missing = answer.weaknesses.map((weakness) => weakness.id);
      throw new SandboxError("sandbox.engine_weak", `this machine cannot enforce: ${missing.join(", ")}`, {
        details: { missing },
        ...remedy,
      });
    }
    return known;
  }

  #isStale(known: Known): boolean {
    return this.#deps.clock.monotonic() - known.at > (known.answer.available ? PROBE_UP_MS : PROBE_DOWN_MS);
  }

  /** Looks at the machine; callers at the same time share one look. */
  async #refresh(): Promise<Known> {
    this.#probing ??= this.#ask().finally(() => {
      this.#probing = null;
    });
    return await this.#probing;
  }

  async #ask(): Promise<Known> {
    const [host, cgroups, runnerReadable, python, node] = await Promise.all([
      readHostFacts(this.#options.bwrap ?? "bwrap", this.#isRoot),
      this.#groups(),
      isRunnerReadable(this.#deps.runnerRoot),
      this.#image("python"),
      this.#image("node"),
    ]);
    const trial = host.version === null ? "" : await this.#try(host).catch((error: unknown) => String(error));
    const hasFilter = seccompProgram() !== null;
    const answer = describeBubblewrap({ host, trial, cgroups, hasFilter, runnerReadable, runtimes: { python, node } });
    if (trial !== null && trial !== "") this.#deps.logger.log("debug", "bubblewrap's trial failed", { said: trial });
    const known = { answer, host, cgroups, at: this.#deps.clock.monotonic() };
    this.#known = known;
    return known;
  }

  async #groups(): Promise<Cgroups> {
    this.#cgroups ??= (async () =>
      await findCgroups({
        root: this.#options.cgroupRoot ?? CGROUP_ROOT,
        installation: this.#deps.installation,
        own: await ownCgroup(),
        user: this.#isRoot ? null : (process.getuid?.() ?? null),
      }))();
    return await this.#cgroups;
  }

  /** Null when an empty sandbox comes up with every wall; else what was said. */
  async #try(host: HostFacts): Promise<string | null> {
    await this.#makeFolders();
    // Without a group: what is missing of those is told apart.
    const cgroup = { joinFiles: [], prefix: [], oomCounter: null };
    const { child, words } = launch(createTrial({ stage: this.#stage, cgroup }, host.host), seccompProgram() ?? new Uint8Array());
    return await new Promise((resolve) => {
      const timer = setTimeout(() => child.kill("SIGKILL"), TRIAL_MS);
      child.once("error", (error) => resolve(error.message));
      child.once("close", (code) => {
        clearTimeout(timer);
        resolve(code === 0 ? null : `exit code ${String(code)}: ${words()}`);
      });
    });
  }

  async #image(runtime: Runtime): Promise<RuntimeImage> {
    const ref = this.#interpreters[runtime];
    const present = await access(ref).then(
      () => true,
      () => false,
    );
    return { ref, image_id: await this.#roots.look(runtime), present };
  }

  async #makeFolders(): Promise<void> {
    await mkdir(this.#sockets, { recursive: true, mode: 0o700 });
    await mkdir(this.#stage, { recursive: true, mode: 0o700 });
  }

  async #left(cgroups: Cgroups): Promise<string[]> {
    return (await cgroups.held()).filter((id) => !this.#isLive(id));
  }

  #isLive(instanceId: string): boolean {
    return this.#starting.has(instanceId) || this.#live.has(instanceId);
  }
}

async function fileSourcesOf(mounts: readonly Mount[]): Promise<ReadonlySet<string>> {
  const kinds = await Promise.all(
    mounts.map(async ({ source }) => ((await lstat(source).catch(() => null))?.isFile() === true ? source : null)),
  );
  return new Set(kinds.filter((source) => source !== null));
}
