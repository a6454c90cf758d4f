import type { JsonValue } from "@rumi/core";

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
  readonly #known = new WeakMap<object, number>();

  /** Bytes of `value`; stops past `limit` and then returns something larger than `limit`. */
  bytes(value: JsonValue, limit = Number.POSITIVE_INFINITY): number {
    if (value === null) return 4;
    switch (typeof value) {
      case "string":
        return textBytes(value, limit);
      case "number":
        return Number.isSafeInteger(value) && value >= 0 && value < 10 ? 1 : String(value).length;
      case "boolean":
        return value ? 4 : 5;
      default:
        return this.#container(value, limit);
    }
  }

  #container(value: readonly JsonValue[] | { readonly [key: string]: JsonValue }, limit: number): number {
    const known = this.#known.get(value);
    if (known !== undefined) return known;
    let bytes = 2;
    if (Array.isArray(value)) {
      for (const item of value as readonly JsonValue[]) {
        bytes += 1 + this.bytes(item, limit - bytes);
        if (bytes > limit) return bytes;
      }
      if (value.length > 0) bytes -= 1;
    } else {
      const map = value as { readonly [key: string]: JsonValue };
      let members = 0;
      for (const key of Object.keys(map)) {
        const member = map[key];
        if (member === undefined) continue;
        members += 1;
        bytes += 2 + textBytes(key, limit - bytes) + this.bytes(member, limit - bytes);
        if (bytes > limit) return bytes;
      }
      if (members > 0) bytes -= 1;
    }
    if (bytes >= REMEMBER_FROM_BYTES) this.#known.set(value, bytes);
    return bytes;
  }
}
