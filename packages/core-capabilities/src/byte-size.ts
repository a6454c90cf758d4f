import * as v from "valibot";

const UNITS: Readonly<Record<string, number>> = { "": 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };
const SIZE = /^([0-9]{1,12})([bkmg]?)$/u;

/** Bytes of a number or of a size such as `256m`. Not a size: 0. */
export function byteCount(size: string | number): number {
  if (typeof size === "number") return size;
  const found = SIZE.exec(size.toLowerCase());
  return found === null ? 0 : Number(found[1]) * (UNITS[found[2] ?? ""] ?? 1);
}

/** A number of bytes, or a size such as `256m`. */
export const ByteSize = v.pipe(
  v.union([v.number(), v.string()], "a size is a number of bytes, or a text such as 256m"),
  v.check((size) => Number.isSafeInteger(byteCount(size)) && byteCount(size) > 0, "a size is a number of bytes, or a text such as 256m"),
);
