import type { Digest, FlowId, InFlightCall, InstanceCaller, PackId, RunId, SocketOwner, StepId } from "@rumi/core";

/** An instance without a container: its calls begin and end when a test says so. */
export class TestOwner implements SocketOwner {
  readonly principal: PackId;
  readonly instance: string;
  readonly #life = new AbortController();
  readonly #calls = new Map<string, { readonly call: InFlightCall; readonly listeners: Set<() => void> }>();

  constructor(principal = "my_pack", instance = "0".repeat(32)) {
    this.principal = principal as PackId;
    this.instance = instance;
  }

  get gone(): AbortSignal {
    return this.#life.signal;
  }

  begin(callId: string, idempotencyKey = `run:${callId}`): this {
    const call: InFlightCall = {
      call_id: callId,
      run_id: "run_00000000-0000-7000-8000-000000000000" as RunId,
      flow_id: "flow" as FlowId,
      step_id: "step" as StepId,
      phase: "main",
      idempotency_key: idempotencyKey,
      chain: ["flow" as FlowId],
      deadline: Number.POSITIVE_INFINITY,
    };
    this.#calls.set(callId, { call, listeners: new Set() });
    return this;
  }

  end(callId: string): void {
    const listeners = this.#calls.get(callId)?.listeners ?? new Set();
    this.#calls.delete(callId);
    for (const listener of listeners) listener();
  }

  remove(): void {
    this.#life.abort();
  }

  caller(callId?: string): InstanceCaller {
    const named = callId === undefined ? undefined : this.#calls.get(callId);
    const [first] = this.#calls.values();
    return {
      principal: this.principal,
      digest: `sha256:${"0".repeat(64)}` as Digest,
      instance_id: this.instance,
      execution_mode: "container",
      call: (named ?? first)?.call ?? null,
    };
  }

  onCallEnd(callId: string, listener: () => void): () => void {
    const listeners = this.#calls.get(callId)?.listeners;
    if (listeners === undefined) {
      listener();
      return () => undefined;
    }
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }
}
