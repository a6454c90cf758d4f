import type { IncomingMessage } from "node:http";
import Docker from "dockerode";
import type { ContainerBody } from "./container-body.ts";

/** Newest API version this adapter was written for; an older engine's own version is used instead. */
const NEWEST_API = "1.47";

/** How long the engine may take for one answer before it counts as gone. Starts under load take a second or two. */
const ANSWER_TIMEOUT_MS = 20_000;

/** Why the engine did not do it. */
export type EngineFailure = "gone" | "not_found" | "conflict" | "refused";

/** An engine that did not do what it was asked. */
export class EngineError extends Error {
  readonly failure: EngineFailure;

  constructor(failure: EngineFailure, message: string, cause: unknown) {
    super(message, { cause });
    this.name = "EngineError";
    this.failure = failure;
  }
}

/** How a container ended: its exit code, or that the engine can no longer tell. */
export type ContainerExit = { readonly kind: "exited"; readonly code: number } | { readonly kind: "unknown" };

/** Facts of the engine that matter here, asked once per probe. */
export interface EngineFacts {
  readonly version: string;
  readonly api: string;
  readonly runc: string | null;
  readonly operatingSystem: string;
  readonly seccomp: boolean;
  readonly memoryLimit: boolean;
  readonly swapLimit: boolean;
  readonly pidsLimit: boolean;
  readonly defaultRuntime: string;
  readonly runtimes: readonly string[];
}

/** One image as the engine has it. */
export interface EngineImage {
  readonly id: string;
  readonly envNames: readonly string[];
}

/** One of our containers as the engine lists it. */
export interface EngineContainer {
  readonly id: string;
  readonly state: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdMs: number;
}

interface VersionAnswer {
  readonly Version?: string;
  readonly ApiVersion?: string;
  readonly MinAPIVersion?: string;
  readonly Components?: readonly { readonly Name: string; readonly Version: string }[];
}

interface InfoAnswer {
  readonly OperatingSystem?: string;
  readonly SecurityOptions?: readonly string[] | null;
  readonly MemoryLimit?: boolean;
  readonly SwapLimit?: boolean;
  readonly PidsLimit?: boolean;
  readonly DefaultRuntime?: string;
  readonly Runtimes?: Readonly<Record<string, unknown>>;
}

/** The few questions this adapter asks a Docker engine, each bounded in time and with its failures told apart. */
export class Engine {
  readonly #options: Docker.DockerOptions;
  #docker: Docker;

