import { lstat, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { JsonObject, JsonValue } from "@rumi/core";
import { writeFileAtomic } from "./atomic-write.ts";
import { SafeFilesError } from "./errors.ts";
import { ensureFolder, syncParent } from "./folder.ts";
import { readJsonFile } from "./json-file.ts";
import type { Keyring } from "./keyring.ts";
import { removeTree } from "./remove-tree.ts";
import { RevisionIndex } from "./revision-index.ts";

/** Largest signed file; the biggest are file lists of 10,000 files and 10,000 folders with the longest paths. */
const MAX_SIGNED_BYTES = 32 * 1024 * 1024;

/** Collaborators of `SignedFiles`. */
export interface SignedFilesDeps {
  readonly keyring: Keyring;
  /** `permissions/revisions.json` of the home. */
  readonly indexPath: string;
}

/** Why a signed file counts for nothing. */
export type TamperReason =
  | "unsigned"
  | "unknown_key"
  | "bad_signature"
  | "unreadable"
  | "replayed"
  | "missing"
  | "revision_ahead"
  | "locked";

/** What a signed file says. `value` is without `_rev` and `_sig`. */
export type SignedRead =
  | { readonly state: "absent" }
  | { readonly state: "ok"; readonly value: JsonObject; readonly rev: number }
  | { readonly state: "tampered"; readonly reason: TamperReason };

/** What a file says that another key vouches for: the revision inside, and what was found. Null: not to be believed. */
export type Unsealed<T> = { readonly rev: number; readonly value: T } | null;

/** What a sealed file says. */
export type SealedRead<T> =
  | { readonly state: "absent" }
  | { readonly state: "ok"; readonly value: T; readonly rev: number }
  | { readonly state: "tampered"; readonly reason: TamperReason };

/**
 * JSON files that only this home can have written, each at its newest revision. An edited, copied, replayed or removed
 * file reads as `tampered`, never as absent. Calls for all files queue behind each other.
 */
export class SignedFiles {
  readonly #keyring: Keyring;
  readonly #index: RevisionIndex;
  #loaded = false;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(deps: SignedFilesDeps) {
    this.#keyring = deps.keyring;
    this.#index = new RevisionIndex(deps.keyring, deps.indexPath);
  }

  /** Revision of the index; audit heads carry it, so that an index put back whole is found at the next start. */
  get rev(): number {
    return this.#index.rev;
  }

  /** Names of `kind` that must have a file, there or not: one whose file is gone reads as `tampered`. */
  names(kind: string): string[] {
    return this.#index.names(kind);
  }

  /**
   * Reads the index; until it succeeds every read is `tampered` and every write refused.
   * @param options `minRev`: the index revision of the newest audit head; `mustExist`: the home holds signed files
   * (`hasSignedFiles`), so an absent index was taken away
   * @throws SafeFilesError `safe_files.locked` when the index is not ours, older than `minRev`, or absent and `mustExist`
   */
  async load(options: { readonly minRev?: number; readonly mustExist?: boolean } = {}): Promise<void> {
    await this.#index.load(options.minRev ?? 0, options.mustExist ?? false);
    this.#loaded = true;
  }

  /** Reads one file. `kind` and `name` say what belongs at `path`. */
  read(kind: string, name: string, path: string): Promise<SignedRead> {
    return this.#inTurn(() => this.#read(kind, name, path));
  }

  /**
   * Signs `value` as the next revision and puts it at `path`, then into the index. `beforeWrite` (the audit entry) runs
   * first; if it throws, nothing is written. Resolves with the revision. A tampered file is replaced.
   * @throws SafeFilesError `safe_files.locked`
   */
  write(kind: string, name: string, path: string, value: JsonObject, beforeWrite?: (rev: number) => Promise<void>): Promise<number> {
    return this.#inTurn(async () => {
      const rev = await this.#nextRev(kind, name, path);
      await beforeWrite?.(rev);
      await this.#put(kind, name, path, rev, value);
      await this.#index.note(kind, name, { rev, removed: false });
      return rev;
    });
  }

  /** Removes one file for good: none of its older forms will be believed again. Absent is fine. */
  remove(kind: string, name: string, path: string, beforeWrite?: (rev: number) => Promise<void>): Promise<void> {
    return this.#inTurn(async () => {
      const known = this.#index.get(kind, name);
      const read = await this.#read(kind, name, path);
      if (read.state === "absent" && known.removed) return;
      const rev = await this.#nextRev(kind, name, path);
      await beforeWrite?.(rev);
      // No file can take the place of a folder that somebody put there.
      if ((await lstat(path).catch(() => null))?.isDirectory() === true) await removeTree(path);
      // A signed "removed" first: a crash before the index is written leaves it to catch up.
      await this.#put(kind, name, path, rev, { _removed: true });
      await this.#index.note(kind, name, { rev, removed: true });
      await unlinkDurably(path);
    });
  }

  /**
   * Reads a file that carries its own proof (authenticated encryption) and whose revision stands in this index: an old or
   * copied one reads as `tampered`. `open` judges what lies there for `name` and tells the revision inside.
   */
  readSealed<T>(kind: string, name: string, path: string, open: (value: JsonValue) => Unsealed<T>): Promise<SealedRead<T>> {
    return this.#inTurn(() => this.#readSealed(kind, name, path, open));
  }

  /**
   * Writes such a file as the next revision: `beforeWrite` (the audit entry), file, index. Resolves with the revision.
   * @throws SafeFilesError `safe_files.locked`
   */
  writeSealed<T>(
    file: { readonly kind: string; readonly name: string; readonly path: string; open(value: JsonValue): Unsealed<T> },
    seal: (rev: number) => JsonObject,
    beforeWrite?: (rev: number) => Promise<void>,
  ): Promise<number> {
    return this.#inTurn(async () => {
      const { kind, name, path } = file;
      if (!this.#loaded) throw new SafeFilesError("safe_files.locked", "signed files are locked");
      await this.#readSealed(kind, name, path, (value) => file.open(value));
      const rev = this.#index.get(kind, name).rev + 1;
      await beforeWrite?.(rev);
      await ensureFolder(dirname(path));
      await writeFileAtomic(path, `${JSON.stringify(seal(rev), null, 2)}\n`);
      await this.#index.note(kind, name, { rev, removed: false });
      return rev;
    });
  }

  async #readSealed<T>(kind: string, name: string, path: string, open: (value: JsonValue) => Unsealed<T>): Promise<SealedRead<T>> {
    if (!this.#loaded) return { state: "tampered", reason: "locked" };
    const known = this.#index.get(kind, name);
    const file = await load(path);
    if (file.state === "absent") return known.removed ? file : { state: "tampered", reason: "missing" };
    if (file.state === "unreadable") return { state: "tampered", reason: "unreadable" };
    const opened = open(file.value);
    if (opened === null) return { state: "tampered", reason: "bad_signature" };
    const { rev, value } = opened;
    if (rev < known.rev) return { state: "tampered", reason: "replayed" };
    if (rev > known.rev + 1) return { state: "tampered", reason: "revision_ahead" };
    if (rev === known.rev + 1) await this.#index.note(kind, name, { rev, removed: false });
    return { state: "ok", value, rev };
  }

  async #read(kind: string, name: string, path: string): Promise<SignedRead> {
    if (!this.#loaded) return { state: "tampered", reason: "locked" };
    const known = this.#index.get(kind, name);
    const file = await load(path);
    if (file.state === "absent") return known.removed ? file : { state: "tampered", reason: "missing" };
    if (file.state === "unreadable") return { state: "tampered", reason: "unreadable" };
    // The largest files take long to parse and to sign: others get their turn in between.
    await setImmediate();
    const verified = this.#keyring.verify(kind, name, file.value);
    if (!verified.ok) return { state: "tampered", reason: verified.reason };
    const { rev, value } = verified;
    const removed = value._removed === true;
    if (rev < known.rev || (rev === known.rev && removed !== known.removed)) {
      return { state: "tampered", reason: "replayed" };
    }
    if (rev > known.rev + 1) return { state: "tampered", reason: "revision_ahead" };
    if (rev === known.rev + 1) await this.#index.note(kind, name, { rev, removed });
    if (!removed) return { state: "ok", value, rev };
    await unlinkDurably(path);
    return { state: "absent" };
  }

  /** One past the index, and past a file whose index entry a crash prevented. */
  async #nextRev(kind: string, name: string, path: string): Promise<number> {
    if (!this.#loaded) throw new SafeFilesError("safe_files.locked", "signed files are locked");
    await this.#read(kind, name, path);
    return this.#index.get(kind, name).rev + 1;
  }

  async #put(kind: string, name: string, path: string, rev: number, value: JsonObject): Promise<void> {
    await ensureFolder(dirname(path));
    const signed = this.#keyring.sign(kind, name, { ...value, _rev: rev });
    await writeFileAtomic(path, `${JSON.stringify(signed, null, 2)}\n`);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}

type Loaded = { state: "absent" } | { state: "unreadable" } | { state: "there"; value: JsonValue };

async function load(path: string): Promise<Loaded> {
  try {
    return { state: "there", value: await readJsonFile(path, { maxBytes: MAX_SIGNED_BYTES }) };
  } catch (error) {
    const absent = error instanceof SafeFilesError && error.code === "safe_files.not_found";
    return { state: absent ? "absent" : "unreadable" };
  }
}

async function unlinkDurably(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncParent(path);
}
