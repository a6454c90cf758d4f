import { backslash, entity, escapeSize, NO_ESCAPE, percent, UNFINISHED, writeEscape, type Escape } from "./escapes.ts";

/** Stands for text that was left out of a view. It is in no UTF-8 text. */
const GAP = 0xff;

const PERCENT = 1;
const BACKSLASH = 2;
const ENTITY = 4;
const ALL = PERCENT | BACKSLASH | ENTITY;
const MARKS = [
  { kind: PERCENT, mark: 0x25 },
  { kind: BACKSLASH, mark: 0x5c },
  { kind: ENTITY, mark: 0x26 },
] as const;
/** The kind of escape that a byte may begin. */
const KIND_OF = new Uint8Array(256);
for (const { kind, mark } of MARKS) KIND_OF[mark] = kind;

/** What a piece of a view is: text as it stands, an escape undone, or a mark that text was left out. */
const LITERAL = 0;
const UNDONE = 1;
const LEFT_OUT = 2;

interface Pieces {
  readonly here: number[];
  readonly there: number[];
  readonly kind: number[];
}

/** How `viewsOf` looks at a text. */
export interface ViewOptions {
  /** Nothing follows: an unfinished escape at the end is text. Else a view ends before it. */
  readonly whole: boolean;
  /** Text further from an escape than this is left out of the views that undo it: the raw view shows it. */
  readonly reach: number;
  /**
   * Undo all kinds at once only. Enough for values that hold no `%`, `\\` or `&` themselves, but for what stands right
   * behind such a character that escapes nothing.
   */
  readonly few: boolean;
}

/**
 * Every view of a text: itself, each kind of escape undone, each kind in that, and all kinds undone once and twice. Views
 * that would show nothing new are left out: a text without escapes has one. Made as they are asked for: one may be as large as the text.
 */
export function* viewsOf(text: Uint8Array, length: number, options: ViewOptions): Generator<View, void, undefined> {
  const raw = new View(text, length, null);
  yield raw;
  const marks = marksIn(raw);
  if (marks.length === 0) return;
  const singles: View[] = [];
  for (const { kind } of options.few ? [] : MARKS) {
    const single = undo(raw, marks, kind, options);
    if (single === null) continue;
    yield single;
    singles.push(single);
    const inner = marksIn(single);
    for (const { kind: second } of MARKS) yield* some(undo(single, inner, second, options));
  }
  // One kind alone undone is all of them undone.
  const [first, ...others] = singles;
  const all = first !== undefined && others.length === 0 ? first : undo(raw, marks, ALL, options);
  if (all === null) return;
  if (all !== first) yield all;
  yield* some(undo(all, marksIn(all), ALL, options));
}

function some(view: View | null): View[] {
  return view === null ? [] : [view];
}

/** A text as somebody reads it who undoes some of its escapes. Places: `at` in this view, `place` in the raw text. */
export class View {
  readonly bytes: Uint8Array;
  readonly length: number;
  /** What this is a view of; null: the raw text itself. */
  readonly #source: View | null;
  /** Where each piece begins here and in the source, and what it is. Bytes of all but literal ones stand for one place. */
  readonly #here: number[] = [];
  readonly #there: number[] = [];
  readonly #kind: number[] = [];

  constructor(bytes: Uint8Array, length: number, source: View | null, pieces?: Pieces) {
    this.bytes = bytes;
    this.length = length;
    this.#source = source;
    if (pieces === undefined) return;
    this.#here = pieces.here;
    this.#there = pieces.there;
    this.#kind = pieces.kind;
  }

