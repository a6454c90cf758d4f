import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { SandboxError } from "./errors.ts";
import { SocketFolder } from "./socket-folder.ts";
import type { SocketRights } from "./socket-folder.ts";

/** Name of the runner's socket in an instance's folder. */
export const RUNNER_SOCKET = "runner.sock";

/**
 * The folder of one instance's runner socket, shown to it read-only. It exists while the instance lives;
 * its runner socket takes exactly one connection and is gone after that.
 */
export class InstanceSockets implements AsyncDisposable {
  readonly #folder: SocketFolder;
  readonly #server: Server;
  readonly #connected: PromiseWithResolvers<Duplex>;
  #socket: Socket | null = null;

  /**
   * Makes `<baseFolder>/<instanceId>/runner.sock`, listening.
   * @throws SandboxError `sandbox.start_failed` when the base is not our own 0700 folder, the folder exists, or the path is too long
   */
  static async create(baseFolder: string, instanceId: string, rights: SocketRights = {}): Promise<InstanceSockets> {
    const sockets = new InstanceSockets(await SocketFolder.create(baseFolder, instanceId, RUNNER_SOCKET, rights));
    try {
      await sockets.#folder.listen(RUNNER_SOCKET, sockets.#server);
      return sockets;
    } catch (cause) {
      await sockets[Symbol.asyncDispose]();
      throw new SandboxError("sandbox.start_failed", "the runner's socket could not be made", { cause });
    }
  }

  private constructor(folder: SocketFolder) {
    this.#folder = folder;
    this.#connected = Promise.withResolvers<Duplex>();
    this.#connected.promise.catch(() => {});
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Host path of the folder. */
  get folder(): string {
    return this.#folder.path;
  }

  /** The runner's connection. Rejects with `sandbox.start_failed` when the sockets go first. */
  get runner(): Promise<Duplex> {
    return this.#connected.promise;
  }

  /** Closes everything and removes the folder. Idempotent; never throws. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#connected.reject(new SandboxError("sandbox.start_failed", "the instance ended before its runner connected"));
    this.#server.close();
    this.#socket?.destroy();
    await this.#folder[Symbol.asyncDispose]();
  }

  /** The first connection is the runner's; closing the server also unlinks the path. */
  #accept(socket: Socket): void {
    if (this.#socket !== null) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    this.#server.close();
    this.#connected.resolve(socket);
  }
}
