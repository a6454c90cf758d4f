import { constants, existsSync, type Dirent } from "node:fs";
import { lstat, open, readdir, type FileHandle } from "node:fs/promises";
import { systemCode } from "./errors.ts";
import { treeUnsafe } from "./tree-path.ts";

const FOLDER_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * One open folder. Names below it are reached through the handle where the system allows (`/proc/self/fd`), so that
 * nobody can swap a folder on the way for a link. Elsewhere `close` finds out whether the folder is still the one opened.
 */
export class FolderHandle implements AsyncDisposable {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #anchored: boolean;
  /** Path of the folder inside its tree, empty for the root. */
  readonly treePath: string;

  private constructor(handle: FileHandle, path: string, treePath: string, anchored: boolean) {
    this.#handle = handle;
    this.#path = path;
    this.#anchored = anchored;
    this.treePath = treePath;
  }

  /** Opens a real folder. @throws the system's error; `ENOTDIR` or `ELOOP` for a link */
  static async open(path: string | Buffer, treePath = ""): Promise<FolderHandle> {
    const handle = await open(path, FOLDER_FLAGS);
    const anchor = `/proc/self/fd/${handle.fd}`;
    const anchored = existsSync(`${anchor}/.`);
    return new FolderHandle(handle, anchored ? anchor : path.toString(), treePath, anchored);
  }

  /** Where the child `name` is reached. */
  at(name: string): string {
    return `${this.#path}/${name}`;
  }

  /** Path of the child `name` inside the tree. */
  childPath(name: string): string {
    return this.treePath === "" ? name : `${this.treePath}/${name}`;
  }

  /** Raw names and kinds of the children, in no order. */
  list(): Promise<Dirent<NonSharedBuffer>[]> {
    return readdir(this.#path, { encoding: "buffer", withFileTypes: true });
  }

  /** Opens the child folder `name`. @throws SafeFilesError `safe_files.tree_unsafe` */
  async openFolder(name: string): Promise<FolderHandle> {
    try {
      return await FolderHandle.open(this.at(name), this.childPath(name));
    } catch (cause) {
      const changed = ["ENOTDIR", "ELOOP", "ENOENT"].includes(systemCode(cause) ?? "");
      throw treeUnsafe(changed ? "changed" : "unreadable", this.childPath(name), cause);
    }
  }

  /** Makes the folder's names survive a power cut. */
  sync(): Promise<void> {
    return this.#handle.sync();
  }

  /** Sets the folder's own mode. */
  chmod(mode: number): Promise<void> {
    return this.#handle.chmod(mode);
  }

  /** @throws SafeFilesError `safe_files.tree_unsafe` rule `changed` when the path no longer leads to the opened folder */
  async assertUnmoved(): Promise<void> {
    if (this.#anchored) return;
    const [now, opened] = await Promise.all([lstat(this.#path, { bigint: true }).catch(() => null), this.#handle.stat({ bigint: true })]);
    if (now === null || now.ino !== opened.ino || now.dev !== opened.dev) throw treeUnsafe("changed", this.treePath);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#handle.close();
  }
}
