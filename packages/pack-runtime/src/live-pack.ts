import type { BlockResolver, ModifierRights } from "@rumi/flow-engine";
import { planBlockFile } from "@rumi/pack-manifest";
import type { LivePack } from "./flow-sources.ts";

/** Finds files as `resolver` does, those of one pack in its folder as it lies there: for looking at, never for running. */
export function withLiveBlocks(resolver: BlockResolver, { pack_id: id, subdir, listing }: LivePack): BlockResolver {
  if (listing === null) return resolver;
  const paths = new Set(listing.entries.filter((entry) => entry.type === "f").map((entry) => entry.path));
  return {
    resolve(pack, file) {
      if (pack !== id) return resolver.resolve(pack, file);
      const plan = planBlockFile({ paths }, subdir, file);
      return plan.ok
        ? { found: true, file: plan.path, runtime: plan.runtime, digest: listing.digest }
        : { found: false, missing: "file", message: `pack "${pack}": ${plan.message}` };
    },
  };
}

/** The rights as they would be with a yes to a pack's folder: an approval lists what its modifiers overwrite. */
export function withLiveConsent(rights: ModifierRights, { pack_id: id }: Pick<LivePack, "pack_id">): ModifierRights {
  return {
    mayReachWide: (pack) => rights.mayReachWide(pack),
    consentedOverwrites: (pack, modifierId) => (pack === id ? EVERY_KEY : rights.consentedOverwrites(pack, modifierId)),
  };
}

class EveryKey extends Set<string> {
  override has(): boolean {
    return true;
  }
}

const EVERY_KEY: ReadonlySet<string> = new EveryKey();
