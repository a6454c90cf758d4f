import type { PackId, StoreId } from "@rumi/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { StoreCursors } from "./store-cursors.ts";
import { checkStoreKey, checkStorePrefix } from "./store-key.ts";

test("T70 keys that could be taken for a path, or are none, are refused with the rule", () => {
  for (const key of ["..", ".", "a//b", "/a", "a/", "a b", "", "a/../b", "a/./b", "a\n", "a\0", "日", "a\\b", "a%2e", "x".repeat(513)]) {
    expect(checkStoreKey(key), JSON.stringify(key)).toMatch(/^key /u);
  }
  for (const key of [null, undefined, 1, {}, ["a"]]) expect(checkStoreKey(key)).toBe("key must be a text");
  for (const key of ["a", "a/b", "...", "a..b", ".a", "a:b_c-d.e", "__proto__", "x".repeat(512)]) expect(checkStoreKey(key)).toBeNull();
});

test("a prefix may be anything that a key begins with", () => {
  for (const prefix of ["", "a", "a/", "a/.", "/"]) expect(checkStorePrefix(prefix)).toBeNull();
  for (const prefix of ["a b", "%", "a*", "x".repeat(513), 1, null]) expect(checkStorePrefix(prefix)).toMatch(/^prefix /u);
});

const cursors = new StoreCursors(new Uint8Array(32).fill(7));
const pack = "pack" as PackId;
const store = "store" as StoreId;

test("T71 a cursor works for its principal, store and prefix alone", () => {
  const cursor = cursors.encode(pack, store, "a/", "a/b");
  expect(cursors.decode(pack, store, "a/", cursor)).toBe("a/b");
  expect(cursors.decode("other" as PackId, store, "a/", cursor)).toBeNull();
  expect(cursors.decode(pack, "other" as StoreId, "a/", cursor)).toBeNull();
  expect(cursors.decode(pack, store, "a", cursor)).toBeNull();
  expect(cursors.decode(pack, store, "", cursor)).toBeNull();
  expect(new StoreCursors(new Uint8Array(32)).decode(pack, store, "a/", cursor)).toBeNull();
  // What joins in one field never counts as another split.
  const joined = cursors.encode("pack" as PackId, 'st","x' as StoreId, "", "k");
  expect(cursors.decode("pack" as PackId, "st" as StoreId, 'x","', joined)).toBeNull();
});

test("T71 forged, cut, padded and foreign texts are no cursors", () => {
  const cursor = cursors.encode(pack, store, "", "a".repeat(512));
  expect(cursors.decode(pack, store, "", cursor)).toBe("a".repeat(512));
  for (const bad of [
    "",
    "a",
    cursor.slice(0, -1),
    `${cursor}=`,
    `${cursor} `,
    `${cursor}A`,
    ` ${cursor}`,
    cursor.toLowerCase(),
    "A".repeat(10_000),
  ]) {
    expect(cursors.decode(pack, store, "", bad), bad.slice(0, 20)).toBeNull();
  }
  for (const bad of [null, undefined, 5, {}, [cursor]]) expect(cursors.decode(pack, store, "", bad)).toBeNull();
  const plain = Buffer.concat([new Uint8Array(32), Buffer.from("a")]).toString("base64url");
  expect(cursors.decode(pack, store, "", plain)).toBeNull();
});

test("any change of one character of a cursor is found", () => {
  const cursor = cursors.encode(pack, store, "", "some/key");
  fc.assert(
    fc.property(fc.nat(cursor.length - 1), fc.constantFrom("A", "B", "x", "z", "0", "9", "-", "_"), (at, character) => {
      fc.pre(cursor[at] !== character);
      const changed = cursor.slice(0, at) + character + cursor.slice(at + 1);
      expect(cursors.decode(pack, store, "", changed)).toBeNull();
    }),
  );
});
