import { canonicalJson } from "@rumi/core";
import type { JsonValue } from "@rumi/core";
import { REVIEW_SECTIONS } from "./ports.ts";
import type { ReviewItem, ReviewSectionName, ReviewSections } from "./ports.ts";

/** What one section gains, loses and changes. Keys and values are pack-controlled. */
export interface SectionChange {
  readonly added: readonly ReviewItem[];
  readonly removed: readonly ReviewItem[];
  readonly changed: readonly { readonly key: string; readonly from: JsonValue; readonly to: JsonValue }[];
}

/** Every section of a review, also the ones without a change. */
export type SectionChanges = { readonly [Name in ReviewSectionName]: SectionChange };

/** Compares what two trees ask for, section by section. `base` null: everything is added. */
export function compareSections(base: ReviewSections | null, next: ReviewSections): SectionChanges {
  const pairs = REVIEW_SECTIONS.map((name): [ReviewSectionName, SectionChange] => [
    name,
    compareItems(base?.[name] ?? [], next[name] ?? []),
  ]);
  return Object.fromEntries(pairs) as { [Name in ReviewSectionName]: SectionChange };
}

/** Items with the same key are the same thing. */
function compareItems(base: readonly ReviewItem[], next: readonly ReviewItem[]): SectionChange {
  const before = byKey(base);
  const after = byKey(next);
  const changed: { key: string; from: JsonValue; to: JsonValue }[] = [];
  for (const [key, { value }] of after) {
    const old = before.get(key);
    if (old !== undefined && canonicalJson(old.value) !== canonicalJson(value)) changed.push({ key, from: old.value, to: value });
  }
  return {
    added: [...after.values()].filter((item) => !before.has(item.key)),
    removed: [...before.values()].filter((item) => !after.has(item.key)),
    changed,
  };
}

/** A repeated key is numbered: no item hides another. */
function byKey(items: readonly ReviewItem[]): Map<string, ReviewItem> {
  const map = new Map<string, ReviewItem>();
  for (const item of items) {
    let key = item.key;
    for (let n = 2; map.has(key); n += 1) key = `${item.key} (${n})`;
    map.set(key, { ...item, key });
  }
  return map;
}
