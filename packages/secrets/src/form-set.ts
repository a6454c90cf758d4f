import type { Form } from "./forms.ts";
import type { View } from "./views.ts";
import { WindowMatcher, type Stretches } from "./window-matcher.ts";

/** A stretch of a raw text, end exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A stretch that says something of one value. */
export interface Hit extends Span {
  /** What the caller named the value's forms with. */
  readonly owner: number;
}

/** The forms of any number of values, ready to be looked for all at once. */
export class FormSet {
  readonly #eights = new WindowMatcher(8);
  readonly #fours = new WindowMatcher(4);
  readonly #ownersOfEights: number[] = [];
  readonly #ownersOfFours: number[] = [];

  /** The longest window of all forms. */
  #longest = 0;

  /** How far from an escape a view must show the text (`ViewOptions.reach`): an escape may stand inside another one. */
  get reach(): number {
    return this.#longest + 16;
  }

  get empty(): boolean {
    return this.#eights.empty && this.#fours.empty;
  }

  add(owner: number, forms: readonly Form[]): void {
    const groups = new Map<number, number>();
    for (const { bytes, window } of forms) {
      this.#longest = Math.max(this.#longest, window);
      const [matcher, owners] = window >= 8 ? [this.#eights, this.#ownersOfEights] : [this.#fours, this.#ownersOfFours];
      let group = groups.get(window);
      if (group === undefined) {
        group = matcher.addGroup(window);
        owners[group] = owner;
        groups.set(window, group);
      }
      matcher.addString(group, bytes);
    }
  }

  /** Where values show in any of the views, in raw places and no order. `cut`: the text's ends may have been cut off. */
  find(views: Iterable<View>, cut = false): Hit[] {
    const hits: Hit[] = [];
    for (const view of views) {
      gather(view, this.#eights.scan(view.bytes, view.length, cut), this.#ownersOfEights, hits);
      gather(view, this.#fours.scan(view.bytes, view.length), this.#ownersOfFours, hits);
    }
    return hits;
  }
}

function gather(view: View, stretches: Stretches, owners: readonly number[], hits: Hit[]): void {
  for (let at = 0; at < stretches.length; at += 3) {
    const start = view.rawStart(stretches[at] ?? 0);
    hits.push({ start, end: view.rawEnd((stretches[at + 1] ?? 1) - 1), owner: owners[stretches[at + 2] ?? 0] ?? 0 });
  }
}

/** The spans in order, those that overlap or touch made one. */
export function mergeSpans(spans: readonly Span[]): Span[] {
  const merged: Span[] = [];
  let open: { start: number; end: number } | null = null;
  for (const { start, end } of spans.toSorted((a, b) => a.start - b.start)) {
    if (open !== null && start <= open.end) open.end = Math.max(open.end, end);
    else merged.push((open = { start, end }));
  }
  return merged;
}

/** A line's end, behind which a text may be let go where no value holds one. */
const LINE_END = 0x0a;

/**
 * Tells how much of a text's end could still become a piece of a value when more text comes. What the text says plays no part
 * in it, only its length, its lines and its escapes: else what is held back would tell a reader which bytes a value holds.
 */
export class TailJudge {
  /** Bytes of any view that are too few to be a piece of a value by themselves. */
  readonly #held: number;
  /** No form goes on over the end of a line. */
  readonly #lines: boolean;

  constructor(forms: readonly Form[]) {
    this.#held = forms.reduce((most, { window }) => Math.max(most, window - 1), 0);
    this.#lines = forms.every(({ bytes }) => !bytes.includes(LINE_END));
  }

  /** The raw place before which no later text can make anything of these views a piece of a value. */
  safe(views: readonly View[], length: number): number {
    const [raw] = views;
    const line = this.#lines && raw !== undefined ? raw.bytes.subarray(0, length).lastIndexOf(LINE_END) + 1 : 0;
    let safe = length;
    for (const view of views) safe = Math.min(safe, view.tailStart(this.#held));
    for (let before = -1; before !== safe;) {
      before = safe;
      for (const view of views) safe = view.wholeEscape(safe);
    }
    return Math.max(safe, line);
  }
}
