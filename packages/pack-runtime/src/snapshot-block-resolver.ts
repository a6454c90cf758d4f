import type { PackId } from "@rumi/core";
import { sha256 } from "@rumi/core";
import type { BlockResolver, BlockTarget } from "@rumi/flow-engine";
import { planBlockFile, runtimeOf } from "@rumi/pack-manifest";
import type { TreeListing } from "@rumi/safe-files";
import type { ApprovalGate } from "./ports.ts";

/** Stands for the bytes of a pack that is there but may not run: nothing has this digest, so the gate refuses it. */
export const NO_BYTES = sha256("rumi: no approved bytes");

export interface SnapshotBlockResolverDeps {
  readonly gate: Pick<ApprovalGate, "gate">;
  /** True when a pack of that id is in the ecosystem folder or has a record, whatever its state. */
  readonly isKnown: (packId: PackId) => boolean;
}

/**
 * Finds the file of a step in the pack's approved snapshot. A pack that is there but may not run now is "found" at
 * bytes that nothing has: the step then ends with the gate's own refusal, not as missing.
 */
export class SnapshotBlockResolver implements BlockResolver {
  readonly #deps: SnapshotBlockResolverDeps;
  readonly #paths = new WeakMap<TreeListing, ReadonlySet<string>>();

  constructor(deps: SnapshotBlockResolverDeps) {
    this.#deps = deps;
  }

  resolve(pack: PackId, file: string): BlockTarget {
    const passed = this.#deps.gate.gate(pack);
    if (passed.allowed) {
      const plan = planBlockFile({ paths: this.#pathsOf(passed.listing) }, passed.subdir, file);
      return plan.ok
        ? { found: true, file: plan.path, runtime: plan.runtime, digest: passed.digest }
        : { found: false, missing: "file", message: `pack "${pack}": ${plan.message}` };
    }
    if (!this.#deps.isKnown(pack)) return { found: false, missing: "pack", message: `there is no pack "${pack}"` };
    return { found: true, file, runtime: runtimeOf(file) ?? "python", digest: NO_BYTES };
  }

  #pathsOf(listing: TreeListing): ReadonlySet<string> {
    let paths = this.#paths.get(listing);
    if (paths === undefined) {
      paths = new Set(listing.entries.filter((entry) => entry.type === "f").map((entry) => entry.path));
      this.#paths.set(listing, paths);
    }
    return paths;
  }
}
