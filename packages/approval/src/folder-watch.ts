import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join, sep } from "node:path";
import type { Logger } from "@rumi/core";
import { LEGACY_FOLDER } from "@rumi/pack-manifest";

/** Most folders that are watched one by one; beyond them the poll alone sees changes. */
const MAX_WATCHED_FOLDERS = 20_000;

/** Most folders watched of one pack: no pack uses up the watches of the others. */
const MAX_WATCHED_PER_PACK = 4000;

/** Systems where one recursive watch reports every change below a folder. */
const RECURSIVE_PLATFORMS: ReadonlySet<string> = new Set(["darwin", "win32"]);

interface WatchedFolder {
  readonly watcher: FSWatcher;
  readonly inode: number;
  readonly pack: string | null;
}

/**
 * Says at once which pack's folder was touched (`null`: a folder of packs, so any). It may say it too often and, where
 * the system reports nothing, not at all: a poll stands beside it.
 */
export class FolderWatch implements Disposable {
  readonly #ecosystem: string;
  readonly #onTouch: (pack: string | null) => void;
  readonly #logger: Logger;
  readonly #folders = new Map<string, WatchedFolder>();
  readonly #recursive: boolean;
  readonly #limits: { readonly all: number; readonly perPack: number };
  #closed = false;
  #full = false;

  constructor(deps: {
    readonly ecosystem: string;
    readonly onTouch: (pack: string | null) => void;
    readonly logger: Logger;
    readonly platform: string;
    readonly limits?: { readonly all: number; readonly perPack: number };
  }) {
    this.#ecosystem = deps.ecosystem;
    this.#onTouch = deps.onTouch;
    this.#logger = deps.logger;
    this.#recursive = RECURSIVE_PLATFORMS.has(deps.platform);
    this.#limits = deps.limits ?? { all: MAX_WATCHED_FOLDERS, perPack: MAX_WATCHED_PER_PACK };
  }

  /** Watches the folders that hold packs. Call again when they may have come or gone. */
  async watchRoots(): Promise<void> {
    await this.#add(this.#ecosystem, null);
    if (!this.#recursive) await this.#add(join(this.#ecosystem, LEGACY_FOLDER), null);
  }

  /** Brings the watches of one pack in line with its folders. Changes after this call are reported. */
  async watchPack(pack: string, folder: string): Promise<void> {
    if (this.#recursive) return;
    const seen = new Set<string>();
    const walk = async (path: string): Promise<void> => {
      if (seen.size >= this.#limits.perPack) return;
      seen.add(path);
      await this.#add(path, pack);
      const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
      for (const entry of entries) if (entry.isDirectory()) await walk(join(path, entry.name));
    };
    await walk(folder);
    for (const [path, watched] of this.#folders) {
      if (watched.pack === pack && !seen.has(path)) this.#drop(path);
    }
  }

  /** Ends the watches of a pack that is gone. */
  dropPack(pack: string): void {
    for (const [path, watched] of this.#folders) if (watched.pack === pack) this.#drop(path);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const path of [...this.#folders.keys()]) this.#drop(path);
  }

  async #add(path: string, pack: string | null): Promise<void> {
    const stat = await lstat(path).catch(() => null);
    const known = this.#folders.get(path);
    if (known !== undefined && stat?.ino === known.inode) return;
    if (known !== undefined) this.#drop(path);
    if (this.#closed || stat === null || !stat.isDirectory() || this.#folders.size >= this.#limits.all) return;
    try {
      const options = { persistent: false, recursive: this.#recursive };
      const watcher = watch(path, options, (_event, name) => this.#onTouch(this.#recursive ? packOf(name) : pack));
      watcher.on("error", () => {
        this.#drop(path);
        this.#onTouch(pack);
      });
      this.#folders.set(path, { watcher, inode: stat.ino, pack });
    } catch {
      if (!this.#full) this.#logger.log("warn", "the system gives no more folder watches; changes are seen by polling");
      this.#full = true;
    }
  }

  #drop(path: string): void {
    this.#folders.get(path)?.watcher.close();
    this.#folders.delete(path);
  }
}

function packOf(name: string | null): string | null {
  const [first, second] = (name ?? "").split(sep);
  const pack = first === LEGACY_FOLDER ? second : first;
  return pack === undefined || pack === "" ? null : pack;
}
