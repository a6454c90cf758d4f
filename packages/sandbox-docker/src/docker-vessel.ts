import type { InstanceEnd, Vessel } from "@rumi/sandbox";
import type { ContainerBody } from "./container-body.ts";
import type { Engine } from "./engine.ts";
import { EngineError } from "./engine.ts";

/** How long after its runner's connection closed a container's end is waited for before it is killed. */
const EXIT_GRACE_MS = 2_000;

/** Exit code of a process ended by SIGKILL, as the engine gives it. */
const KILLED = 137;

/** How long a gap in the engine's answers is let pass before it is asked again. */
const GAP_MS = 50;

/** Everything a container is made from. */
export interface DockerVesselDeps {
  readonly engine: Engine;
  readonly name: string;
  /** The create call. @throws SandboxError `sandbox.start_failed` */
  readonly createBody: () => ContainerBody;
  /** The engine was lost while the container lived. */
  readonly onEngineLost: () => void;
  /** The container could not be removed (engine gone): somebody must later. */
  readonly onOrphan: (containerId: string) => void;
}

/** One container, from create to removal. */
export class DockerVessel implements Vessel {
  readonly #deps: DockerVesselDeps;
  readonly #ended = Promise.withResolvers<InstanceEnd>();
  readonly #watch = new AbortController();
  #creating: Promise<void> | null = null;
  #containerId: string | null = null;
  #isRemoved = false;

  constructor(deps: DockerVesselDeps) {
    this.#deps = deps;
  }

  get ended(): Promise<InstanceEnd> {
    return this.#ended.promise;
  }

  async launch(signal: AbortSignal | undefined): Promise<void> {
    const { engine } = this.#deps;
    this.#creating = this.#create();
    await this.#creating;
    signal?.throwIfAborted();
    const id = this.#containerId;
    if (id === null || this.#isRemoved) return;
    void this.#watchExit(id);
    await engine.start(id);
  }

  async explainLoss(): Promise<InstanceEnd> {
    const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), EXIT_GRACE_MS).unref());
    const end = await Promise.race([this.ended, late]);
    if (end !== null) return end;
    if (await this.#deps.engine.answers()) return { kind: "crashed", message: "the runner closed its connection" };
    return { kind: "instance_lost", message: "the engine was lost" };
  }

  async pause(): Promise<void> {
    if (this.#containerId !== null) await this.#deps.engine.pause(this.#containerId);
  }

  async resume(): Promise<void> {
    if (this.#containerId !== null) await this.#deps.engine.resume(this.#containerId);
  }

  async remove(): Promise<void> {
    const { engine, onOrphan } = this.#deps;
    this.#isRemoved = true;
    await this.#creating?.catch(() => {});
    const id = this.#containerId;
    if (id !== null) await engine.remove(id).catch(() => onOrphan(id));
    this.#watch.abort();
  }

  /** An engine that was lost while it was asked may have made the container: then its name stands for it. */
  async #create(): Promise<void> {
    const { engine, name, createBody } = this.#deps;
    try {
      this.#containerId = await engine.create(name, createBody());
    } catch (error) {
      if (error instanceof EngineError && error.failure === "gone") this.#containerId = name;
      throw error;
    }
  }

  /** Follows the container to its end; a lost engine ends it too, a short gap in the engine's answers does not. */
  async #watchExit(id: string): Promise<void> {
    const { engine, onEngineLost } = this.#deps;
    let exit = await engine.nextExit(id, this.#watch.signal);
    while (!this.#isRemoved) {
      if (exit.kind === "exited") {
        this.#ended.resolve(await this.#explainExit(id, exit.code));
        return;
      }
      if (!(await engine.answers())) {
        this.#ended.resolve({ kind: "instance_lost", message: "the engine was lost" });
        onEngineLost();
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, GAP_MS));
      exit = await engine.nextExit(id, this.#watch.signal, "not-running");
    }
  }

  async #explainExit(id: string, code: number): Promise<InstanceEnd> {
    return code === KILLED && (await this.#deps.engine.wasOomKilled(id))
      ? { kind: "oom_killed", message: "the container went over its memory limit" }
      : { kind: "crashed", message: `the container ended with exit code ${String(code)}` };
  }
}
