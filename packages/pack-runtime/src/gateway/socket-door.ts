import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { MAX_CONNECTIONS, MAX_REFUSED_CONNECTIONS, REFUSED_MS } from "./limits.ts";

export interface SocketDoorOptions {
  /** Takes a connection. */
  readonly serve: (socket: Socket) => void;
  /** What is said to a connection too many. */
  readonly refusal: Uint8Array;
  /** Whether the peer's end of sending leaves our side open. */
  readonly allowHalfOpen: boolean;
}

/** One listening socket of one instance, with a bounded number of connections. */
export class SocketDoor {
  readonly server: Server;
  readonly #options: SocketDoorOptions;
  readonly #open = new Set<Socket>();
  readonly #refused = new Set<Socket>();
  #isClosed = false;

  constructor(options: SocketDoorOptions) {
    this.#options = options;
    this.server = createServer({ allowHalfOpen: options.allowHalfOpen }, (socket) => this.#accept(socket));
  }

  /** Connections that are served. */
  get connections(): number {
    return this.#open.size;
  }

  /** Stops listening, which removes the path, and ends every connection. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.server.close();
    for (const socket of [...this.#open, ...this.#refused]) socket.destroy();
  }

  #accept(socket: Socket): void {
    socket.on("error", () => {});
    if (this.#isClosed) socket.destroy();
    else if (this.#open.size >= MAX_CONNECTIONS) this.#refuse(socket);
    else {
      this.#open.add(socket);
      socket.once("close", () => this.#open.delete(socket));
      this.#options.serve(socket);
    }
  }

  /** Tells it why, if there are not too many of those either. What it says is not looked at. */
  #refuse(socket: Socket): void {
    if (this.#refused.size >= MAX_REFUSED_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#refused.add(socket);
    const timer = setTimeout(() => socket.destroy(), REFUSED_MS).unref();
    socket.once("close", () => {
      clearTimeout(timer);
      this.#refused.delete(socket);
    });
    socket.once("end", () => socket.destroy());
    socket.resume();
    socket.end(this.#options.refusal);
  }
}