  constructor(socketPath: string) {
    // The members set to undefined keep dockerode from taking another engine out of DOCKER_HOST.
    this.#options = {
      socketPath,
      protocol: "http",
      host: undefined,
      port: undefined,
      ca: undefined,
      cert: undefined,
      key: undefined,
      timeout: undefined,
    };
    this.#docker = new Docker(this.#options);
  }

  /** Facts of the engine; settles the API version for what follows. @throws EngineError */
  async facts(): Promise<EngineFacts> {
    const plain = new Docker(this.#options);
    const [version, info] = await Promise.all([
      bounded(plain.version() as Promise<VersionAnswer>),
      bounded(plain.info() as Promise<InfoAnswer>),
    ]);
    const api = negotiate(version.ApiVersion ?? NEWEST_API, version.MinAPIVersion ?? "1.24");
    this.#docker = new Docker({ ...this.#options, version: `v${api}` });
    return {
      version: version.Version ?? "unknown",
      api,
      runc: version.Components?.find((component) => component.Name === "runc")?.Version ?? null,
      operatingSystem: info.OperatingSystem ?? "unknown",
      seccomp: (info.SecurityOptions ?? []).some((option) => option.startsWith("name=seccomp")),
      memoryLimit: info.MemoryLimit ?? false,
      swapLimit: info.SwapLimit ?? false,
      pidsLimit: info.PidsLimit ?? false,
      defaultRuntime: info.DefaultRuntime ?? "runc",
      runtimes: Object.keys(info.Runtimes ?? {}),
    };
  }

  /** True when the engine answers now. */
  async answers(): Promise<boolean> {
    try {
      await bounded(this.#docker.ping(), 2_000);
      return true;
    } catch {
      return false;
    }
  }

  /** The image behind a name or id, or null. @throws EngineError */
  async image(ref: string): Promise<EngineImage | null> {
    try {
      const found = await bounded(this.#docker.getImage(ref).inspect());
      return { id: found.Id, envNames: (found.Config.Env ?? []).map((entry) => entry.split("=", 1)[0] ?? "") };
    } catch (error) {
      if (error instanceof EngineError && error.failure === "not_found") return null;
      throw error;
    }
  }

  /** Makes a container and gives its id. @throws EngineError */
  async create(name: string, body: ContainerBody, signal?: AbortSignal): Promise<string> {
    // `_query` and `_body` keep dockerode from writing the whole body into the URL as well.
    const options = { _query: { name }, _body: body, ...(signal === undefined ? {} : { abortSignal: signal }) };
    const container = await bounded(this.#docker.createContainer(options as Docker.ContainerCreateOptions));
    return container.id;
  }

  /** @throws EngineError */
  async start(id: string): Promise<void> {
    await bounded(this.#docker.getContainer(id).start());
  }

  /** Kills and removes. One that is already gone is fine. @throws EngineError */
  async remove(id: string): Promise<void> {
    try {
      await bounded(this.#docker.getContainer(id).remove({ force: true, v: true }));
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      if (error.failure === "not_found") return;
      if (error.failure === "conflict" || /already in progress/u.test(error.message)) return await this.#untilGone(id);
      throw error;
    }
  }

  /** @throws EngineError */
  async kill(id: string): Promise<void> {
    await bounded(this.#docker.getContainer(id).kill({ signal: "KILL" }));
  }

  /** @throws EngineError */
  async pause(id: string): Promise<void> {
    await bounded(this.#docker.getContainer(id).pause());
  }

  /** @throws EngineError */
  async resume(id: string): Promise<void> {
    await bounded(this.#docker.getContainer(id).unpause());
  }

  /** True when the container's init process was killed for memory, false when not or when nobody can tell. */
  async wasOomKilled(id: string): Promise<boolean> {
    try {
      return (await bounded(this.#docker.getContainer(id).inspect())).State.OOMKilled;
    } catch {
      return false;
    }
  }

  /** Containers with all these labels, running or not. @throws EngineError */
  async list(labels: readonly string[]): Promise<readonly EngineContainer[]> {
    const found = await bounded(this.#docker.listContainers({ all: true, filters: { label: [...labels] } }));
    return found.map((entry) => ({
      id: entry.Id,
      state: entry.State,
      labels: entry.Labels,
      createdMs: entry.Created * 1000,
    }));
  }

  /** Memory a running container holds, without file cache; null when unknown. */
  async memoryBytes(id: string): Promise<number | null> {
    try {
      const stats = await bounded(this.#docker.getContainer(id).stats({ stream: false, "one-shot": true }), 5_000);
      const memory = stats.memory_stats as { usage?: number; stats?: Record<string, number> };
      if (memory.usage === undefined) return null;
      const cache = memory.stats?.["total_inactive_file"] ?? memory.stats?.["inactive_file"] ?? 0;
      return Math.max(0, memory.usage - cache);
    } catch {
      return null;
    }
  }

  /** The stream of an attached container: stdout and stderr, multiplexed. @throws EngineError */
  async attach(id: string): Promise<NodeJS.ReadWriteStream> {
    return await bounded(this.#docker.getContainer(id).attach({ stream: true, stdout: true, stderr: true }));
  }

  /** Runs one more command in a running container, as its user, with its walls. Its output goes to the two streams. @throws EngineError */
  async exec(
    id: string,
    command: readonly string[],
    stdout: NodeJS.WritableStream,
    stderr: NodeJS.WritableStream,
  ): Promise<{
    /** Resolves when its output has ended; never rejects. */ readonly ended: Promise<void>;
    exitCode(): Promise<number | null>;
  }> {
    const made = await bounded(
      this.#docker.getContainer(id).exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true, Tty: false, Privileged: false }),
    );
    const output = await bounded(made.start({ Detach: false, Tty: false }));
    this.demux(output, stdout, stderr);
    const ended = new Promise<void>((resolve) => {
      output
        .on("end", resolve)
        .on("close", resolve)
        .on("error", () => resolve());
    });
    return { ended, exitCode: async () => (await bounded(made.inspect())).ExitCode };
  }

  /** Splits an attached stream. */
  demux(stream: NodeJS.ReadableStream, stdout: NodeJS.WritableStream, stderr: NodeJS.WritableStream): void {
    (this.#docker.modem as { demuxStream(a: unknown, b: unknown, c: unknown): void }).demuxStream(stream, stdout, stderr);
  }

  /**
   * Resolves when the container ends next. Asked before or right after its start; never rejects.
   * A lost connection is an answer too (`unknown`), which dockerode's own `wait` would wait for without end.
   */
  nextExit(id: string, signal: AbortSignal, condition: "next-exit" | "not-running" = "next-exit"): Promise<ContainerExit> {
    const exit = Promise.withResolvers<ContainerExit>();
    const unknown = (): void => exit.resolve({ kind: "unknown" });
    const modem = this.#docker.modem as { dial(options: object, done: (error: unknown, answer: unknown) => void): void };
    modem.dial(
      {
        path: `/containers/${id}/wait?`,
        method: "POST",
        options: { _query: { condition }, _body: {} },
        isStream: true,
        statusCodes: { 200: true, 400: "bad parameter", 404: "no such container", 500: "server error" },
        abortSignal: signal,
      },
      (error, answer) => {
        if (error !== null && error !== undefined) {
          unknown();
          return;
        }
        const response = answer as IncomingMessage;
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("error", unknown);
        response.on("close", unknown);
        response.on("end", () => {
          const found = /"StatusCode":\s*(\d+)/u.exec(text);
          exit.resolve(found === null ? { kind: "unknown" } : { kind: "exited", code: Number(found[1]) });
        });
      },
    );
    return exit.promise;
  }

  /** Waits for a removal somebody else began. */
  async #untilGone(id: string): Promise<void> {
    for (let attempt = 0; attempt < 100; attempt += 1) {
      try {
        await bounded(this.#docker.getContainer(id).inspect());
      } catch (error) {
        if (error instanceof EngineError && error.failure === "not_found") return;
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new EngineError("refused", "the engine does not finish a removal", null);
  }
}

/** The newest version both sides know; an engine that is too new for us is asked in its own oldest. */
export function negotiate(engineApi: string, engineMinApi: string): string {
  if (compareVersions(engineApi, NEWEST_API) <= 0) return engineApi;
  return compareVersions(engineMinApi, NEWEST_API) > 0 ? engineMinApi : NEWEST_API;
}

function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split(".").map(Number);
  const [majorB = 0, minorB = 0] = b.split(".").map(Number);
  return majorA - majorB || minorA - minorB;
}

async function bounded<T>(answer: Promise<T>, timeoutMs = ANSWER_TIMEOUT_MS): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new EngineError("gone", `the engine did not answer in ${String(timeoutMs)} ms`, null));
  }, timeoutMs);
  try {
    return await Promise.race([answer, late.promise]);
  } catch (error) {
    throw asEngineError(error);
  } finally {
    clearTimeout(timer);
  }
}

function asEngineError(error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const status = (error as { statusCode?: number }).statusCode;
  const message = error instanceof Error ? error.message.trim() : "unknown engine error";
  if (status === undefined) return new EngineError("gone", message, error);
  if (status === 404) return new EngineError("not_found", message, error);
  if (status === 409) return new EngineError("conflict", message, error);
  return new EngineError("refused", message, error);
}
