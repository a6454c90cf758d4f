import { MIB } from "@rumi/core";
import * as v from "valibot";

/** Most items of one list of a config. The config as a whole is bounded too. */
const MAX_ITEMS = 1000;

/** A list without doubles. */
function listOf<Item>(item: v.GenericSchema<unknown, Item>) {
  return v.pipe(
    v.array(item),
    v.maxLength(MAX_ITEMS),
    v.transform((items) => [...new Set(items)]),
  );
}

/** A list of names of one form; `p*` (everything that starts with `p`) and `"*"` too. `characters` is what a name is made of. */
function nameList(what: string, name: RegExp, characters: string) {
  const prefix = new RegExp(`^[${characters}]{1,255}\\*$`, "u");
  const isName = (text: string): boolean => text === "*" || name.test(text) || prefix.test(text);
  return listOf(v.pipe(v.string(), v.check(isName, `must be ${what}, its beginning and *, or "*"`)));
}

const isPath = (text: string): boolean =>
  text === "*" ||
  (/^[^*\\\u0000-\u001f\u007f]{1,1023}\*?$/u.test(text) &&
    !text.startsWith("/") &&
    text.split("/").every((segment, index, all) => segment !== "." && segment !== ".." && (segment !== "" || index === all.length - 1)));

/** Lists of names that appear in configs. */
export const SecretKeys = nameList("the key of a secret", /^[A-Z0-9_]{1,64}$/u, "A-Z0-9_");
export const StoreIds = nameList("a store id", /^[a-zA-Z0-9_-]{1,128}$/u, "a-zA-Z0-9_-");
export const FlowIds = nameList("a flow id", /^(?=.{1,128}$)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/u, "A-Za-z0-9_.-");
export const Functions = nameList("pack:function", /^[a-zA-Z0-9_-]{1,64}:[a-z][a-z0-9_]{0,63}$/u, "a-zA-Z0-9_:-");
export const PackIds = nameList("a pack id", /^[a-zA-Z0-9_-]{1,64}$/u, "a-zA-Z0-9_-");
export const Images = nameList("an image name", /^[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,254}$/u, "a-zA-Z0-9._/:@-");
export const Paths = listOf(v.pipe(v.string(), v.check(isPath, 'must be a path inside the pack, its beginning and *, or "*"')));

/** A list of words out of a few, or `"*"`. */
export function wordList(words: readonly string[]) {
  return listOf(v.picklist([...words, "*"]));
}

/** A list of words out of a few, without a word for all. */
export function pickList(words: readonly string[]) {
  return listOf(v.picklist(words));
}

/** A whole number from 1 on; past `most` it is `most`. */
export function count(most = Number.MAX_SAFE_INTEGER) {
  return v.pipe(
    v.number(),
    v.safeInteger(),
    v.minValue(1),
    v.transform((value) => Math.min(value, most)),
  );
}

/** A number above 0; past `most` it is `most`. */
export function amount(most: number) {
  return v.pipe(
    v.number(),
    v.finite(),
    v.gtValue(0),
    v.transform((value) => Math.min(value, most)),
  );
}

const UNITS: Readonly<Record<string, number>> = { "": 1, k: 1024, m: MIB, g: 1024 * MIB };
/** The least an engine gives a container. */
const MIN_MEMORY = 6 * MIB;

/** Bytes, or a text such as `256m` or `1g`; kept as bytes, past `most` as `most`. */
export function memory(most: number) {
  const text = v.pipe(
    v.string(),
    v.regex(/^[0-9]{1,12}(?:[kmg]b?|b)?$/iu, "must be bytes, or such as 256m"),
    v.transform((written) => Number.parseInt(written, 10) * (UNITS[written.toLowerCase().replace(/[0-9]|b$/gu, "")] ?? 1)),
  );
  return v.pipe(
    v.union([v.number(), text]),
    v.safeInteger(),
    v.minValue(MIN_MEMORY),
    v.transform((bytes) => Math.min(bytes, most)),
  );
}
