import { once } from "node:events";
import { createServer } from "node:http";
import type { RequestListener, Server } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import type { AddressInfo, Server as TcpServer, Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Connector } from "../dial.ts";
import type { Resolver } from "../ports.ts";
import { TRUSTED_CERTIFICATE } from "./test-certificates.ts";

/** One place on the loopback interface that stands for an outside server. */
interface Place {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * An outside world on the loopback interface: names with addresses that a test chooses, and servers that every checked address
 * leads to. Nothing else is ever dialled.
 */
export class TestNet implements AsyncDisposable {
  /** Addresses of names, asked anew at every lookup. */
  readonly names = new Map<string, readonly string[] | (() => readonly string[] | Promise<readonly string[]>)>();
  /** Addresses of every name that has none of its own. */
  every: readonly string[] | null = null;
  readonly looked: string[] = [];
  /** Addresses at which nobody answers. */
  readonly refuse = new Set<string>();
  readonly dialled: string[] = [];
  readonly #ports = new Map<number, number>();
  readonly #places: Place[] = [];
  /** Where ports without a server of their own lead to. */
  #rest: number | null = null;

  readonly resolver: Resolver = {
    resolve: async (host) => {
      this.looked.push(host);
      const found = this.names.get(host) ?? this.every;
      if (found === null) throw new Error("ENOTFOUND");
      return typeof found === "function" ? found() : found;
    },
  };

  readonly connect: Connector = async ({ address, port }, signal) => {
    this.dialled.push(`${address} ${port}`);
    const to = this.#ports.get(port) ?? this.#rest;
    if (to === null || this.refuse.has(address)) throw new Error("ECONNREFUSED");
    const socket = connect(to, "127.0.0.1");
    socket.on("error", () => undefined);
    await once(socket, "connect", { signal });
    return socket;
  };

  /** An HTTP server behind `port` of every address; null: behind every port without one of its own. */
  async http(port: number | null, listener: RequestListener): Promise<this> {
    return this.#put(port, createServer({ keepAliveTimeout: 30_000 }, listener));
  }

  /** The same over TLS. */
  async https(port: number | null, listener: RequestListener, certificate = TRUSTED_CERTIFICATE): Promise<this> {
    const inner = createServer({ keepAliveTimeout: 30_000 }, listener);
    const outer = createTlsServer(certificate, (socket) => void inner.emit("connection", socket));
    outer.on("tlsClientError", () => undefined);
    return this.#put(port, outer);
  }

  /** A server that answers with raw bytes. */
  async raw(port: number | null, serve: (socket: Socket) => void): Promise<this> {
    return this.#put(port, createTcpServer(serve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#places.map((place) => place.close()));
  }

  async #put(port: number | null, server: Server | TcpServer): Promise<this> {
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => sockets.delete(socket));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port: real } = server.address() as AddressInfo;
    if (port === null) this.#rest = real;
    else this.#ports.set(port, real);
    this.#places.push({
      port: real,
      close: async () => {
        for (const socket of sockets) socket.destroy();
        server.close();
        await once(server, "close");
      },
    });
    return this;
  }
}
