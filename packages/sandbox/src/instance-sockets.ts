import { Buffer } from "node:buffer";
import { chmod, chown, lstat, mkdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { SandboxError } from "./errors.ts";

/** Longest socket path; the kernel's own limit is 107. Source: page "Execution", section 8. */
export const MAX_SOCKET_PATH_BYTES = 100;

/** Name of the runner's socket in an instance's folder. */
export const RUNNER_SOCKET = "runner.sock";

export interface InstanceSocketsOptions {
  /** Group of the sockets. Absent: everybody may connect, behind the base folder that only we may enter. */
  readonly gid?: number;
  /** With `gid` only: 0660 (default) or 0666. */
  readonly mode?: 0o660 | 0o666;
}

/**
 * The folder of one instance's sockets, shown to it read-only. It exists while the instance lives;
 * its runner socket takes exactly one connection and is gone after that.
 */
export class InstanceSockets implements AsyncDisposable {
  /** Host path of the folder. */
  readonly folder: string;
  readonly #server: Server;
  readonly #connected: PromiseWithResolvers<Duplex>;
  #socket: Socket | null = null;

  /**
   * Makes `<baseFolder>/<instanceId>/runner.sock`, listening.
   * @throws SandboxError `sandbox.start_failed` when the base is not our own 0700 folder, the folder exists, or the path is too long
   */
  static async create(baseFolder: string, instanceId: string, options: InstanceSocketsOptions = {}): Promise<InstanceSockets> {
    const folder = join(baseFolder, instanceId);
    const path = join(folder, RUNNER_SOCKET);
    if (!/^[0-9a-f]{32}$/u.test(instanceId)) throw new SandboxError("sandbox.start_failed", "an instance id is 32 hex digits");
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
      throw new SandboxError(
        "sandbox.start_failed",
        `the socket folder's path is too long: a socket path has at most ${MAX_SOCKET_PATH_BYTES} bytes`,
      );
    }
    await assertBase(baseFolder);
    await mkdir(folder, { mode: 0o700 }).catch((cause: unknown) => {
      throw new SandboxError("sandbox.start_failed", "the instance's socket folder could not be made", { cause });
    });
    const sockets = new InstanceSockets(folder);
    try {
      await sockets.#listen(path, options);
      return sockets;
    } catch (cause) {
      await sockets[Symbol.asyncDispose]();
      throw new SandboxError("sandbox.start_failed", "the runner's socket could not be made", { cause });
    }
  }

  private constructor(folder: string) {
    this.folder = folder;
    this.#connected = Promise.withResolvers<Duplex>();
    this.#connected.promise.catch(() => {});
    this.#server = createServer((socket) => this.#accept(socket));
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
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
  }

  async #listen(path: string, options: InstanceSocketsOptions): Promise<void> {
    const listening = Promise.withResolvers<void>();
    this.#server.once("error", listening.reject);
    this.#server.listen(path, 16, () => listening.resolve());
    await listening.promise;
    this.#server.off("error", listening.reject);
    this.#server.on("error", () => {});
    if (options.gid !== undefined) {
      await chown(path, -1, options.gid);
      await chown(this.folder, -1, options.gid);
    }
    await chmod(path, options.gid === undefined ? 0o666 : (options.mode ?? 0o660));
    await chmod(this.folder, options.gid === undefined ? 0o711 : 0o750);
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

/** A base that another user could enter or has put there is no wall. */
async function assertBase(baseFolder: string): Promise<void> {
  const facts = await lstat(baseFolder).catch(() => null);
  if (facts === null || !facts.isDirectory()) throw new SandboxError("sandbox.start_failed", "the socket base folder is missing or a link");
  if ((facts.mode & 0o077) !== 0 || facts.uid !== (process.getuid?.() ?? facts.uid)) {
    throw new SandboxError("sandbox.start_failed", "the socket base folder must be our own, mode 0700");
  }
}
