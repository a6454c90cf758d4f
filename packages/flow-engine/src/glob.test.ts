import fc from "fast-check";
import { expect, test } from "vitest";
import { globMatches } from "./glob.ts";

test("globs match whole texts: *, ?, sets and their negation; other characters mean themselves", () => {
  for (const [glob, id, expected] of [
    ["*", "a.b", true],
    ["p.*", "p.sub", true],
    ["p.*", "p2.sub", false],
    ["p?", "pa", true],
    ["p[ab]", "pb", true],
    ["p[!ab]", "pb", false],
    ["p[!ab]", "pc", true],
    ["P", "p", false],
    ["a.b", "axb", false],
  ] as const)
    expect([glob, id, globMatches(glob, id)]).toEqual([glob, id, expected]);
  expect(globMatches(`${"*a".repeat(60)}b`, "a".repeat(128))).toBe(false);
  fc.assert(fc.property(fc.stringMatching(/^[A-Za-z0-9_.-]{1,40}$/u), (id) => globMatches(id, id) && globMatches("**", id)));
});
