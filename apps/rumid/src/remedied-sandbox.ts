import type { HeldInstance, Instance, InstanceSpec, JobResult, JobSpec, RunResult, RunSpec, Sandbox, SandboxProbe } from "@rumi/sandbox";

/** Another sandbox, which names `remedy` while it does not answer. */
export class RemediedSandbox implements Sandbox {
  readonly #inner: Sandbox;
  readonly #remedy: string;
  #last: { readonly of: SandboxProbe; readonly told: SandboxProbe } | null = null;

  constructor(inner: Sandbox, remedy: string) {
    this.#inner = inner;
    this.#remedy = remedy;
  }

  async probe(options?: { readonly fresh?: boolean; readonly signal?: AbortSignal }): Promise<SandboxProbe> {
    const of = await this.#inner.probe(options);
    // The same answer stays the same object: whoever watches sees that nothing changed.
    if (this.#last?.of !== of) this.#last = { of, told: of.available ? of : { ...of, remedy: this.#remedy } };
    return this.#last.told;
  }

  start(spec: InstanceSpec, signal?: AbortSignal): Promise<Instance> {
    return this.#inner.start(spec, signal);
  }

  run(instance: Instance, spec: RunSpec, signal?: AbortSignal): Promise<RunResult> {
    return this.#inner.run(instance, spec, signal);
  }

  pause(instance: Instance): Promise<void> {
    return this.#inner.pause(instance);
  }

  resume(instance: Instance): Promise<void> {
    return this.#inner.resume(instance);
  }

  stop(instance: Instance): Promise<void> {
    return this.#inner.stop(instance);
  }

  job(spec: JobSpec, signal?: AbortSignal): Promise<JobResult> {
    return this.#inner.job(spec, signal);
  }

  list(): Promise<readonly HeldInstance[]> {
    return this.#inner.list();
  }

  sweep(): Promise<number> {
    return this.#inner.sweep();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inner[Symbol.asyncDispose]();
  }
}