  /** Where byte `at` begins. */
  rawStart(at: number): number {
    if (this.#source === null) return at;
    const piece = lastAtMost(this.#here, at);
    const there = this.#there[piece] ?? 0;
    return this.#source.rawStart(this.#kind[piece] !== LITERAL ? there : there + at - (this.#here[piece] ?? 0));
  }

  /** Where what byte `at` stands for is over. */
  rawEnd(at: number): number {
    if (this.#source === null) return at + 1;
    const piece = lastAtMost(this.#here, at);
    const there = this.#there[piece] ?? 0;
    const end = this.#kind[piece] !== LITERAL ? (this.#there[piece + 1] ?? there + 1) : there + at - (this.#here[piece] ?? 0) + 1;
    return this.#source.rawEnd(end - 1);
  }

  /** Where the last `count` bytes begin; what stands before text that was left out goes on with nothing behind it. */
  tailStart(count: number): number {
    return this.rawStart(this.#unbroken(Math.max(0, this.length - count)));
  }

  /** The first byte from `at` on behind which nothing was left out. */
  #unbroken(at: number): number {
    if (this.#source === null) return at;
    let first = at;
    for (let piece = this.#here.length - 1; (this.#here[piece] ?? -1) >= first; piece--) {
      if (this.#kind[piece] === LEFT_OUT) first = (this.#here[piece] ?? 0) + 1;
    }
    const piece = lastAtMost(this.#here, first);
    const there = (this.#there[piece] ?? 0) + (this.#kind[piece] === LITERAL ? first - (this.#here[piece] ?? 0) : 0);
    const behind = this.#source.#unbroken(there);
    if (behind === there) return first;
    const next = lastAtMost(this.#there, behind);
    return (this.#here[next] ?? 0) + (this.#kind[next] === LITERAL ? behind - (this.#there[next] ?? 0) : 0);
  }

  /** The raw place at or before `place` where no escape of this view is cut in two. */
  wholeEscape(place: number): number {
    if (this.#source === null) return place;
    const outer = this.#source.wholeEscape(place);
    const there = this.#source.indexOf(outer);
    const piece = lastAtMost(this.#there, there);
    return this.#kind[piece] === UNDONE ? this.#source.rawStart(this.#there[piece] ?? 0) : outer;
  }

  /** The byte that a raw place, not inside an escape, begins. */
  indexOf(place: number): number {
    if (this.#source === null) return place;
    const there = this.#source.indexOf(place);
    const piece = lastAtMost(this.#there, there);
    const next = this.#here[piece + 1] ?? this.length;
    const at = this.#here[piece] ?? 0;
    return this.#kind[piece] !== LITERAL ? at : Math.min(next, at + there - (this.#there[piece] ?? 0));
  }
}

/** Index of the last entry that is at most `value`. */
function lastAtMost(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((sorted[middle] ?? 0) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Where an escape may begin. */
function marksIn({ bytes, length }: View): number[] {
  const marks: number[] = [];
  const text = bytes.length === length ? bytes : bytes.subarray(0, length);
  if (!MARKS.some(({ mark }) => text.includes(mark))) return marks;
  for (let at = 0; at < length; at++) if (KIND_OF[bytes[at] ?? 0] !== 0) marks.push(at);
  return marks;
}

/** The view with escapes of these kinds undone, or null when there is none. */
function undo(source: View, marks: readonly number[], kinds: number, { whole, reach }: ViewOptions): View | null {
  const { bytes: text, length } = source;
  let writer: ViewWriter | null = null;
  let copied = 0;
  let end = length;
  for (const at of marks) {
    const kind = (KIND_OF[text[at] ?? 0] ?? 0) & kinds;
    if (kind === 0 || at < copied) continue;
    const escape = judge(kind, text, at, length);
    if (escape === NO_ESCAPE) continue;
    if (escape === UNFINISHED) {
      if (!whole) end = at;
      break;
    }
    writer ??= new ViewWriter(source, reach);
    writer.literal(copied, at, copied > 0, true);
    writer.escape(at, escape);
    copied = at + escapeSize(escape);
  }
  if (writer === null) {
    if (end === length) return null;
    writer = new ViewWriter(source, reach);
  }
  writer.literal(copied, end, copied > 0, false);
  return writer.view(end);
}

function judge(kind: number, text: Uint8Array, at: number, end: number): Escape {
  if (kind === BACKSLASH) return backslash(text, at, end);
  return kind === PERCENT ? percent(text, at, end) : entity(text, at, end);
}

class ViewWriter {
  readonly #source: View;
  readonly #reach: number;
  readonly #bytes: Uint8Array;
  readonly #pieces: Pieces = { here: [], there: [], kind: [] };
  #out = 0;

  constructor(source: View, reach: number) {
    this.#source = source;
    this.#reach = reach;
    // Escapes give at most what they are long; a mark for left out text takes one byte of many.
    this.#bytes = Buffer.allocUnsafe(source.length + 1);
  }

  /** The source's text from `from` to `to`; of a long one only what is near the escapes `before` and `after` it. */
  literal(from: number, to: number, before: boolean, after: boolean): void {
    if (to - from <= 2 * this.#reach + 1) {
      this.#copy(from, to);
      return;
    }
    if (before) this.#copy(from, from + this.#reach);
    this.#piece(before ? from + this.#reach : from, LEFT_OUT);
    this.#bytes[this.#out++] = GAP;
    if (after) this.#copy(to - this.#reach, to);
  }

  escape(at: number, escape: Escape): void {
    this.#piece(at, UNDONE);
    this.#out += writeEscape(escape, this.#bytes, this.#out);
  }

  /** `end`: how much of the source was taken. */
  view(end: number): View {
    this.#piece(end, LITERAL);
    return new View(this.#bytes, this.#out, this.#source, this.#pieces);
  }

  #piece(there: number, kind: number): void {
    this.#pieces.here.push(this.#out);
    this.#pieces.there.push(there);
    this.#pieces.kind.push(kind);
  }

  #copy(from: number, to: number): void {
    if (from >= to) return;
    this.#piece(from, LITERAL);
    const text = this.#source.bytes;
    const bytes = this.#bytes;
    let out = this.#out;
    if (to - from > 128) {
      bytes.set(text.subarray(from, to), out);
      out += to - from;
    } else for (let at = from; at < to; at++) bytes[out++] = text[at] ?? 0;
    this.#out = out;
  }
}
