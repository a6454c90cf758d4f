import { isoTime } from "@rumi/core";
import type { Clock, Logger, PackId, Random } from "@rumi/core";
import { createJobBody } from "./container-body.ts";
import type { ContainerBody } from "./container-body.ts";
import { Engine, EngineError } from "./engine.ts";
import { KeptOutput } from "./kept-output.ts";
import { capabilityLabels, CAPABILITY_TYPE, LABEL } from "./labels.ts";
import { engineWeaknesses } from "./probe.ts";

/** Bytes kept of each stream. Source: page "Trust", section 8. */
const MAX_OUTPUT_BYTES = 1024 * 1024;
/** How long after a command's end its last output is waited for. */
const OUTPUT_GRACE_MS = 1_000;
/** Bytes of `/tmp` inside. Source: page "Execution", section 4. */
const TMP_BYTES = 64 * 1024 * 1024;
/** Ended containers whose output a principal can still read; older ones are forgotten. */
const MAX_ENDED = 10;
/** How long an answer about the engine's walls is kept. Source: page "Execution", section 3. */
const FACTS_MS = 60_000;
/** Names that are set already: an asked-for one is left out. */
const FIXED_ENV: ReadonlySet<string> = new Set(["PATH", "HOME", "TMPDIR", "LANG"]);

/** Why a container was not made, or is not there; `reason` is for operator and audit. */
export interface ContainerRefused {
  readonly ok: false;
  readonly fault: "docker_required" | "image_missing" | "container_limit" | "container_not_found" | "timeout" | "cancelled" | "failed";
  readonly reason: string;
}

/** One command in a container of its own. Sizes and counts are within their caps already; texts are pack-controlled. */
export interface ContainerRequest {
  readonly principal: PackId;
  readonly image: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly working_dir: string;
  readonly memory_bytes: number;
  readonly cpus: number;
  readonly pids: number;
  readonly timeout_ms: number;
  readonly max_containers: number;
}

