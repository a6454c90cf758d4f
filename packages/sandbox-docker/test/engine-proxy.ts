import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createConnection, createServer } from "node:net";
import type { Server, Socket } from "node:net";

/** A socket in front of the engine's that a test can take away without harming the engine. */
export class EngineProxy implements AsyncDisposable {
  readonly path: string;
  readonly #target: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;

  constructor(path: string, target: string) {
    this.path = path;
    this.#target = target;
  }

  async open(): Promise<void> {
    this.#server = createServer((client) => {
      const engine = createConnection(this.#target);
      for (const socket of [client, engine]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => this.#sockets.delete(socket));
      }
      client.on("close", () => engine.destroy());
      engine.on("close", () => client.destroy());
      client.pipe(engine).pipe(client);
    });
    this.#server.listen(this.path);
    await once(this.#server, "listening");
  }

  /** The engine is gone: every connection breaks, new ones are refused. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await rm(this.path, { force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.cut();
  }
}
