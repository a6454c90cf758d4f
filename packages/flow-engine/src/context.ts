import type { JsonValue } from "@rumi/core";
import { FlowError } from "./errors.ts";
import { JsonSizer, textBytes } from "./json-size.ts";
import { MAX_CONTEXT_BYTES, MAX_VALUE_BYTES, MAX_VALUE_DEPTH } from "./limits.ts";
import type { ContextReader } from "./reference.ts";

/** How much one run holds under ctx, over all its scopes. */
export class ContextBudget {
  readonly sizer = new JsonSizer();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes = MAX_CONTEXT_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** @throws FlowError `flow.context_too_large`; nothing is counted then. */
  change(bytes: number): void {
    if (bytes > 0 && this.#bytes + bytes > this.#maxBytes)
      throw new FlowError("flow.context_too_large", "the run's context is over its limit");
    this.#bytes += bytes;
  }
}

interface Entry {
  readonly value: JsonValue;
  readonly bytes: number;
}

/**
 * The values a step sees under `ctx`. Values are immutable JSON and are shared, never copied. A nested scope reads through
 * to its parent; an isolated one keeps its writes to itself, an overlay passes all but its own names on.
 */
export class ContextScope implements ContextReader, Disposable {
  readonly #entries = new Map<string, Entry>();
  readonly #budget: ContextBudget;
  readonly #parent: ContextScope | null;
  readonly #overlay: boolean;

  private constructor(budget: ContextBudget, parent: ContextScope | null, overlay: boolean) {
    this.#budget = budget;
    this.#parent = parent;
    this.#overlay = overlay;
  }

  /** A flow's own context. */
  static root(budget: ContextBudget): ContextScope {
    return new ContextScope(budget, null, false);
  }

  /** Writes stay here: a `foreach` pass, a `parallel` branch. */
  isolated(): ContextScope {
    return new ContextScope(this.#budget, this, false);
  }

  /** Writes go to this scope, except to names given by `define`: a `repeat` pass. */
  overlay(): ContextScope {
    return new ContextScope(this.#budget, this, true);
  }

  get(key: string): JsonValue | undefined {
    const entry = this.#entries.get(key);
    return entry === undefined ? this.#parent?.get(key) : entry.value;
  }

  /** Writes a key. @throws FlowError `flow.context_too_large` for a value or a context over its limit; nothing is written. */
  set(key: string, value: JsonValue): void {
    if (this.#overlay && this.#parent !== null && !this.#entries.has(key)) this.#parent.set(key, value);
    else this.define(key, value);
  }

  /** Writes a key of this very scope. @throws FlowError `flow.context_too_large` */
  define(key: string, value: JsonValue): void {
    const { bytes: size, height } = this.#budget.sizer.measure(value, MAX_VALUE_BYTES);
    if (size > MAX_VALUE_BYTES) throw new FlowError("flow.context_too_large", "a value is over its limit");
    if (height > MAX_VALUE_DEPTH) throw new FlowError("flow.context_too_large", `a value is nested deeper than ${MAX_VALUE_DEPTH}`);
    const bytes = size + textBytes(key);
    this.#budget.change(bytes - (this.#entries.get(key)?.bytes ?? 0));
    this.#entries.set(key, { value, bytes });
  }

  /** This scope's own keys and values. */
  *own(): Generator<readonly [string, JsonValue]> {
    for (const [key, entry] of this.#entries) yield [key, entry.value];
  }

  /** Forgets everything and gives the bytes back. */
  [Symbol.dispose](): void {
    for (const entry of this.#entries.values()) this.#budget.change(-entry.bytes);
    this.#entries.clear();
  }
}
