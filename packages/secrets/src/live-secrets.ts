import type { SecretKey } from "@rumi/core";
import { FormSet, mergeSpans, type Span } from "./form-set.ts";
import { formsOf } from "./forms.ts";
import type { SecretScrubber } from "./ports.ts";
import { isMarker, REDACTED } from "./redacted.ts";
import { ScrubPlan, type ScrubberOptions } from "./scrubber.ts";
import { viewsOf } from "./views.ts";

/** Pieces this long of a longer value are masked too: its lines in a log, what a limit left of it. */
const PIECE_BYTES = 24;
/** Lines of a value that are not masked by themselves: too short, or the frame around a key. */
const MIN_LINE_BYTES = 8;
const FRAME = /^-----[A-Z0-9 ]+-----$/u;
/** Texts from this length on may have been cut by a limit: a piece of a value at their ends counts. */
const CUT_TEXT_BYTES = 1024;
/** Values of a key that it no longer has and that stay masked: calls that hold them may still run. */
const OLD_VALUES = 4;
const MAX_FORGOTTEN = 256;
const MAX_PLANS = 64;
const SCRATCH_BYTES = 64 * 1024;
const MIN_TEXT_BYTES = 4;
const MARKER = Buffer.from(REDACTED);

/** Every value that must not be seen now. Shared by every sink; filled by `SecretStore`. Cost: about a nanosecond for a byte. */
export class LiveSecrets {
  readonly #values = new Map<SecretKey, readonly string[]>();
  #forms = new FormSet();
  /** What `#forms` was made of. */
  #added = new Set<string>();
  /** A value holds characters that begin escapes: texts are looked at more closely. */
  #escaping = false;
  /** Values in `#forms` that nobody asks for any more. */
  #forgotten = 0;
  readonly #plans = new Map<string, ScrubPlan>();
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

  /** Adds or replaces the value of a key; counts from the next call on. */
  set(key: SecretKey, value: string): void {
    const before = this.#values.get(key) ?? [];
    if (before[0] === value) return;
    const now = [value, ...before.filter((old) => old !== value)];
    this.#values.set(key, now.slice(0, 1 + OLD_VALUES));
    this.#plans.clear();
    this.#forgotten += Math.max(0, now.length - 1 - OLD_VALUES);
    if (this.#forgotten > MAX_FORGOTTEN && this.#forgotten > this.#values.size) this.#rebuild();
    else this.#add(value);
  }

  /** `text` without live values, in any of their forms. */
  redact(text: string): string {
    if (text.length < MIN_TEXT_BYTES || this.#forms.empty) return text;
    const { bytes, length } = this.#encode(text);
    const spans = this.#find(bytes, length);
    if (spans.length === 0) return text;
    let shown = "";
    let at = 0;
    for (const span of spans) {
      const { start, end } = wholeCharacters(bytes, length, span);
      // What an earlier span took may reach into this one.
      if (start >= at) shown += bytes.toString("utf8", at, start) + REDACTED;
      at = Math.max(at, end);
    }
    return shown + bytes.toString("utf8", at, length);
  }

  /** As `redact`, for bytes; the same object when nothing was found. */
  redactBytes(bytes: Uint8Array): Uint8Array {
    if (bytes.length < MIN_TEXT_BYTES || this.#forms.empty) return bytes;
    const spans = this.#find(bytes, bytes.length);
    if (spans.length === 0) return bytes;
    let at = 0;
    const shown = spans.flatMap(({ start, end }) => {
      const before = bytes.subarray(at, start);
      at = end;
      return [before, MARKER];
    });
    return Buffer.concat([...shown, bytes.subarray(at)]);
  }

  /** True when `text` holds a live value in any form: what a journal must seal. */
  holds(text: string): boolean {
    if (text.length < MIN_TEXT_BYTES || this.#forms.empty) return false;
    const { bytes, length } = this.#encode(text);
    return this.#find(bytes, length).length > 0;
  }

  /**
   * A scrubber of one stream for the values of these keys, those they had before too; keys without a value count for
   * nothing. Null: none has one. What is compiled is kept until a value changes.
   */
  scrubber(keys: Iterable<SecretKey>, options: ScrubberOptions = {}): SecretScrubber | null {
    const wanted = [...new Set(keys)].filter((key) => this.#values.has(key)).toSorted();
    if (wanted.length === 0) return null;
    const name = wanted.join(" ");
    let plan = this.#plans.get(name);
    if (plan === undefined) {
      plan = new ScrubPlan(wanted.flatMap((key) => (this.#values.get(key) ?? []).map((value) => ({ key, value }))));
      if (this.#plans.size >= MAX_PLANS) this.#plans.clear();
      this.#plans.set(name, plan);
    }
    return plan.scrubber(options);
  }

  #encode(text: string): { bytes: Buffer; length: number } {
    // Three bytes for a UTF-16 unit at most.
    if (text.length * 3 > SCRATCH_BYTES) {
      const bytes = Buffer.from(text);
      return { bytes, length: bytes.length };
    }
    return { bytes: this.#scratch, length: this.#scratch.write(text, "utf8") };
  }

  #find(bytes: Uint8Array, length: number): Span[] {
    const views = viewsOf(bytes, length, { whole: true, reach: this.#forms.reach, few: !this.#escaping });
    const hits = this.#forms.find(views, length >= CUT_TEXT_BYTES);
    return hits.length === 0 ? hits : mergeSpans(hits);
  }

  #add(value: string): void {
    if (this.#added.has(value)) return;
    this.#added.add(value);
    this.#escaping ||= /[%\\&]/u.test(value);
    for (const part of [value, ...linesOf(value)]) {
      if (!isMarker(part)) this.#forms.add(0, formsOf(part, PIECE_BYTES));
    }
  }

  #rebuild(): void {
    this.#forms = new FormSet();
    this.#added = new Set();
    this.#forgotten = 0;
    for (const value of [...this.#values.values()].flat()) this.#add(value);
  }
}

/** Lines of a value of several: a log shows them one by one. */
function linesOf(value: string): string[] {
  const lines = value.split(/[\r\n]+/u).map((line) => line.trim());
  if (lines.length < 2) return [];
  return lines.filter((line) => Buffer.byteLength(line) >= MIN_LINE_BYTES && !FRAME.test(line));
}

/** The span made wide enough not to leave half a UTF-8 character at its ends. */
function wholeCharacters(bytes: Uint8Array, length: number, span: Span): Span {
  let { start, end } = span;
  while (start > 0 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start--;
  while (end < length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end++;
  return { start, end };
}
