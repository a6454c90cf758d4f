import { Buffer } from "node:buffer";
import { chmod, chown, lstat, mkdir, rm } from "node:fs/promises";
import type { Server } from "node:net";
import { join } from "node:path";
import { SandboxError } from "./errors.ts";

/** Longest socket path; the kernel's own limit is 107. Source: page "Execution", section 8. */
export const MAX_SOCKET_PATH_BYTES = 100;

/** Connections that the kernel keeps while the host is busy. */
const BACKLOG = 128;

/** Who may open the sockets of an instance. */
export interface SocketRights {
  /** Group of the sockets. Absent: everybody may connect, behind the base folder that only we may enter. */
  readonly gid?: number;
  /** With `gid` only: 0660 (default) or 0666. */
  readonly mode?: 0o660 | 0o666;
}

/** One folder `<base>/<instance id>` that holds sockets of one instance and is shown to it read-only. */
export class SocketFolder implements AsyncDisposable {
  /** Host path. */
  readonly path: string;
  readonly #rights: SocketRights;

  /**
   * Makes the folder. `longestName`: of the sockets that will lie in it.
   * @throws SandboxError `sandbox.start_failed` when the base is not our own 0700 folder, the folder exists, or a path is too long
   */
  static async create(baseFolder: string, instanceId: string, longestName: string, rights: SocketRights = {}): Promise<SocketFolder> {
    const path = join(baseFolder, instanceId);
    if (!/^[0-9a-f]{32}$/u.test(instanceId)) throw new SandboxError("sandbox.start_failed", "an instance id is 32 hex digits");
    if (Buffer.byteLength(join(path, longestName)) > MAX_SOCKET_PATH_BYTES) {
      throw new SandboxError(
        "sandbox.start_failed",
        `the socket folder's path is too long: a socket path has at most ${MAX_SOCKET_PATH_BYTES} bytes`,
      );
    }
    await assertBase(baseFolder);
    await mkdir(path, { mode: 0o700 }).catch((cause: unknown) => {
      throw new SandboxError("sandbox.start_failed", "the instance's socket folder could not be made", { cause });
    });
    return new SocketFolder(path, rights);
  }

  private constructor(path: string, rights: SocketRights) {
    this.path = path;
    this.#rights = rights;
  }

  /** Makes `server` listen on `name` in the folder, then opens both as far as the rights go. */
  async listen(name: string, server: Server): Promise<void> {
    const { gid, mode } = this.#rights;
    const path = join(this.path, name);
    const listening = Promise.withResolvers<void>();
    server.once("error", listening.reject);
    server.listen(path, BACKLOG, () => listening.resolve());
    await listening.promise;
    server.off("error", listening.reject);
    server.on("error", () => {});
    if (gid !== undefined) {
      await chown(path, -1, gid);
      await chown(this.path, -1, gid);
    }
    await chmod(path, gid === undefined ? 0o666 : (mode ?? 0o660));
    await chmod(this.path, gid === undefined ? 0o711 : 0o750);
  }

  /** Removes the folder with what is in it. Idempotent; never throws. */
  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
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
