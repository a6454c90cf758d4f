import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import type { JsonObject, JsonValue } from "@rumi/core";
import { systemClock } from "@rumi/core";
import { MemoryAudit, silentLogger } from "@rumi/core/testing";
import { encodeJsonFrame, JsonFrameDecoder } from "@rumi/wire";
import type { OwnAddress } from "../address-rule.ts";
import { EgressProxy } from "../egress-proxy.ts";
import type { HttpAnswer } from "../http-answer.ts";
import type { EgressOptions } from "../limits.ts";
import type { SecretBroker } from "../ports.ts";
import { EgressReports } from "../reports.ts";
import { TestNet } from "./test-net.ts";
import { TestOwner } from "./test-owner.ts";
import { TestPolicy } from "./test-policy.ts";
import { TestSecrets } from "./test-secrets.ts";

/** The whole proxy, with an outside world and rights that a test chooses. */
export interface TestEgress extends AsyncDisposable {
  readonly proxy: EgressProxy;
  readonly net: TestNet;
  readonly policy: TestPolicy;
  readonly secrets: TestSecrets;
  readonly audit: MemoryAudit;
  readonly reports: EgressReports;
  readonly owner: TestOwner;
  readonly own: OwnAddress[];
  /** One request, without a socket. */
  ask(message: JsonObject): Promise<HttpAnswer>;
  /** A connection that the proxy serves. */
  dial(owner?: TestOwner): Promise<Socket>;
}

/** Opens it; `given` stands in for its own secrets. */
export async function openTestEgress(options: EgressOptions = {}, given: { readonly secrets?: SecretBroker } = {}): Promise<TestEgress> {
  const net = new TestNet();
  const policy = new TestPolicy();
  const secrets = new TestSecrets();
  const audit = new MemoryAudit();
  const reports = new EgressReports({ clock: systemClock });
  const owner = new TestOwner().begin("call");
  const own: OwnAddress[] = [];
  const proxy = new EgressProxy(
    {
      policy,
      secrets: given.secrets ?? secrets,
      audit,
      clock: systemClock,
      logger: silentLogger,
      reports,
      ownAddresses: () => own,
      resolver: net.resolver,
      connect: net.connect,
    },
    options,
  );
  const owners: TestOwner[] = [];
  const server = createServer((socket) => proxy.serve(socket, owners.shift() ?? owner));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const sockets = new Set<Socket>();
  return {
    proxy,
    net,
    policy,
    secrets,
    audit,
    reports,
    owner,
    own,
    ask: (message) => proxy.request(message, owner, new AbortController().signal),
    dial: async (as = owner) => {
      owners.push(as);
      const socket = connect(port, "127.0.0.1");
      sockets.add(socket);
      socket.on("error", () => undefined);
      await once(socket, "connect");
      return socket;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await proxy[Symbol.asyncDispose]();
      await net[Symbol.asyncDispose]();
    },
  };
}

/** Frames of a connection, as they come. */
export class TestFrames {
  readonly #socket: Socket;
  readonly #decoder = new JsonFrameDecoder({ maxBytes: 64 * 1024 * 1024 });
  readonly #ready: JsonValue[] = [];
  #wake: (() => void) | null = null;
  #over = false;
  readonly #take = (chunk: Uint8Array): void => {
    for (let one = this.#decoder.next(chunk); one !== undefined; one = this.#decoder.next()) this.#ready.push(one);
    this.#wake?.();
  };

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", this.#take);
    socket.once("close", () => {
      this.#over = true;
      this.#wake?.();
    });
  }

  /** The next message; null when the connection was closed. */
  async next(): Promise<JsonObject | null> {
    while (this.#ready.length === 0 && !this.#over) await new Promise<void>((resolve) => (this.#wake = resolve));
    return (this.#ready.shift() as JsonObject | undefined) ?? null;
  }

  async ask(message: JsonValue): Promise<JsonObject | null> {
    this.#socket.write(encodeJsonFrame(message));
    return this.next();
  }

  /** Reads frames no more; what comes is the caller's. */
  leave(): Socket {
    this.#socket.removeListener("data", this.#take);
    return this.#socket;
  }
}
