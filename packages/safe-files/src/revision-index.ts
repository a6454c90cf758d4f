import { dirname } from "node:path";
import { canonicalJson, isJsonObject, type JsonObject } from "@rumi/core";
import { writeFileAtomic } from "./atomic-write.ts";
import { SafeFilesError } from "./errors.ts";
import { ensureFolder } from "./folder.ts";
import { parseJsonBytes } from "./json-file.ts";
import type { Keyring } from "./keyring.ts";
import { readFileBytes } from "./read-file.ts";

/** The index grows with every signed file ever written; this is some 100,000 of them. */
const MAX_INDEX_BYTES = 16 * 1024 * 1024;
const KIND = "revisions";
const NAME = "-";

/** What the index knows of one signed file. */
export interface Revision {
  readonly rev: number;
  /** The file was removed at `rev`; its older forms stay worthless. */
  readonly removed: boolean;
}

/** The newest revision of every signed file, itself signed, so that an old file put back is found. */
export class RevisionIndex {
  readonly #keyring: Keyring;
  readonly #path: string;
  #rev = 0;
  #files = new Map<string, Revision>();

  constructor(keyring: Keyring, path: string) {
    this.#keyring = keyring;
    this.#path = path;
  }

  /** Revision of the index itself; it grows with every write. */
  get rev(): number {
    return this.#rev;
  }

  /** What is known of a file; an unknown one is at revision 0. */
  get(kind: string, name: string): Revision {
    return this.#files.get(`${kind}/${name}`) ?? { rev: 0, removed: true };
  }

  /** Names of one kind that must have a file. */
  names(kind: string): string[] {
    const prefix = `${kind}/`;
    return [...this.#files].flatMap(([key, { removed }]) => (!removed && key.startsWith(prefix) ? [key.slice(prefix.length)] : []));
  }

  /**
   * Reads the index; an absent one is made, so that it stands before the first signed file does.
   * @throws SafeFilesError `safe_files.locked` when it is not ours, older than `minRev` (0 = anything goes), or absent and `mustExist`
   */
  async load(minRev: number, mustExist: boolean): Promise<void> {
    const text = await readFileBytes(this.#path, MAX_INDEX_BYTES).catch((error: unknown) => {
      if (error instanceof SafeFilesError && error.code === "safe_files.not_found") return null;
      throw error;
    });
    if (text !== null) this.#adopt(text);
    else if (mustExist) throw locked("the index of signed files is missing beside signed files");
    if (this.#rev < minRev) throw locked("the index of signed files is older than the audit log knows it");
    if (text === null) await this.#write(this.#files);
  }

  /** Notes revisions and puts the index on disk. */
  async note(kind: string, name: string, revision: Revision): Promise<void> {
    const files = new Map(this.#files).set(`${kind}/${name}`, revision);
    await this.#write(files);
    this.#files = files;
  }

  async #write(files: ReadonlyMap<string, Revision>): Promise<void> {
    const listed = Object.fromEntries([...files].map(([key, { rev, removed }]) => [key, removed ? { rev, removed } : { rev }]));
    const signed = this.#keyring.sign(KIND, NAME, { _rev: this.#rev + 1, files: listed });
    await ensureFolder(dirname(this.#path));
    await writeFileAtomic(this.#path, `${canonicalJson(signed)}\n`);
    this.#rev += 1;
  }

  #adopt(text: Uint8Array): void {
    const verified = this.#verify(text);
    if (!verified.ok || !isJsonObject(verified.value.files)) throw locked("the index of signed files was tampered with");
    const files = new Map<string, Revision>();
    for (const [key, entry] of Object.entries(verified.value.files)) {
      if (!isJsonObject(entry) || typeof entry.rev !== "number") throw locked("the index of signed files is not one");
      files.set(key, { rev: entry.rev, removed: entry.removed === true });
    }
    this.#files = files;
    this.#rev = verified.rev;
  }

  #verify(text: Uint8Array): { ok: true; value: JsonObject; rev: number } | { ok: false } {
    try {
      return this.#keyring.verify(KIND, NAME, parseJsonBytes(text, { maxBytes: MAX_INDEX_BYTES }));
    } catch {
      return { ok: false };
    }
  }
}

function locked(message: string): SafeFilesError {
  return new SafeFilesError("safe_files.locked", message, { remedy: "rumi restore" });
}
