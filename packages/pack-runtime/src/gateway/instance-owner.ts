import type { Digest, ExecutionMode, InFlightCall, InstanceCaller, PackId, SocketOwner } from "@rumi/core";

/** What the daemon itself knows of an instance. */
export interface OwnerFacts {
  readonly principal: PackId;
  readonly digest: Digest;
  readonly instance_id: string;
  readonly execution_mode: ExecutionMode;
}

interface Entry {
  readonly call: InFlightCall;
  readonly listeners: Set<() => void>;
}

/** The instance behind a pair of sockets, with the calls that run in it now. */
export class InstanceOwner implements SocketOwner {
  readonly #facts: OwnerFacts;
  readonly #calls = new Map<string, Entry>();
  readonly #gone = new AbortController();

  constructor(facts: OwnerFacts) {
    this.#facts = facts;
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  caller(callId?: string): InstanceCaller {
    const named = callId === undefined ? undefined : this.#calls.get(callId);
    return { ...this.#facts, call: named?.call ?? this.#likeliest() };
  }

  onCallEnd(callId: string, listener: () => void): () => void {
    const entry = this.#calls.get(callId);
    if (entry === undefined) {
      listener();
      return () => {};
    }
    entry.listeners.add(listener);
    return () => entry.listeners.delete(listener);
  }

  /** `call` is in flight until the returned function is called. */
  begin(call: InFlightCall): () => void {
    const entry: Entry = { call, listeners: new Set() };
    this.#calls.set(call.call_id, entry);
    return () => {
      if (this.#calls.get(call.call_id) === entry) this.#calls.delete(call.call_id);
      for (const listener of entry.listeners) listener();
      entry.listeners.clear();
    };
  }

  /** The instance is no more. */
  leave(): void {
    this.#gone.abort();
  }

  /** The only call; of several the one with the longest chain, for which the strictest limits on depth hold. */
  #likeliest(): InFlightCall | null {
    let longest: InFlightCall | null = null;
    for (const { call } of this.#calls.values()) {
      if (longest === null || call.chain.length > longest.chain.length) longest = call;
    }
    return longest;
  }
}
