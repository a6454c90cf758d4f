import { lstat, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { Digest, digestHex, systemRandom } from "@rumi/core";
import type { PackId, Random } from "@rumi/core";
import { copyTree, ensureFolder, hashTree, removeTree, syncFolder } from "@rumi/safe-files";
import type { SignedFiles, TreeEntry, TreeListing } from "@rumi/safe-files";
import * as v from "valibot";

/** Start of the names of copies that are not snapshots yet. */
const STAGING_PREFIX = ".staging-";

const FilesRecord = v.object({
  digest: Digest,
  total_bytes: v.number(),
  entries: v.array(
    v.union([
      v.object({ type: v.literal("d"), path: v.string() }),
      v.object({ type: v.literal("f"), path: v.string(), executable: v.boolean(), size: v.number(), sha256: v.string() }),
    ]),
  ),
});

/** A private copy of a tree, read once and hashed as it was written. It goes with its scope unless it was kept. */
export interface StagedTree extends AsyncDisposable {
  readonly root: string;
  readonly listing: TreeListing;
}

/** A snapshot that was read back. */
export type SnapshotRead =
  | { readonly ok: true; readonly root: string; readonly listing: TreeListing }
  | { readonly ok: false; readonly reason: string };

/**
 * Keeps the immutable, content-addressed copies that are the only thing ever executed:
 * `packs/<pack>/snapshots/<hex>/`, read-only, each with its signed file list beside it.
 */
export class SnapshotStore {
  readonly #signed: SignedFiles;
  readonly #packs: string;
  readonly #random: Random;

  constructor(deps: { readonly signed: SignedFiles; readonly userData: string; readonly random?: Random }) {
    this.#signed = deps.signed;
    this.#packs = join(deps.userData, "packs");
    this.#random = deps.random ?? systemRandom;
  }

  /** The folder of a snapshot, there or not. */
  root(packId: PackId, digest: Digest): string {
    return join(this.#folder(packId), digestHex(digest));
  }

  /** Copies a live folder. @throws SafeFilesError `safe_files.tree_unsafe` */
  async stage(packId: PackId, live: string): Promise<StagedTree> {
    const folder = this.#folder(packId);
    await ensureFolder(this.#packs);
    await ensureFolder(join(this.#packs, packId));
    await ensureFolder(folder);
    const root = join(folder, `${STAGING_PREFIX}${this.#random.hex(8)}`);
    const dispose = (): Promise<void> => removeTree(root);
    try {
      const listing = await copyTree(live, root);
      return { root, listing, [Symbol.asyncDispose]: dispose };
    } catch (cause) {
      await dispose();
      throw cause;
    }
  }

  /**
   * Makes the staged copy the snapshot of its digest. One that is there and still has these bytes is used again;
   * one that has others is replaced. Answers whether the snapshot is new.
   */
  async keep(packId: PackId, staged: StagedTree): Promise<{ root: string; created: boolean }> {
    const { digest, total_bytes, entries } = staged.listing;
    const root = this.root(packId, digest);
    const found = await this.verify(packId, digest);
    if (found.ok) return { root, created: false };
    await removeTree(root);
    await rename(staged.root, root);
    await syncFolder(this.#folder(packId));
    const value = { digest, total_bytes, entries: entries.map((entry) => ({ ...entry })) };
    await this.#signed.write("files", fileName(packId, digest), this.#filesPath(packId, digest), value);
    return { root, created: true };
  }

  /** Re-hashes a snapshot and holds it against its digest and its signed list. Costs a read of every byte. */
  async verify(packId: PackId, digest: Digest): Promise<SnapshotRead> {
    const listed = await this.list(packId, digest);
    if (listed === null) return { ok: false, reason: "its file list is missing or not intact" };
    const root = this.root(packId, digest);
    try {
      const listing = await hashTree(root);
      if (listing.digest !== digest) return { ok: false, reason: "its bytes are not the approved ones" };
      return { ok: true, root, listing };
    } catch {
      return { ok: false, reason: "it is missing or cannot be read safely" };
    }
  }

  /** The signed file list of a snapshot, or null when it is missing or not intact. */
  async list(packId: PackId, digest: Digest): Promise<TreeListing | null> {
    const read = await this.#signed.read("files", fileName(packId, digest), this.#filesPath(packId, digest));
    await setImmediate();
    const parsed = v.safeParse(FilesRecord, read.state === "ok" ? read.value : null);
    if (!parsed.success || parsed.output.digest !== digest) return null;
    const entries: readonly TreeEntry[] = parsed.output.entries;
    return { digest, total_bytes: parsed.output.total_bytes, entries };
  }

  async remove(packId: PackId, digest: Digest): Promise<void> {
    await removeTree(this.root(packId, digest));
    await this.#signed.remove("files", fileName(packId, digest), this.#filesPath(packId, digest));
  }

  /** Removes every snapshot that is not in `keep`. Answers which. */
  async collect(packId: PackId, keep: ReadonlySet<Digest>): Promise<Digest[]> {
    const gone = (await this.#digests(packId)).filter((digest) => !keep.has(digest));
    for (const digest of gone) await this.remove(packId, digest);
    return gone;
  }

  /** Digests that have a folder. */
  async #digests(packId: PackId): Promise<Digest[]> {
    return (await this.#names(packId)).flatMap((name) => {
      const parsed = v.safeParse(Digest, `sha256:${name}`);
      return parsed.success ? [parsed.output] : [];
    });
  }

  /** Removes copies that a stopped daemon left behind. */
  async sweep(packId: PackId): Promise<void> {
    for (const name of await this.#names(packId)) {
      if (name.startsWith(STAGING_PREFIX)) await removeTree(join(this.#folder(packId), name));
    }
  }

  async #names(packId: PackId): Promise<string[]> {
    const folder = this.#folder(packId);
    try {
      if (!(await lstat(folder)).isDirectory()) return [];
      return await readdir(folder);
    } catch (cause) {
      if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return [];
      throw cause;
    }
  }

  #folder(packId: PackId): string {
    return join(this.#packs, packId, "snapshots");
  }

  #filesPath(packId: PackId, digest: Digest): string {
    return join(this.#folder(packId), `${digestHex(digest)}.files.json`);
  }
}

function fileName(packId: PackId, digest: Digest): string {
  return `${packId}/${digestHex(digest)}`;
}
