import { isJsonObject } from "@rumi/core";
import type { JsonValue } from "@rumi/core";
import type { VocabGroups } from "./vocab-groups.ts";

/** Warnings told of one value; the rest is counted. */
const MAX_WARNINGS = 10;
/** Characters of a key that a warning shows. Source: page "Flows", section 1. */
const MAX_SHOWN_CHARS = 80;

/** A value with its keys in the pack's preferred terms. */
export interface Normalized {
  readonly value: JsonValue;
  /** Each begins with `vocab.collision: `. */
  readonly warnings: readonly string[];
}

/**
 * Renames the top-level keys of `value` that stand in a group, in any case, to its preferred term, in their place. A key of that
 * very name keeps it, else the first that wants it gets it; losers keep their own. Keys with a leading `_` and everything nested
 * stay. The value itself comes back when nothing is renamed. `value` is pack-controlled.
 */
export function normalizeKeys({ preferred }: VocabGroups, value: JsonValue): Normalized {
  if (preferred.size === 0 || !isJsonObject(value)) return { value, warnings: [] };
  const taken = new Set<string>();
  const renamed = new Map<string, string>();
  const losers: [key: string, term: string][] = [];
  for (const key of Object.keys(value)) {
    const term = key.startsWith("_") ? undefined : preferred.get(key.toLowerCase());
    if (term === undefined || term === key) continue;
    if (taken.has(term) || Object.hasOwn(value, term)) {
      losers.push([key, term]);
      continue;
    }
    taken.add(term);
    renamed.set(key, term);
  }
  const warnings = warningsOf(losers);
  if (renamed.size === 0) return { value, warnings };
  return { value: Object.fromEntries(Object.entries(value).map(([key, item]) => [renamed.get(key) ?? key, item])), warnings };
}

function warningsOf(losers: readonly (readonly [key: string, term: string])[]): string[] {
  const told = losers
    .slice(0, MAX_WARNINGS)
    .map(([key, term]) => `vocab.collision: ${shown(key)} keeps its name, ${shown(term)} is there already`);
  const more = losers.length - told.length;
  return more > 0 ? [...told, `vocab.collision: and ${more} more`] : told;
}

function shown(key: string): string {
  return JSON.stringify(key.slice(0, MAX_SHOWN_CHARS).toWellFormed());
}
