import type { JsonValue } from "@rumi/core";

/** `value` with every text in it, names of members and digits of numbers too, passed through `mask`. */
export function maskValue(value: JsonValue, mask: (text: string) => string): JsonValue {
  if (typeof value === "string") return mask(value);
  if (typeof value === "number") {
    const text = String(value);
    const masked = mask(text);
    return masked === text ? value : masked;
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item: JsonValue) => maskValue(item, mask));
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [mask(name), maskValue(member, mask)]));
}

/** Every text in `value`, names of members too, that has a backslash in it. */
export function escapedTexts(value: JsonValue): string[] {
  if (typeof value === "string") return value.includes("\\") ? [value] : [];
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item: JsonValue) => escapedTexts(item));
  return Object.entries(value).flatMap(([name, member]) => [...escapedTexts(name), ...escapedTexts(member)]);
}
