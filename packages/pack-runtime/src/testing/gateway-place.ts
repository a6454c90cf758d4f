import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { systemClock, systemRandom } from "@rumi/core";
import type { ExecutionMode, FlowId, InFlightCall, JsonObject, JsonValue, PackId, RunId, SocketOwner, StepId } from "@rumi/core";
import { MemoryAudit, silentLogger } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import { InstanceGateway } from "../gateway/instance-gateway.ts";
import type { InstanceGatewayOptions } from "../gateway/instance-gateway.ts";
import type { CapabilityService, EgressService, OpenGateway } from "../gateway/ports.ts";
import { seed } from "./seeds.ts";

/** Answers with what it was asked and by whom. A test may take its place. */
export class EchoCapability implements CapabilityService {
  readonly asked: { readonly message: JsonValue; readonly owner: SocketOwner; readonly signal: AbortSignal }[] = [];
  answer: (message: JsonObject, owner: SocketOwner, signal: AbortSignal) => Promise<JsonObject> = (message, owner) => {
    const { principal, call } = owner.caller(typeof message["call_id"] === "string" ? message["call_id"] : undefined);
    return Promise.resolve({
      success: true,
      output: { echo: message, principal, call_id: call?.call_id ?? null },
      error: null,
      error_type: null,
      latency_ms: 1,
    });
  };

  async handle(message: JsonValue, owner: SocketOwner, signal: AbortSignal): Promise<JsonObject> {
    this.asked.push({ message, owner, signal });
    return await this.answer(message as JsonObject, owner, signal);
  }
}

/** Keeps every connection that it is given. */
export class KeptEgress implements EgressService {
  readonly connections: { readonly connection: Duplex; readonly owner: SocketOwner }[] = [];
  onServe: (connection: Duplex, owner: SocketOwner) => void = (connection) => void connection.resume();

  serve(connection: Duplex, owner: SocketOwner): void {
    this.connections.push({ connection, owner });
    this.onServe(connection, owner);
  }
}

/** A gateway over a temporary folder. */
export interface GatewayPlace extends AsyncDisposable {
  readonly gateway: InstanceGateway;
  readonly capability: EchoCapability;
  readonly egress: KeptEgress;
  readonly audit: MemoryAudit;
  readonly folder: string;
  /** What the gateway opened, oldest first. */
  readonly opened: readonly OpenGateway[];
  /** Another gateway over the same folders: a daemon that was started again. */
  again(options?: Partial<InstanceGatewayOptions>): InstanceGateway;
  open(pack?: string, mode?: ExecutionMode): Promise<OpenGateway>;
  /** Names of folders that instances have now. */
  leftovers(): Promise<string[]>;
}

export async function gatewayPlace(options: Partial<InstanceGatewayOptions> = {}): Promise<GatewayPlace> {
  const folder = await temporaryFolder("rumi-g-");
  const capability = new EchoCapability();
  const egress = new KeptEgress();
  const audit = new MemoryAudit();
  await mkdir(join(folder.path, "s"), { mode: 0o700 });
  const again = (over: Partial<InstanceGatewayOptions> = {}): InstanceGateway =>
    new InstanceGateway(
      { capability, egress, audit, clock: systemClock, logger: silentLogger },
      { capability: { base: join(folder.path, "s", "c") }, egress: { base: join(folder.path, "s", "e") }, ...options, ...over },
    );
  const gateway = again();
  const opened: OpenGateway[] = [];
  const open = gateway.open.bind(gateway);
  gateway.open = async (...asked) => {
    const pair = await open(...asked);
    opened.push(pair);
    return pair;
  };
  return {
    gateway,
    opened,
    capability,
    egress,
    audit,
    folder: folder.path,
    again,
    open: (pack = "alpha", mode = "container") => gateway.open(seed({ pack_id: pack as PackId }), { id: systemRandom.hex(16), mode }),
    leftovers: async () => (await Promise.all(["c", "e"].map((kind) => readdir(join(folder.path, "s", kind)).catch(() => [])))).flat(),
    [Symbol.asyncDispose]: async () => {
      await gateway[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** A call in flight; give what differs. */
export function inFlight(over: Partial<InFlightCall> = {}): InFlightCall {
  const flow = "alpha.main" as FlowId;
  return {
    call_id: systemRandom.hex(8),
    run_id: "run_1" as RunId,
    flow_id: flow,
    step_id: "step" as StepId,
    phase: "main",
    idempotency_key: "key",
    chain: [flow],
    deadline: systemClock.monotonic() + 60_000,
    ...over,
  };
}
