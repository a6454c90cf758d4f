import type { Duplex } from "node:stream";
import type { ExecutionMode, InFlightCall, JsonObject, JsonValue, SocketOwner } from "@rumi/core";
import type { InstanceSeed } from "../ports.ts";

/** The two sockets that an instance gets beside its runner's. */
export type SocketName = "capability" | "egress";

/** Answers one message of a capability socket. `CapabilityBroker` is one. */
export interface CapabilityService {
  /** `message` is a JSON object of the pack's. `signal` aborts when its connection or the instance goes. Never throws. */
  handle(message: JsonValue, owner: SocketOwner, signal: AbortSignal): Promise<JsonObject>;
}

/** Serves one connection of an egress socket. `EgressProxy` is one. */
export interface EgressService {
  /** Owns the connection from here on, its frames and their time limits; the gateway ends it when the instance goes. Never throws. */
  serve(connection: Duplex, owner: SocketOwner): void;
}

/** A call before it has a slot: what `InFlightCall` gets when the call is dispatched is missing. */
export type CallOrigin = Omit<InFlightCall, "call_id" | "deadline">;

/** The sockets of one instance, from before it starts until nothing of them is left. */
export interface OpenGateway extends AsyncDisposable {
  /** Host folders for `InstanceSpec.sockets`. */
  readonly sockets: Readonly<Record<SocketName, string>>;
  /** Path of the capability socket as the instance's code sees it. */
  readonly capabilityPath: string;
  readonly owner: SocketOwner;
  /** The call is in flight from now on, until the returned function is called. */
  begin(call: InFlightCall): () => void;
}

/** Opens the sockets of instances. `InstanceGateway` is one. */
export interface Gateway {
  /** @throws SandboxError `sandbox.start_failed` with nothing left */
  open(seed: InstanceSeed, instance: { readonly id: string; readonly mode: ExecutionMode }): Promise<OpenGateway>;
}
