import type { Digest, JsonValue, PackId } from "@rumi/core";
import type { PackDescription } from "@rumi/pack-manifest";
import type { TreeListing } from "@rumi/safe-files";

/** One thing a pack brings or wishes for, named by `key` within its section. `value` is pack-controlled JSON. */
export interface ReviewItem<Value extends JsonValue = JsonValue> {
  readonly key: string;
  readonly value: Value;
}

/** What one modifier does to one target. `overwrites` are keys that the target's other steps or inputs write. */
export type ModifierFacts = {
  readonly modifier_id: string;
  readonly target: string;
  readonly action: string;
  readonly wide: boolean;
  readonly reads: readonly string[];
  readonly writes: readonly string[];
  readonly overwrites: readonly string[];
};

/** Names of the parts of a review, in the order they are shown. Source: page "Trust", section 5. */
export const REVIEW_SECTIONS = [
  "permissions",
  "domains",
  "routes",
  "schedules",
  "modifiers",
  "dependencies",
  "handlers",
  "functions",
  "stores",
  "secrets",
  "lib",
] as const;
export type ReviewSectionName = (typeof REVIEW_SECTIONS)[number];

/** What one tree asks for and brings. A section without items may be left out. */
export type ReviewSections = {
  readonly [Name in Exclude<ReviewSectionName, "modifiers">]?: readonly ReviewItem[];
} & {
  readonly modifiers?: readonly ReviewItem<ModifierFacts>[];
  /** The pack's wish to run on the host; shown red. Left out: none. */
  readonly host_execution?: JsonValue;
  /** Texts for the operator about this tree. */
  readonly warnings?: readonly string[];
};

/**
 * Reads what a tree asks for and brings. `root` is a frozen copy whose bytes `listing` names; nothing in it is run.
 * Never throws for what the files say: that is a warning.
 */
export interface ReviewReader {
  read(root: string, listing: TreeListing, pack: PackDescription): Promise<ReviewSections>;
}

/** What else of the house knows about packs. Every member may be left out. */
export interface PackFacts {
  /** Digests of the pack that a container, an unfinished run or a build still needs; they are not collected. */
  digestsInUse?(packId: PackId): Iterable<Digest> | Promise<Iterable<Digest>>;
  /** True when the pack came in through an import; such a pack is never approved by itself. */
  isImported?(packId: PackId): boolean;
}
