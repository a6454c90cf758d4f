import type { Digest, FlowId, PackId, RunId, StepId } from "./ids.ts";
import type { ExecutionMode } from "./ports.ts";

/** A call of a block that runs now in an instance, as the daemon itself started it. */
export interface InFlightCall {
  readonly call_id: string;
  readonly run_id: RunId;
  readonly flow_id: FlowId;
  readonly step_id: StepId;
  readonly phase: string;
  /** The same for every attempt of this step in this run. */
  readonly idempotency_key: string;
  /** Flows that led to this call, the root first, this call's own flow last. */
  readonly chain: readonly FlowId[];
  /** When the call ends at the latest, on the monotonic clock, ms. */
  readonly deadline: number;
}

/** Who speaks through a socket: what the daemon knows of the instance that owns it, never a field of a message. */
export interface InstanceCaller {
  /** The right is judged for this pack. */
  readonly principal: PackId;
  readonly digest: Digest;
  readonly instance_id: string;
  readonly execution_mode: ExecutionMode;
  /**
   * The call that asks: the one a message named, if it is in flight in this very instance; else the only one in flight;
   * else the one with the longest chain. Null when none is in flight.
   */
  readonly call: InFlightCall | null;
}

/** The instance behind a socket. */
export interface SocketOwner {
  /** Who asks, with the call that `callId` claims to be, if it is one of this instance. Memory only. */
  caller(callId?: string): InstanceCaller;
  /** Aborts when the instance goes; nothing of it may stay after that. */
  readonly gone: AbortSignal;
  /** Runs `listener` once when the call is over (at once when it already is). Returns how to forget it. */
  onCallEnd(callId: string, listener: () => void): () => void;
}
