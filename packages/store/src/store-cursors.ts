import { createHmac, timingSafeEqual } from "node:crypto";
import type { PackId, StoreId } from "@rumi/core";
import { checkStoreKey } from "./store-key.ts";

/** Bytes of the MAC before the key. */
const MAC_BYTES = 32;
/** Longest cursor that is looked at: MAC and longest key in base64url. */
const MAX_CURSOR_LENGTH = Math.ceil(((MAC_BYTES + 512) * 4) / 3);

/** Cursors of lists: opaque texts that only the principal, store and prefix they were made for can use. */
export class StoreCursors {
  readonly #key: Uint8Array;

  /** @param key `keyring.derive("rumi/cursor/v1")` */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** The cursor behind `lastKey`, the last key of a page. */
  encode(principal: PackId, store: StoreId, prefix: string, lastKey: string): string {
    return Buffer.concat([this.#mac(principal, store, prefix, lastKey), Buffer.from(lastKey)]).toString("base64url");
  }

  /** The last key that a cursor stands for; null for a cursor that was not made here for exactly this list. */
  decode(principal: PackId, store: StoreId, prefix: string, cursor: unknown): string | null {
    if (typeof cursor !== "string" || cursor.length > MAX_CURSOR_LENGTH) return null;
    const bytes = Buffer.from(cursor, "base64url");
    // Node skips what is not base64url: only the one text that `encode` gives counts.
    if (bytes.length <= MAC_BYTES || bytes.toString("base64url") !== cursor) return null;
    const lastKey = bytes.toString("utf8", MAC_BYTES);
    if (checkStoreKey(lastKey) !== null || !lastKey.startsWith(prefix)) return null;
    const expected = this.#mac(principal, store, prefix, lastKey);
    return timingSafeEqual(expected, bytes.subarray(0, MAC_BYTES)) ? lastKey : null;
  }

  #mac(...parts: readonly string[]): Buffer {
    return createHmac("sha256", this.#key).update(JSON.stringify(parts)).digest();
  }
}
