import { rm } from "node:fs/promises";
import { containedPath, ensureFolder, FolderHandle, writeFileAtomic } from "@rumi/safe-files";

/**
 * The operator's flow and modifier files in `user_data/shared/flows`. Every folder on the way is opened for itself: a link is never
 * followed, and nothing outside is touched. `file` is relative and `/`-separated.
 */
export class SharedFlowFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Puts a file there whole, readable by the operator alone. @throws SafeFilesError `safe_files.tree_unsafe` where a link stands */
  async write(file: string, text: string): Promise<void> {
    await this.#in(file, true, (path) => writeFileAtomic(path, text));
  }

  /** Takes a file away; a link itself, not what it leads to. @throws SafeFilesError as `write` */
  async remove(file: string): Promise<void> {
    await this.#in(file, false, async (path, folder) => {
      await rm(path, { force: true });
      await folder.sync();
    });
  }

  async #in(file: string, make: boolean, act: (path: string, folder: FolderHandle) => Promise<void>): Promise<void> {
    containedPath(this.#folder, file);
    const names = file.split("/");
    const name = names.pop() ?? "";
    if (make) await ensureFolder(this.#folder);
    await using stack = new AsyncDisposableStack();
    let folder = stack.use(await FolderHandle.open(this.#folder));
    for (const next of names) {
      if (make) await ensureFolder(folder.at(next));
      folder = stack.use(await folder.openFolder(next));
    }
    await act(folder.at(name), folder);
    await folder.assertUnmoved();
  }
}
