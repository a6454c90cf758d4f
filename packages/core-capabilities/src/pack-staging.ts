import { copyFile, mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ApprovedPack } from "@rumi/approval";
import { isoTime } from "@rumi/core";
import type { Clock, PackId, Random } from "@rumi/core";
import { readPack } from "@rumi/pack-manifest";
import { containedPath, ensureFolder, hashTree, removeTree, writeFileAtomic } from "@rumi/safe-files";
import type { SignedFiles, TreeListing } from "@rumi/safe-files";

/** Trees in staging before packs may propose nothing more: of the 50 places (page "Trust", section 13) the last are the operator's. */
const MAX_STAGINGS = 40;

/** Why nothing was staged, in the words of the pack that asked. */
export class StagingRefusal extends Error {
  readonly errorType: string;

  constructor(errorType: string, message: string) {
    super(message);
    this.name = "StagingRefusal";
    this.errorType = errorType;
  }
}

/** What is to be changed, and by whom. Paths were checked; contents are pack-controlled. */
export interface Proposal {
  readonly changes: readonly { readonly file_path: string; readonly content: string }[];
  readonly actor: PackId;
  readonly notes: string;
}

/** Makes changed copies of packs in `user_data/pack_staging/<id>/`: a signed `meta.json`, and the tree in `packs/<pack>/`. */
export class PackStaging {
  readonly #deps: { readonly signed: SignedFiles; readonly clock: Clock; readonly random: Random };
  readonly #root: string;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: { readonly signed: SignedFiles; readonly clock: Clock; readonly random: Random }, userData: string) {
    this.#deps = deps;
    this.#root = join(userData, "pack_staging");
  }

  /**
   * The id of the staged copy. Whatever fails, nothing is left. One at a time.
   * @throws StagingRefusal; SafeFilesError `safe_files.tree_unsafe`
   */
  stage(target: ApprovedPack, proposal: Proposal, signal: AbortSignal): Promise<string> {
    const staged = this.#turn.then(() => this.#stage(target, proposal, signal));
    this.#turn = staged.catch(() => undefined);
    return staged;
  }

  async #stage(target: ApprovedPack, proposal: Proposal, signal: AbortSignal): Promise<string> {
    await ensureFolder(this.#root);
    const waiting = (await readdir(this.#root, { withFileTypes: true })).filter((entry) => entry.isDirectory());
    if (waiting.length >= MAX_STAGINGS) throw new StagingRefusal("quota_exceeded", "Too many proposals wait already");
    const id = this.#deps.random.hex(16);
    const folder = join(this.#root, id);
    const tree = join(folder, "packs", target.pack_id);
    try {
      await mkdir(tree, { recursive: true, mode: 0o700 });
      await copyChanged(target, tree, proposal, signal);
      const listing = await hashTree(tree);
      assertSame(target.listing, listing, proposal);
      const read = await readPack(tree, target.pack_id);
      if (!read.ok) throw new StagingRefusal("validation_error", `The changed pack is not in order: ${read.problems[0]?.message ?? ""}`);
      const { manifest } = read.pack;
      await this.#deps.signed.write("staging", id, join(folder, "meta.json"), {
        origin: "propose_patch",
        packs: [{ pack_id: target.pack_id, pack_identity: manifest.pack_identity, version: manifest.version, digest: listing.digest }],
        actor: proposal.actor,
        notes: proposal.notes,
        imported_at: isoTime(this.#deps.clock.now()),
        base_digest: target.digest,
        changed_paths: proposal.changes.map((change) => change.file_path),
      });
      return id;
    } catch (cause) {
      await removeTree(folder);
      throw cause;
    }
  }
}

/** Copies the snapshot, with the changed files instead of their old ones. */
async function copyChanged(target: ApprovedPack, tree: string, proposal: Proposal, signal: AbortSignal): Promise<void> {
  const changed = new Map(proposal.changes.map((change) => [change.file_path, change.content]));
  for (const entry of target.listing.entries) {
    if (signal.aborted) throw new StagingRefusal("cancelled", "Cancelled");
    const path = containedPath(tree, entry.path);
    if (entry.type === "d") await mkdir(path, { recursive: true, mode: 0o700 });
    else if (!changed.has(entry.path)) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await copyFile(containedPath(target.root, entry.path), path);
    }
  }
  const executable = new Set(target.listing.entries.flatMap((entry) => (entry.type === "f" && entry.executable ? [entry.path] : [])));
  for (const [filePath, content] of changed) {
    const path = containedPath(tree, filePath);
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await writeFileAtomic(path, content, { mode: executable.has(filePath) ? 0o700 : 0o600 });
    } catch (cause) {
      if (isPathClash(cause)) throw new StagingRefusal("validation_error", `${filePath}: a file and a folder would have one name`);
      throw cause;
    }
  }
}

function isPathClash(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && ["EEXIST", "ENOTDIR", "EISDIR", "ENOTEMPTY"].includes(String(cause.code));
}

/** What was not to be changed is byte for byte what was approved. */
function assertSame(before: TreeListing, after: TreeListing, proposal: Proposal): void {
  const changed = new Set(proposal.changes.map((change) => change.file_path));
  const now = new Map(after.entries.map((entry) => [entry.path, entry]));
  for (const entry of before.entries) {
    if (entry.type !== "f" || changed.has(entry.path)) continue;
    const copy = now.get(entry.path);
    if (copy?.type !== "f" || copy.sha256 !== entry.sha256) throw new StagingRefusal("internal_error", "The approved copy is damaged");
  }
}
