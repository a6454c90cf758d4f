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

/** Tells how much of a text's end could still become a piece of a value when more text comes. */
export class TailJudge {
  /** All forms of one window, one behind the other: what stands across two of them only holds a little more back. */
  readonly #haystacks: readonly (readonly [window: number, forms: Buffer])[];

  constructor(forms: readonly Form[]) {
    const byWindow = Map.groupBy(forms, ({ window }) => window);
    this.#haystacks = [...byWindow].map(([window, list]) => [window, Buffer.concat(list.map(({ bytes }) => bytes))]);
  }

  /** The raw place before which no later text can make anything of these views a piece of a value. */
  safe(views: readonly View[], length: number): number {
    let safe = length;
    for (const view of views) {
      const held = this.#held(view);
      safe = Math.min(safe, view.rawStart(view.length), held === 0 ? length : view.rawStart(view.length - held));
    }
    for (let before = -1; before !== safe;) {
      before = safe;
      for (const view of views) safe = view.wholeEscape(safe);
    }
    return safe;
  }

  #held(view: View): number {
    const text = Buffer.from(view.bytes.buffer, view.bytes.byteOffset, view.length);
    let held = 0;
    for (const [window, forms] of this.#haystacks) {
      let size = 0;
      while (size < window - 1 && size < text.length && forms.includes(text.subarray(text.length - size - 1))) size++;
      held = Math.max(held, size);
    }
    return held;
  }
}
