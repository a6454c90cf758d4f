import { mkdir, readdir, realpath, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { AuditSink, Clock, ExecutionMode, InFlightCall, JsonObject, Logger } from "@rumi/core";
import { SandboxError, SOCKET_TARGET, SocketFolder } from "@rumi/sandbox";
import { encodeJsonFrame } from "@rumi/wire";
import type { InstanceSeed } from "../ports.ts";
import { CapabilityConnection, capabilityRefusal } from "./capability-connection.ts";
import type { CapabilityDesk } from "./capability-connection.ts";
import { InstanceOwner } from "./instance-owner.ts";
import type { CapabilityService, EgressService, Gateway, OpenGateway, SocketName } from "./ports.ts";
import { RequestGate } from "./request-gate.ts";
import type { RequestGateOptions } from "./request-gate.ts";
import { SocketDoor } from "./socket-door.ts";

/** Where one kind of sockets lies and who may open them. */
export interface SocketPlace {
  /** Absolute folder of this installation alone: ours, 0700; made when missing. Each instance has a folder below it. */
  readonly base: string;
  /** Group of the sockets; absent: everybody may connect, behind the base that only we may enter. */
  readonly gid?: number;
  /** With `gid` only. 0666 is audited. */
  readonly mode?: 0o660 | 0o666;
}

export interface InstanceGatewayDeps {
  readonly capability: CapabilityService;
  readonly egress: EgressService;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface InstanceGatewayOptions {
  /** Their bases must differ. */
  readonly capability: SocketPlace;
  readonly egress: SocketPlace;
  readonly requests?: RequestGateOptions;
}

const SOCKET_NAMES = ["capability", "egress"] as const satisfies readonly SocketName[];

const INSTANCE_ID = /^[0-9a-f]{32}$/u;

/** What is said to a connection too many; on the egress socket in the words of an HTTP answer. */
const REFUSALS: Readonly<Record<SocketName, JsonObject>> = {
  capability: capabilityRefusal("busy", "Busy"),
  egress: {
    success: false,
    status_code: 0,
    headers: {},
    body: "",
    error: "Busy",
    error_type: "busy",
    latency_ms: 0,
    redirect_hops: 0,
    bytes_read: 0,
    final_url: "",
  },
};

/**
 * Gives each instance its own two sockets: who speaks through one is the instance it was made for, whatever a message says.
 * They listen before the instance starts and are gone with it.
 */
export class InstanceGateway implements Gateway, AsyncDisposable {
  readonly #deps: InstanceGatewayDeps;
  readonly #options: InstanceGatewayOptions;
  readonly #open = new Map<string, InstanceSocketPair>();
  /** Ids of instances that have, or are about to have, a folder. */
  readonly #known = new Set<string>();
  #bases: Promise<Readonly<Record<SocketName, string>>> | null = null;

  constructor(deps: InstanceGatewayDeps, options: InstanceGatewayOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** @throws SandboxError `sandbox.start_failed`; RumiError `audit.unavailable` when relaxed sockets cannot be told of */
  async open(seed: InstanceSeed, instance: { readonly id: string; readonly mode: ExecutionMode }): Promise<OpenGateway> {
    if (this.#known.has(instance.id)) throw new SandboxError("sandbox.start_failed", "an instance of this id has sockets already");
    this.#known.add(instance.id);
    let folders: readonly SocketFolder[] = [];
    try {
      const bases = await this.#prepared();
      folders = await this.#makeFolders(bases, instance.id);
      const pair = new InstanceSocketPair(this.#deps, seed, instance, folders, this.#options.requests ?? {}, () =>
        this.#forget(instance.id),
      );
      this.#open.set(instance.id, pair);
      await pair.listen();
      return pair;
    } catch (cause) {
      await this.#open.get(instance.id)?.[Symbol.asyncDispose]();
      await Promise.all(folders.map((folder) => folder[Symbol.asyncDispose]()));
      this.#forget(instance.id);
      if (cause instanceof Error && "code" in cause && typeof cause.code === "string" && cause.code.includes(".")) throw cause;
      throw new SandboxError("sandbox.start_failed", "the instance's sockets could not be made", { cause });
    }
  }

  /** Removes folders that no instance of this process has: a daemon that crashed left them. Also done before the first `open`. Returns the count. */
  async sweep(): Promise<number> {
    const bases = await this.#prepared();
    return await this.#sweep(Object.values(bases));
  }

  /** Ends the sockets of all instances. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open.values()].map((pair) => pair[Symbol.asyncDispose]()));
  }

  #forget(id: string): void {
    this.#open.delete(id);
    this.#known.delete(id);
  }

  async #prepared(): Promise<Readonly<Record<SocketName, string>>> {
    this.#bases ??= this.#prepare().catch((cause: unknown) => {
      this.#bases = null;
      throw cause;
    });
    return await this.#bases;
  }

  /** Makes the bases, clears them of leftovers, and tells of sockets that are more open than they need be. */
  async #prepare(): Promise<Readonly<Record<SocketName, string>>> {
    const { capability, egress } = this.#options;
    for (const { base } of [capability, egress]) await mkdir(base, { recursive: true, mode: 0o700 });
    // The real path: an instance is never shown what lies behind a link.
    const bases = { capability: await realpath(capability.base), egress: await realpath(egress.base) };
    for (const name of SOCKET_NAMES) {
      const { gid, mode } = this.#options[name];
      if (gid === undefined || mode !== 0o666) continue;
      await this.#deps.audit.record({
        category: "security",
        severity: "warning",
        action: "relaxed_socket_mode",
        success: true,
        details: { socket: name, mode: "0666", gid },
      });
    }
    await this.#sweep(Object.values(bases));
    return bases;
  }

  async #sweep(bases: readonly string[]): Promise<number> {
    let count = 0;
    for (const base of bases) {
      const names = await readdir(base).catch(() => []);
      const left = names.filter((name) => INSTANCE_ID.test(name) && !this.#known.has(name));
      await Promise.all(left.map((name) => rm(join(base, name), { recursive: true, force: true })));
      count += left.length;
    }
    return count;
  }

  async #makeFolders(bases: Readonly<Record<SocketName, string>>, id: string): Promise<readonly SocketFolder[]> {
    const made = await Promise.allSettled(
      SOCKET_NAMES.map((name) => SocketFolder.create(bases[name], id, `${name}.sock`, this.#options[name])),
    );
    const folders = made.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const failed = made.find((one) => one.status === "rejected");
    if (failed === undefined) return folders;
    await Promise.all(folders.map((folder) => folder[Symbol.asyncDispose]()));
    throw failed.reason;
  }
}

/** Both sockets of one instance. */
class InstanceSocketPair implements OpenGateway {
  readonly sockets: Readonly<Record<SocketName, string>>;
  readonly capabilityPath: string;
  readonly owner: InstanceOwner;
  readonly #folders: readonly SocketFolder[];
  readonly #doors: readonly SocketDoor[];
  readonly #onClosed: () => void;
  #closing: Promise<void> | null = null;

  constructor(
    deps: InstanceGatewayDeps,
    seed: InstanceSeed,
    instance: { readonly id: string; readonly mode: ExecutionMode },
    folders: readonly SocketFolder[],
    requests: RequestGateOptions,
    onClosed: () => void,
  ) {
    const [capability, egress] = folders;
    this.sockets = { capability: capability?.path ?? "", egress: egress?.path ?? "" };
    const shown = instance.mode === "host_permissive" ? this.sockets.capability : `${SOCKET_TARGET}/capability`;
    this.capabilityPath = `${shown}/capability.sock`;
    const owner = new InstanceOwner({
      principal: seed.pack_id,
      digest: seed.digest,
      instance_id: instance.id,
      execution_mode: instance.mode,
    });
    const { clock, logger } = deps;
    const desk: CapabilityDesk = { service: deps.capability, owner, gate: new RequestGate(clock, requests), logger, receiving: 0 };
    this.owner = owner;
    this.#folders = folders;
    this.#onClosed = onClosed;
    this.#doors = [
      new SocketDoor({
        serve: (socket) => void new CapabilityConnection(socket, desk),
        refusal: encodeJsonFrame(REFUSALS.capability),
        allowHalfOpen: true,
      }),
      new SocketDoor({
        serve: (socket) => serveEgress(deps.egress, socket, owner, logger),
        refusal: encodeJsonFrame(REFUSALS.egress),
        allowHalfOpen: false,
      }),
    ];
  }

  async listen(): Promise<void> {
    await Promise.all(
      SOCKET_NAMES.map(async (name, at) => {
        const door = this.#doors[at];
        if (door !== undefined) await this.#folders[at]?.listen(`${name}.sock`, door.server);
      }),
    );
  }

  begin(call: InFlightCall): () => void {
    return this.owner.begin(call);
  }

  /** At once: no socket listens, every connection has ended, every request was told. Resolves when the folders are gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    this.owner.leave();
    for (const door of this.#doors) door.close();
    await Promise.all(this.#folders.map((folder) => folder[Symbol.asyncDispose]()));
    this.#onClosed();
  }
}

/** The proxy says it never throws; one connection of one pack must not be able to prove it wrong. */
function serveEgress(egress: EgressService, socket: Socket, owner: InstanceOwner, logger: Logger): void {
  try {
    egress.serve(socket, owner);
  } catch (cause) {
    logger.log("error", "an egress connection failed inside", { error: String(cause) });
    socket.destroy();
  }
}
