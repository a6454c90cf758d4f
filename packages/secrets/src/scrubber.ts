import type { SecretKey } from "@rumi/core";
import { MAX_PARTIAL_HITS } from "./binding-watch.ts";
import { FormSet, mergeSpans, TailJudge, type Span } from "./form-set.ts";
import { formsOfSent, withoutIssuerPrefix, type Form } from "./forms.ts";
import type { SecretScrubber, SecretValue } from "./ports.ts";
import { isMarker, REDACTED } from "./redacted.ts";
import { viewsOf } from "./views.ts";

/** Bytes of a value, past its issuer's prefix, that never show in a row (page "Trust", section 9). */
const PIECE_BYTES = 8;
const MARKER = Buffer.from(REDACTED);
/** An escape is at most this many times as long as what it stands for. */
const MAX_ESCAPE_FACTOR = 12;
const MIN_JUDGED_BYTES = 4096;
const NONE = new Uint8Array(0);

/** Settings of a scrubber. */
export interface ScrubberOptions {
  /** Told of each piece of a value that came back without the rest of it. */
  readonly onPartial?: (key: SecretKey) => void;
  /** Nothing of the stream is shown: what a suspended binding's host answers could still tell whether guesses are right. */
  readonly withhold?: boolean;
}

/** Values made ready to be scrubbed; used by any number of scrubbers. */
export class ScrubPlan {
  readonly forms = new FormSet();
  readonly tail: TailJudge;
  readonly keys: readonly SecretKey[];
  readonly #whole: readonly Form[];
  /** A masked stretch longer than this is not judged further: it holds more than one value. */
  readonly maxJudgedBytes: number;

  constructor(values: readonly SecretValue[]) {
    const usable = values.filter(({ value }) => !isMarker(value));
    this.keys = usable.map(({ key }) => key);
    const sent = usable.map(({ value }) => formsOfSent(withoutIssuerPrefix(value, PIECE_BYTES), PIECE_BYTES));
    for (const [owner, forms] of sent.entries()) this.forms.add(owner, forms);
    this.#whole = sent.flat();
    this.tail = new TailJudge(this.#whole);
    const longest = this.#whole.reduce((most, { bytes }) => Math.max(most, bytes.length), 0);
    this.maxJudgedBytes = Math.max(MIN_JUDGED_BYTES, MAX_ESCAPE_FACTOR * longest);
  }

  /** Keys of which a masked stretch shows a piece beside, or instead of, the whole value. */
  partial(stretch: Uint8Array, truncated: boolean): ReadonlySet<SecretKey> {
    const views = [...viewsOf(stretch, stretch.length, { whole: true, reach: Infinity, few: false })];
    const whole: Span[] = [];
    for (const view of truncated ? [] : views) {
      const text = Buffer.from(view.bytes.buffer, view.bytes.byteOffset, view.length);
      for (const { bytes } of this.#whole) {
        for (let at = text.indexOf(bytes); at !== -1; at = text.indexOf(bytes, at + bytes.length)) {
          whole.push({ start: view.rawStart(at), end: view.rawEnd(at + bytes.length - 1) });
        }
      }
    }
    const covered = mergeSpans(whole);
    // UTF-16 in one byte order, seen in the other one, begins a byte earlier or ends a byte later.
    const inside = (hit: Span): boolean => covered.some(({ start, end }) => start - 1 <= hit.start && hit.end <= end + 1);
    const left = this.forms.find(views).filter((hit) => !inside(hit));
    return new Set(left.flatMap(({ owner }) => this.keys[owner] ?? []));
  }

  scrubber(options: ScrubberOptions = {}): SecretScrubber {
    return new StreamScrubber(this, options);
  }
}

/** A scrubber of one stream for these values. `LiveSecrets.scrubber` is the same and keeps what is compiled. */
export function createScrubber(values: readonly SecretValue[], options: ScrubberOptions = {}): SecretScrubber {
  return new ScrubPlan(values).scrubber(options);
}

class StreamScrubber implements SecretScrubber {
  readonly #plan: ScrubPlan;
  readonly #options: ScrubberOptions;
  readonly #hits: Map<SecretKey, number>;
  /** The end of what came, kept back because it could go on as a value. */
  #held: Uint8Array = NONE;
  /** So many bytes at the start of `#held` are behind a marker that was already passed on. */
  #masked = 0;
  /** The last byte passed on was behind a marker: this is what stood there. */
  #stretch: Uint8Array[] | null = null;
  #stretchBytes = 0;
  /** The rest is not shown any more. */
  #withheld: boolean;
  /** Its one marker was passed on. */
  #marked: boolean;

