import type { PackId } from "@rumi/core";
import type { VocabGroups } from "./vocab-groups.ts";

/** The words that packs bind themselves to. */
export interface PackWords {
  /** Of the pack's approved bytes; null when it has none or uses none. Memory only. */
  groups(pack: PackId): VocabGroups | null;
}
