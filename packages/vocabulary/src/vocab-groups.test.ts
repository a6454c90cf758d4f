import fc from "fast-check";
import { expect, test } from "vitest";
import { normalizeKeys } from "./normalize-keys.ts";
import { parseVocab } from "./vocab-groups.ts";

const termsOf = (text: string): (readonly string[])[] => parseVocab(text).groups.map((group) => group.terms);

test("a line is a group: split at commas, else at =, trimmed, in lower case, the first preferred", () => {
  const { groups, preferred, problems } = parseVocab("Tool, function_calling,tools , TOOL\r\n\nBudget=effort\n# a, b\nalone\n,,\na=b,c");
  expect(groups).toEqual([
    { preferred: "tool", terms: ["tool", "function_calling", "tools"] },
    { preferred: "budget", terms: ["budget", "effort"] },
    { preferred: "a=b", terms: ["a=b", "c"] },
  ]);
  expect(preferred.get("tools")).toBe("tool");
  expect(preferred.get("tool")).toBe("tool");
  expect(preferred.has("alone")).toBe(false);
  expect(problems).toEqual([]);
});

test("groups that share a term become the earliest of them", () => {
  expect(termsOf("a, b\nc, d\nx, y\nd, b, e\ny, z")).toEqual([
    ["a", "b", "c", "d", "e"],
    ["x", "y", "z"],
  ]);
});

test("a line over a limit, or with a word that is none, is left out alone and told with its number", () => {
  const many = (count: number, name: string): string => Array.from({ length: count }, (_, index) => `${name}${index}`).join(",");
  const { groups, problems } = parseVocab(
    [
      many(50, "t"),
      many(51, "u"),
      `${"x".repeat(101)}, a`,
      `${"x".repeat(100)}, b`,
      "_response, c",
      "__proto__, d",
      "e, constructor",
      "f\u0000, g",
    ].join("\n"),
  );
  expect(groups.map((group) => group.terms.length)).toEqual([50, 2]);
  expect(problems.map((problem) => problem.line)).toEqual([2, 3, 5, 6, 7, 8]);
});

test("no more than 500 groups; lines that only add to one still count", () => {
  const lines = Array.from({ length: 501 }, (_, index) => `a${index}, b${index}`);
  const { groups, problems } = parseVocab([...lines, "a0, c0", "a1, a2"].join("\n"));
  expect(groups).toHaveLength(499);
  expect(groups[0]?.terms).toEqual(["a0", "b0", "c0"]);
  expect(problems).toEqual([{ line: 501, message: "a pack has at most 500 groups" }]);
});

test("a line that would make a group too large leaves the groups as they were", () => {
  const group = (name: string): string => Array.from({ length: 30 }, (_, index) => `${name}${index}`).join(",");
  const { groups, problems } = parseVocab([group("a"), group("b"), "a0, b0"].join("\n"));
  expect(groups.map((each) => each.terms.length)).toEqual([30, 30]);
  expect(problems).toHaveLength(1);
});

test("F79 keys of any case become the preferred term, in their place", () => {
  const vocab = parseVocab("content, text");
  expect(normalizeKeys(vocab, { a: 1, text: "x", z: 2 })).toEqual({ value: { a: 1, content: "x", z: 2 }, warnings: [] });
  expect(Object.keys(normalizeKeys(vocab, { a: 1, TEXT: "x", z: 2 }).value as object)).toEqual(["a", "content", "z"]);
  expect(normalizeKeys(vocab, { Content: 1 }).value).toEqual({ content: 1 });
});

test("F80 the preferred key keeps its own value, else the first gets it; losers keep their names and are told", () => {
  const vocab = parseVocab("content, text, body");
  const value = { content: 1, text: 2 };
  const kept = normalizeKeys(vocab, value);
  expect(kept.value).toBe(value);
  expect(kept.warnings).toEqual(['vocab.collision: "text" keeps its name, "content" is there already']);
  expect(normalizeKeys(vocab, { body: 1, text: 2, Text: 3 })).toEqual({
    value: { content: 1, text: 2, Text: 3 },
    warnings: [
      'vocab.collision: "text" keeps its name, "content" is there already',
      'vocab.collision: "Text" keeps its name, "content" is there already',
    ],
  });
});

test("nested maps, keys with a leading _, lists and plain values stay", () => {
  const vocab = parseVocab("content, text, response");
  for (const value of [{ _text: 1, __flow_control: "abort" }, { other: { text: 1 } }, [{ text: 1 }], "text", null, 5])
    expect(normalizeKeys(vocab, value).value).toBe(value);
});

test("a value with thousands of colliding keys gives few, short warnings", () => {
  const vocab = parseVocab("content, text");
  const keys = Array.from({ length: 16 }, (_, bits) =>
    Array.from("text")
      .map((c, at) => ((bits >> at) & 1 ? c.toUpperCase() : c))
      .join(""),
  );
  const { warnings, value } = normalizeKeys(vocab, Object.fromEntries(keys.map((key) => [key, 1])));
  expect(Object.keys(value as object)).toHaveLength(16);
  expect(warnings).toHaveLength(11);
  expect(warnings.at(-1)).toBe("vocab.collision: and 5 more");
});

test("whatever a file and a value say: no value is lost, no key is made but a preferred one, nothing reaches a prototype", () => {
  const words = fc.constantFrom("a", "b", "c", "d", "A", "B", "_a", "__proto__", "constructor");
  const file = fc.array(fc.array(words, { maxLength: 4 }), { maxLength: 6 }).map((lines) => lines.map((line) => line.join(",")).join("\n"));
  const entries = fc.array(fc.tuple(words, fc.integer()), { maxLength: 8 });
  fc.assert(
    fc.property(file, entries, (text, pairs) => {
      const vocab = parseVocab(text);
      const value = Object.fromEntries(pairs);
      const after = normalizeKeys(vocab, value).value as Record<string, number>;
      expect(Object.values(after)).toEqual(Object.values(value));
      expect(Object.getPrototypeOf(after)).toBe(Object.prototype);
      const preferred = new Set(vocab.preferred.values());
      for (const key of Object.keys(after)) expect(Object.hasOwn(value, key) || preferred.has(key)).toBe(true);
      // Terms of two groups never meet.
      expect(new Set(vocab.groups.flatMap((group) => group.terms)).size).toBe(vocab.groups.flatMap((group) => group.terms).length);
    }),
  );
});

test("any text is read without a throw, and reading what it says again says the same", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300, unit: "binary" }), (text) => {
      const { groups } = parseVocab(text);
      const again = parseVocab(groups.map((group) => group.terms.join(",")).join("\n"));
      if (groups.every((group) => group.terms.every((term) => !term.startsWith("#")))) expect(again.groups).toEqual(groups);
    }),
  );
});
