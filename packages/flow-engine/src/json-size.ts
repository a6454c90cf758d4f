import type { JsonValue } from "@rumi/core";
import { FlowError } from "./errors.ts";
import { MAX_MEASURED_DEPTH } from "./limits.ts";

/** How large a value is: compact JSON bytes, and containers inside each other. */
export interface Measure {
  readonly bytes: number;
  readonly height: number;
}

/** Containers smaller than this are counted again rather than remembered. */
const REMEMBER_FROM_BYTES = 512;

/** UTF-8 bytes of `text` as a JSON string, quotes included. Stops counting past `limit`. */
export function textBytes(text: string, limit = Number.POSITIVE_INFINITY): number {
  let bytes = 2;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) {
      if (unit === 0x22 || unit === 0x5c) bytes += 2;
      else if (unit >= 0x20) bytes += 1;
      else bytes += unit === 8 || unit === 9 || unit === 10 || unit === 12 || unit === 13 ? 2 : 6;
    } else if (unit < 0x800) bytes += 2;
    else if (unit >= 0xd800 && unit <= 0xdbff && isLowSurrogate(text.charCodeAt(index + 1))) {
      bytes += 4;
      index += 1;
    } else if (unit >= 0xd800 && unit <= 0xdfff) bytes += 6;
    else bytes += 3;
    if (bytes > limit) return bytes;
  }
  return bytes;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

/**
 * Counts the compact JSON bytes of values. Values are immutable, so what a large container measured once is remembered
 * for as long as it lives: counting a big value again costs nothing.
 */
export class JsonSizer {
  readonly #known = new WeakMap<object, Measure>();
  /** Containers inside each other in the value measured last, itself included. */
  #height = 0;

  /**
   * Bytes of `value`; stops past `limit` and then returns something larger than `limit`.
   * @throws FlowError `flow.context_too_large` when it is nested deeper than anything could be written
   */
  bytes(value: JsonValue, limit = Number.POSITIVE_INFINITY): number {
    return this.#bytes(value, limit, 0);
  }

  /** Bytes and height of `value`, both at least so much once the bytes pass `limit`. @throws as `bytes` */
  measure(value: JsonValue, limit = Number.POSITIVE_INFINITY): Measure {
    const bytes = this.#bytes(value, limit, 0);
    return { bytes, height: this.#height };
  }

  #bytes(value: JsonValue, limit: number, level: number): number {
    this.#height = 0;
    if (value === null) return 4;
    switch (typeof value) {
      case "string":
        return textBytes(value, limit);
      case "number":
        return Number.isSafeInteger(value) && value >= 0 && value < 10 ? 1 : String(value).length;
      case "boolean":
        return value ? 4 : 5;
      default:
        return this.#container(value, limit, level + 1);
    }
  }

  #container(value: readonly JsonValue[] | { readonly [key: string]: JsonValue }, limit: number, level: number): number {
    if (level > MAX_MEASURED_DEPTH) throw new FlowError("flow.context_too_large", "a value is nested too deep");
    const known = this.#known.get(value);
    if (known !== undefined) {
      this.#height = known.height;
      return known.bytes;
    }
    let bytes = 2;
    let height = 0;
    if (Array.isArray(value)) {
      for (const item of value as readonly JsonValue[]) {
        bytes += 1 + this.#bytes(item, limit - bytes, level);
        height = Math.max(height, this.#height);
        if (bytes > limit) return this.#told(bytes, height);
      }
      if (value.length > 0) bytes -= 1;
    } else {
      const map = value as { readonly [key: string]: JsonValue };
      let members = 0;
      for (const key of Object.keys(map)) {
        const member = map[key];
        if (member === undefined) continue;
        members += 1;
        bytes += 2 + textBytes(key, limit - bytes) + this.#bytes(member, limit - bytes, level);
        height = Math.max(height, this.#height);
        if (bytes > limit) return this.#told(bytes, height);
      }
      if (members > 0) bytes -= 1;
    }
    if (bytes >= REMEMBER_FROM_BYTES) this.#known.set(value, { bytes, height: height + 1 });
    return this.#told(bytes, height);
  }

  #told(bytes: number, below: number): number {
    this.#height = below + 1;
    return bytes;
  }
}