  constructor(plan: ScrubPlan, options: ScrubberOptions, hits = new Map<SecretKey, number>()) {
    this.#plan = plan;
    this.#options = options;
    this.#hits = hits;
    this.#withheld = this.#tooMany() || options.withhold === true;
    this.#marked = !this.#withheld;
  }

  get partialHits(): ReadonlyMap<SecretKey, number> {
    return this.#hits;
  }

  push(chunk: Uint8Array): Uint8Array {
    return chunk.length === 0 ? chunk : this.#take(chunk, false);
  }

  end(): Uint8Array {
    const rest = this.#take(NONE, true);
    this.#close();
    return rest;
  }

  text(value: string): string {
    // Header values are bytes that Node shows as Latin-1.
    const encoding = /[^\0-\xff]/u.test(value) ? "utf8" : "latin1";
    const own = new StreamScrubber(this.#plan, this.#options, this.#hits);
    return Buffer.concat([own.push(Buffer.from(value, encoding)), own.end()]).toString(encoding);
  }

  #take(chunk: Uint8Array, whole: boolean): Uint8Array {
    if (this.#withheld) return this.#marker(chunk);
    const text = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const views = [...viewsOf(text, text.length, { whole, reach: this.#plan.forms.reach, few: false })];
    const hits: Span[] = this.#plan.forms.find(views);
    if (this.#masked > 0) hits.push({ start: 0, end: this.#masked });
    const safe = whole ? text.length : this.#plan.tail.safe(views, text.length);
    const passed: Uint8Array[] = [];
    let at = 0;
    if (safe > 0) this.#masked = 0;
    for (const { start, end } of mergeSpans(hits)) {
      if (start >= safe) break;
      this.#pass(passed, text.subarray(at, start));
      at = Math.min(end, safe);
      this.#mask(passed, text.subarray(start, at));
      this.#masked = end - at;
    }
    this.#pass(passed, text.subarray(at, safe));
    // A copy: the chunk is the caller's.
    this.#held = safe === text.length ? NONE : text.slice(safe);
    return passed.length === 1 ? (passed[0] ?? NONE) : Buffer.concat(passed);
  }

  #pass(passed: Uint8Array[], bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#close();
    passed.push(this.#withheld ? this.#marker(bytes) : bytes);
  }

  /** One marker for all that is withheld. */
  #marker(bytes: Uint8Array): Uint8Array {
    if (this.#marked || bytes.length === 0) return NONE;
    this.#marked = true;
    return MARKER;
  }

  #tooMany(): boolean {
    return this.#hits.values().some((count) => count >= MAX_PARTIAL_HITS);
  }

  #mask(passed: Uint8Array[], bytes: Uint8Array): void {
    if (this.#withheld) return;
    if (this.#stretch === null) {
      this.#stretch = [];
      this.#stretchBytes = 0;
      passed.push(MARKER);
    }
    this.#stretchBytes += bytes.length;
    if (this.#stretchBytes <= this.#plan.maxJudgedBytes) this.#stretch.push(bytes.slice());
  }

  /** A masked stretch is over: were those pieces of a value only? */
  #close(): void {
    if (this.#stretch === null) return;
    const stretch = Buffer.concat(this.#stretch);
    this.#stretch = null;
    for (const key of this.#plan.partial(stretch, this.#stretchBytes > this.#plan.maxJudgedBytes)) {
      this.#hits.set(key, (this.#hits.get(key) ?? 0) + 1);
      this.#options.onPartial?.(key);
    }
    if (!this.#withheld && this.#tooMany()) {
      this.#withheld = true;
      this.#marked = false;
    }
  }
}