/** How a command ended, with the first MiB of each stream. */
export interface CommandEnd {
  readonly exit_code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface DockerContainersDeps {
  /** Random id of this installation: what carries it is ours, anything else is left alone. */
  readonly installation: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface DockerContainersOptions {
  /** Path of the engine's socket. */
  readonly engineSocket: string;
  readonly ociRuntime?: string | undefined;
  /** Start on an engine with weaknesses all the same. Never set in strict mode. */
  readonly allowWeak?: boolean;
}

interface Held {
  readonly name: string;
  readonly principal: PackId;
  readonly image: string;
  readonly startedAt: number;
  readonly output: KeptOutput;
  /** Null until the engine has made it. */
  containerId: string | null;
  /** Resolves with its exit code, null when nobody can tell, once nothing of it is left. */
  readonly ended: Promise<number | null>;
  readonly settle: (exitCode: number | null) => void;
  exitCode: number | null;
  isRunning: boolean;
  /** Why it was ended from outside. */
  fate: "timeout" | "stopped" | null;
  end: (fate: "timeout" | "stopped") => void;
}

/**
 * Containers that packs ask for: the walls of an instance, no network, no mount, no pull. Each belongs to the principal that
 * made it and is absent for all others. They live as long as they run, at most their time limit, and never longer than this object.
 */
export class DockerContainers implements AsyncDisposable {
  readonly #deps: DockerContainersDeps;
  readonly #options: DockerContainersOptions;
  readonly #engine: Engine;
  /** By name, oldest first. */
  readonly #held = new Map<string, Held>();
  #facts: { readonly weak: readonly string[]; readonly at: number } | null = null;
  #closed = false;

  constructor(deps: DockerContainersDeps, options: DockerContainersOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#engine = new Engine(options.engineSocket.replace(/^unix:\/\//u, ""));
  }

  /** Runs to the end; nothing is left of it then. Never throws. */
  async run(
    request: ContainerRequest,
    signal: AbortSignal,
  ): Promise<({ readonly ok: true; readonly container_name: string } & CommandEnd) | ContainerRefused> {
    const held = await this.#launch(request, "first", signal);
    if ("ok" in held) return held;
    const stop = (): void => held.end("stopped");
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    const code = await held.ended;
    signal.removeEventListener("abort", stop);
    this.#held.delete(held.name);
    if (held.fate === "timeout") return refused("timeout", `${held.name} ran longer than ${request.timeout_ms} ms`);
    if (held.fate === "stopped") return refused("cancelled", `${held.name} was stopped, or cancelled with its caller`);
    if (code === null) return refused("failed", `the engine lost ${held.name}`);
    return {
      ok: true,
      container_name: held.name,
      exit_code: code,
      stdout: held.output.text("stdout"),
      stderr: held.output.text("stderr"),
    };
  }

  /** Starts it and returns. Never throws. */
  async start(request: ContainerRequest): Promise<{ readonly ok: true; readonly container_name: string } | ContainerRefused> {
    const held = await this.#launch(request, "newest", null);
    if ("ok" in held) return held;
    void held.ended.then(() => this.#forgetEnded(request.principal));
    return { ok: true, container_name: held.name };
  }

  /** Runs one more command in a running container. One that does not end in time takes the whole container with it. Never throws. */
  async exec(
    ask: { readonly principal: PackId; readonly container_name: string; readonly command: readonly string[]; readonly timeout_ms: number },
    signal: AbortSignal,
  ): Promise<({ readonly ok: true } & CommandEnd) | ContainerRefused> {
    const held = this.#own(ask.principal, ask.container_name);
    if (held === null || !held.isRunning || held.containerId === null) return notFound(ask.container_name);
    const over = Promise.withResolvers<"timeout" | "cancelled" | "gone">();
    const timer = setTimeout(() => over.resolve("timeout"), ask.timeout_ms);
    const cancel = (): void => over.resolve("cancelled");
    signal.addEventListener("abort", cancel, { once: true });
    if (signal.aborted) cancel();
    void held.ended.then(() => over.resolve("gone"));
    try {
      const output = new KeptOutput(MAX_OUTPUT_BYTES, "first", () => this.#deps.clock.now());
      const command = await this.#engine.exec(held.containerId, ask.command, output.sink("stdout"), output.sink("stderr"));
      const end = await Promise.race([command.ended.then(() => "done" as const), over.promise]);
      if (end === "timeout" || end === "cancelled") {
        // The engine cannot end one command: what it left running goes with its container.
        held.end(end === "timeout" ? "timeout" : "stopped");
        await held.ended;
        return refused(end, `a command in ${held.name} did not end in time`);
      }
      if (end === "gone") return refused("failed", `${held.name} ended while the command ran`);
      const code = await command.exitCode();
      if (code === null) return refused("failed", `the engine lost a command in ${held.name}`);
      return { ok: true, exit_code: code, stdout: output.text("stdout"), stderr: output.text("stderr") };
    } catch (cause) {
      return this.#refusalOf(cause);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
    }
  }

  /** Ends it; its output is forgotten. Never throws. */
  async stop(principal: PackId, name: string): Promise<{ readonly ok: true; readonly exit_code: number | null } | ContainerRefused> {
    const held = this.#own(principal, name);
    if (held === null) return notFound(name);
    held.end("stopped");
    const code = await held.ended;
    this.#held.delete(name);
    return { ok: true, exit_code: code };
  }

  /** What a started one has printed, the newest MiB of each stream. */
  logs(
    principal: PackId,
    name: string,
    range: { readonly tail: number; readonly sinceMs: number },
  ): { readonly ok: true; readonly stdout: string; readonly stderr: string } | ContainerRefused {
    const held = this.#own(principal, name);
    if (held === null) return notFound(name);
    return { ok: true, stdout: held.output.text("stdout", range), stderr: held.output.text("stderr", range) };
  }

  /** The principal's own, oldest first. */
  list(principal: PackId): readonly {
    readonly container_name: string;
    readonly image: string;
    readonly status: "running" | "exited";
    readonly exit_code: number | null;
    readonly started_at: string;
  }[] {
    return [...this.#held.values()]
      .filter((held) => held.principal === principal)
      .map((held) => ({
        container_name: held.name,
        image: held.image,
        status: held.isRunning ? "running" : "exited",
        exit_code: held.exitCode,
        started_at: isoTime(held.startedAt),
      }));
  }

  /** Ends everything of a principal: its pack may not run any more, or its grant is gone. Resolves with the count when all are gone. */
  async removeOf(principal: PackId): Promise<number> {
    const own = [...this.#held.values()].filter((held) => held.principal === principal);
    await Promise.all(own.map((held) => this.stop(principal, held.name)));
    return own.length;
  }

  /** Removes containers of this installation that no object of this process holds. Returns the count; 0 when the engine does not answer. */
  async sweep(): Promise<number> {
    try {
      const found = await this.#engine.list([
        `${LABEL.managed}=true`,
        `${LABEL.installation}=${this.#deps.installation}`,
        `${LABEL.type}=${CAPABILITY_TYPE}`,
      ]);
      const strangers = found.filter((container) => this.#held.get(container.labels[LABEL.instance] ?? "")?.isRunning !== true);
      await Promise.all(strangers.map(({ id }) => this.#engine.remove(id)));
      return strangers.length;
    } catch (cause) {
      this.#deps.logger.log("debug", "containers of packs could not be swept", { error: String(cause) });
      return 0;
    }
  }

  /** Ends all of them and makes no further one. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#held.values()].map((held) => this.stop(held.principal, held.name)));
  }

  async #launch(request: ContainerRequest, keep: "first" | "newest", signal: AbortSignal | null): Promise<Held | ContainerRefused> {
    if (this.#closed) return refused("cancelled", "the daemon is stopping");
    const running = [...this.#held.values()].filter((held) => held.principal === request.principal && held.isRunning).length;
    if (running >= request.max_containers) return refused("container_limit", `${running} containers of ${request.principal} are running`);
    const held = this.#reserve(request, keep);
    try {
      const missing = await this.#refuseEngine();
      const image = missing === null ? await this.#engine.image(request.image) : null;
      const isLate = signal?.aborted === true || held.fate !== null;
      if (missing !== null || image === null || isLate) {
        this.#drop(held);
        if (isLate) return refused("cancelled", "cancelled before it was started");
        return missing ?? refused("image_missing", `there is no image ${request.image} here`);
      }
      // Not given up half way: the engine may make a container whose creation nobody waits for.
      held.containerId = await this.#engine.create(held.name, this.#body(held.name, request, image));
      await this.#begin(held, held.containerId, request.timeout_ms);
      return held;
    } catch (cause) {
      await this.#remove(held.containerId ?? held.name);
      this.#drop(held);
      if (signal?.aborted === true) return refused("cancelled", "cancelled before it was started");
      return this.#refusalOf(cause);
    }
  }

  /** Counts from here on, before anything is awaited: no two calls take the last place. */
  #reserve(request: ContainerRequest, keep: "first" | "newest"): Held {
    const ended = Promise.withResolvers<number | null>();
    const held: Held = {
      name: `rumi-cap-${this.#deps.random.hex(6)}`,
      principal: request.principal,
      image: request.image,
      startedAt: this.#deps.clock.now(),
      output: new KeptOutput(MAX_OUTPUT_BYTES, keep, () => this.#deps.clock.now()),
      containerId: null,
      ended: ended.promise,
      settle: (exitCode) => {
        held.exitCode = exitCode;
        held.isRunning = false;
        ended.resolve(exitCode);
      },
      exitCode: null,
      isRunning: true,
      fate: null,
      end: (fate) => {
        held.fate ??= fate;
      },
    };
    this.#held.set(held.name, held);
    return held;
  }

  /** @throws EngineError */
  async #begin(held: Held, containerId: string, timeoutMs: number): Promise<void> {
    const output = await this.#engine.attach(containerId);
    const drained = new Promise<void>((resolve) => {
      output
        .on("end", resolve)
        .on("close", resolve)
        .on("error", () => resolve());
    });
    this.#engine.demux(output, held.output.sink("stdout"), held.output.sink("stderr"));
    const watch = new AbortController();
    const exit = this.#engine.nextExit(containerId, watch.signal);
    const cut = Promise.withResolvers<void>();
    held.end = (fate) => {
      if (!held.isRunning) return;
      held.fate ??= fate;
      cut.resolve();
    };
    await this.#engine.start(containerId);
    const timer = setTimeout(() => held.end("timeout"), timeoutMs);
    void (async () => {
      const end = await Promise.race([exit, cut.promise.then(() => null)]);
      clearTimeout(timer);
      if (end !== null) await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, OUTPUT_GRACE_MS))]);
      await this.#remove(containerId);
      watch.abort();
      held.settle(end?.kind === "exited" ? end.code : null);
    })();
    // Ended while it was being made.
    if (held.fate !== null) cut.resolve();
  }

  #body(name: string, request: ContainerRequest, image: { readonly id: string; readonly envNames: readonly string[] }): ContainerBody {
    const env = Object.fromEntries(Object.entries(request.env).filter(([key]) => !FIXED_ENV.has(key)));
    const body = createJobBody(
      {
        job_id: name,
        image: request.image,
        argv: request.command,
        mounts: [],
        env,
        working_dir: request.working_dir,
        limits: { memory_bytes: request.memory_bytes, cpus: request.cpus, pids: request.pids, tmp_bytes: TMP_BYTES },
        timeout_ms: request.timeout_ms,
        max_output_bytes: MAX_OUTPUT_BYTES,
        labels: {},
      },
      {
        installation: this.#deps.installation,
        imageId: image.id,
        imageEnvNames: image.envNames,
        ociRuntime: this.#options.ociRuntime,
        socketGids: [],
      },
    );
    return { ...body, Labels: capabilityLabels(name, request.principal, this.#deps.installation) };
  }

  /** Null when the engine answers and has every wall. */
  async #refuseEngine(): Promise<ContainerRefused | null> {
    const now = this.#deps.clock.monotonic();
    if (this.#facts === null || now - this.#facts.at > FACTS_MS) {
      const facts = await this.#engine.facts();
      this.#facts = { weak: engineWeaknesses(facts, this.#options.engineSocket).map((weakness) => weakness.id), at: now };
    }
    const { weak } = this.#facts;
    if (weak.length === 0 || this.#options.allowWeak === true) return null;
    return refused("docker_required", `the engine cannot enforce: ${weak.join(", ")}`);
  }

  #own(principal: PackId, name: string): Held | null {
    const held = this.#held.get(name);
    return held?.principal === principal ? held : null;
  }

  #drop(held: Held): void {
    held.settle(null);
    this.#held.delete(held.name);
  }

  #forgetEnded(principal: PackId): void {
    const ended = [...this.#held.values()].filter((held) => held.principal === principal && !held.isRunning);
    for (const held of ended.slice(0, Math.max(0, ended.length - MAX_ENDED))) this.#held.delete(held.name);
  }

  async #remove(containerId: string): Promise<void> {
    await this.#engine.remove(containerId).catch((cause: unknown) => {
      this.#deps.logger.log("warn", "a container of a pack could not be removed; the next sweep tries again", { error: String(cause) });
    });
  }

  /** The engine's own text may hold host paths: it is read, and told in words of ours. */
  #refusalOf(cause: unknown): ContainerRefused {
    if (!(cause instanceof EngineError)) {
      this.#deps.logger.log("error", "a container of a pack failed inside", { error: String(cause) });
      return refused("failed", "it failed inside the daemon");
    }
    if (cause.failure === "gone") {
      this.#facts = null;
      return refused("docker_required", "the Docker engine does not answer");
    }
    const isMissing = /no such file or directory|executable file not found/iu.test(cause.message);
    return refused("failed", isMissing ? "the image holds no such program or folder" : `the engine refused it (${cause.failure})`);
  }
}

function refused(fault: ContainerRefused["fault"], reason: string): ContainerRefused {
  return { ok: false, fault, reason };
}

function notFound(name: string): ContainerRefused {
  return refused("container_not_found", `the principal has no container ${name.slice(0, 64)}`);
}
