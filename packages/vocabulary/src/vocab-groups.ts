import { FORBIDDEN_KEYS } from "@rumi/core";
import { MAX_GROUPS, MAX_TERM_CHARS, MAX_TERMS } from "./limits.ts";

/** Words of one pack that mean the same. */
export interface VocabGroup {
  readonly preferred: string;
  /** All of them, the preferred one first; lower case. */
  readonly terms: readonly string[];
}

/** The groups of one pack. */
export interface VocabGroups {
  readonly groups: readonly VocabGroup[];
  /** The preferred term of each term, itself of a preferred one. */
  readonly preferred: ReadonlyMap<string, string>;
}

/** A line of vocab.txt that was left out, and why. */
export interface VocabProblem {
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

/** What a vocab.txt says. */
export interface ParsedVocab extends VocabGroups {
  readonly problems: readonly VocabProblem[];
}

/**
 * The groups of a vocab.txt: one a line, split at commas, else at `=`; the first term is preferred; a line that shares a term with
 * earlier groups becomes part of the earliest. Blank lines, `#` lines and lines of one term say nothing. A line that is not in
 * order is left out alone. `text` is pack-controlled.
 */
export function parseVocab(text: string): ParsedVocab {
  const groups: (readonly string[] | null)[] = [];
  const places = new Map<string, number>();
  const problems: VocabProblem[] = [];
  let count = 0;
  for (const [index, line] of text.split(/\r\n|[\r\n]/u).entries()) {
    const terms = termsOf(line);
    if (terms.length < 2) continue;
    const known = [...new Set(terms.flatMap((term) => places.get(term) ?? []))].sort((a, b) => a - b);
    const merged = [...new Set([...known.flatMap((place) => groups[place] ?? []), ...terms])];
    const fault = faultOf(terms, merged, known.length === 0 ? count + 1 : count);
    if (fault !== null) {
      problems.push({ line: index + 1, message: fault });
      continue;
    }
    const place = known[0] ?? groups.length;
    for (const other of known) groups[other] = null;
    groups[place] = merged;
    for (const term of merged) places.set(term, place);
    count += 1 - known.length;
  }
  const kept = groups.flatMap((terms) => (terms === null ? [] : [{ preferred: terms[0] ?? "", terms }]));
  const preferred = new Map(kept.flatMap((group) => group.terms.map((term) => [term, group.preferred] as const)));
  return { groups: kept, preferred, problems };
}

function termsOf(line: string): string[] {
  const trimmed = line.trim();
  if (trimmed === "" || trimmed.startsWith("#")) return [];
  const terms = trimmed.split(trimmed.includes(",") ? "," : "=").map((term) => term.trim().toLowerCase());
  return [...new Set(terms)].filter((term) => term !== "");
}

function faultOf(terms: readonly string[], merged: readonly string[], count: number): string | null {
  for (const term of terms) {
    if (Array.from(term).length > MAX_TERM_CHARS) return `a term has at most ${MAX_TERM_CHARS} characters`;
    // Keys with a leading `_` are nobody's to rename, and nothing is renamed into one.
    if (term.startsWith("_") || FORBIDDEN_KEYS.has(term)) return "a term does not begin with _, nor is it constructor or prototype";
    if (/\p{Cc}/u.test(term) || !term.isWellFormed()) return "a term holds no control characters";
  }
  if (merged.length > MAX_TERMS) return `a group has at most ${MAX_TERMS} terms`;
  return count > MAX_GROUPS ? `a pack has at most ${MAX_GROUPS} groups` : null;
}
