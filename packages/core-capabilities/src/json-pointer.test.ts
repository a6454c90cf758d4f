import fc from "fast-check";
import { expect, test } from "vitest";
import { matchesGlob } from "./addon-policy.ts";
import { isBelow, pointerSegments } from "./json-pointer.ts";

test("a prefix covers whole segments, escapes are read, and prototypes are out of reach", () => {
  expect(isBelow("/a/b", ["/a"])).toBe(true);
  expect(isBelow("/a", ["/a"])).toBe(true);
  expect(isBelow("/ab", ["/a"])).toBe(false);
  expect(isBelow("/a", ["/a/b"])).toBe(false);
  expect(isBelow("/x", [""])).toBe(true);
  expect(isBelow("/x", [])).toBe(false);
  expect(isBelow("/a~1b", ["/a"])).toBe(false);
  expect(isBelow("/a~1b/c", ["/a~1b"])).toBe(true);
  for (const bad of ["a", "/a~2", "/a~", "/__proto__", "/a/constructor/x", "/prototype", `/${"x".repeat(2000)}`]) {
    expect(pointerSegments(bad)).toBeNull();
    expect(isBelow(bad, [""])).toBe(false);
  }
});

test("what lies below a pointer lies below its prefixes, and nothing else does", () => {
  const segment = fc.string({ maxLength: 6 }).filter((text) => !["__proto__", "constructor", "prototype"].includes(text));
  const pointer = (segments: string[]): string => segments.map((one) => `/${one.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 5 }), fc.array(segment, { maxLength: 5 }), (a, b) => {
      const below = b.length <= a.length && b.every((one, index) => one === a[index]);
      expect(pointerSegments(pointer(a))).toEqual(a);
      expect(isBelow(pointer(a), [pointer(b)])).toBe(below);
    }),
  );
});

test("a glob stops at /, and a long one ends", () => {
  expect(matchesGlob("data/*.json", "data/x.json")).toBe(true);
  expect(matchesGlob("data/*.json", "data/a/x.json")).toBe(false);
  expect(matchesGlob("*", "a/b")).toBe(false);
  expect(matchesGlob("a?c", "abc")).toBe(true);
  expect(matchesGlob("[ab]x", "bx")).toBe(true);
  expect(matchesGlob("[!ab]x", "bx")).toBe(false);
  expect(matchesGlob("[ab", "[ab")).toBe(false);
  expect(matchesGlob("a*b*c", "aXbYc")).toBe(true);
  expect(matchesGlob("a*b*c", "aXbYcd")).toBe(false);
  expect(matchesGlob("*", "")).toBe(true);
  expect(matchesGlob(`${"a*".repeat(200)}b`, "a".repeat(500))).toBe(false);
});
