/** Why running stops. `failed` ends the run as failed, whatever a step's `on_error` says. */
export interface Stop {
  readonly kind: "cancelled" | "timed_out" | "aborted" | "failed" | "step_timeout";
  readonly code: string;
  readonly reason: string;
}

/**
 * A part of a run that can be stopped as one: the run, a child flow, a container with a timeout. Stopping one stops all
 * below it; what is above goes on.
 */
export class StopScope implements Disposable {
  readonly #parent: StopScope | null;
  readonly #below = new Set<StopScope>();
  #controller: AbortController | null = null;
  #stop: Stop | null = null;
  #own = false;

  constructor(parent: StopScope | null = null) {
    this.#parent = parent;
    if (parent !== null) parent.#below.add(this);
    if (parent !== null && parent.#stop !== null) this.#receive(parent.#stop);
  }

  /** What stopped this scope, itself or from above; null while it runs. */
  get stopped(): Stop | null {
    return this.#stop;
  }

  /** What stopped this very scope, not one above it. */
  get stoppedItself(): Stop | null {
    return this.#own ? this.#stop : null;
  }

  /** Made on first use: most steps never wait. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#stop !== null) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  /** Stops this scope and everything below it. The first reason stays. */
  stop(stop: Stop): void {
    if (this.#stop !== null) return;
    this.#own = true;
    this.#receive(stop);
  }

  #receive(stop: Stop): void {
    if (this.#stop !== null) return;
    this.#stop = stop;
    this.#controller?.abort();
    for (const below of this.#below) below.#receive(stop);
  }

  [Symbol.dispose](): void {
    if (this.#parent !== null) this.#parent.#below.delete(this);
  }
}
