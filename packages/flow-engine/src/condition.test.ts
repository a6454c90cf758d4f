import type { JsonObject, JsonValue } from "@rumi/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseCondition } from "./condition.ts";
import { compareCodePoints, conditionReferences, evaluateCondition } from "./evaluate-condition.ts";
import { MAX_CONDITION_CHARS, MAX_CONDITION_NESTING } from "./limits.ts";

const VALUES: JsonObject = { n: 5, s: "5", t: true, z: null, q: "a == b", l: [1], e: [], o: { k: 1 } };

function context(values: JsonObject): { get(key: string): JsonValue | undefined } {
  return { get: (key) => (Object.hasOwn(values, key) ? values[key] : undefined) };
}

function holds(text: string, values: JsonObject = VALUES): boolean | "E" {
  const parsed = parseCondition(text);
  return parsed.ok ? evaluateCondition(parsed.condition, context(values)) : "E";
}

/** The cells of the page's table; a bare name stands for its reference. */
const CELLS: readonly (readonly [string, boolean | "E"])[] = [
  ["n == 5", true],
  ["n==5.0", true],
  ['n == "5"', false],
  ["s == n", false],
  ["s > 4", true],
  ["s == '5'", true],
  ['"abc" > 80', false],
  ["m > 0", false],
  ["m == null", true],
  ["z != null", false],
  ['q == "a == b"', true],
  ["t == 1", false],
  ["t != false", true],
  ["not t or n > 4", true],
  ["not (t or e)", false],
  ["e", false],
  ["m", false],
  ["o.k == 1", true],
  ["l[0] < n", true],
  ['"false"', true],
  ["l and n < 6", true],
  ['"b" > "a"', true],
  ["n >= m", false],
  ["1 < 2 < 3", "E"],
  ["n = 5", "E"],
];

function withReferences(cell: string): string {
  return cell.replaceAll(
    /("[^"]*"|'[^']*')|\b(?!(?:and|or|not|true|false|null)\b)([a-z])((?:\.[a-z]|\[\d\])*)(?![\w])/gu,
    (all: string, quoted: string | undefined) => (quoted === undefined ? `\${ctx.${all}}` : quoted),
  );
}

describe("F32 the table of conditions", () => {
  test.each(CELLS)("F32 %s is %s", (cell, expected) => {
    expect(holds(withReferences(cell))).toBe(expected);
  });
});

test.each([
  "${ctx.a} and",
  "${ctx.x} == == ${ctx.y}",
  '"open',
  "'open\\'",
  '"${ctx.a}" == "x"',
  "",
  "   ",
  "bare",
  "a and b",
  "()",
  "(1",
  "1)",
  "1 2",
  "True",
  "AND",
  "5x",
  "01",
  "1.",
  ".5",
  "+1",
  "1e999",
  "=1",
  "1 <> 2",
  "!${ctx.a}",
  "${ctx.a} && 1",
  "${ctx}",
  "${env.HOME}",
  "ctx.a",
  '"\\x41"',
  "not",
  "1 == 2 == 3",
])("F33 refuses %j", (text) => {
  expect(holds(text)).toBe("E");
});

test("symbols need no blanks, and escapes in quotes are read", () => {
  expect(holds("(${ctx.n}>=5)and(${ctx.s}!='')")).toBe(true);
  expect(holds('"\\u0041\\n\\t\\\\\\"\\\'" == "A\\n\\t\\\\\\"\\\'"')).toBe(true);
  expect(holds("-1.5e1 < 0")).toBe(true);
});

test("texts that are numbers in JSON compare as numbers with numbers, as text with text", () => {
  expect(holds('"10" > 9')).toBe(true);
  expect(holds('"10" > "9"')).toBe(false);
  expect(holds('"0x10" > 9')).toBe(false);
  expect(holds('" 10" > 9')).toBe(false);
  expect(holds("true > 0")).toBe(false);
});

test("lists and maps are equal by content, whatever the order of keys", () => {
  expect(holds("${ctx.a} == ${ctx.b}", { a: { x: [1, { y: null }], z: 2 }, b: { z: 2, x: [1, { y: null }] } })).toBe(true);
  expect(holds("${ctx.a} == ${ctx.b}", { a: { x: null }, b: { y: null } })).toBe(false);
  expect(holds("${ctx.a} == ${ctx.b}", { a: [], b: {} })).toBe(false);
});

test("length and nesting have limits", () => {
  const deep = (levels: number): string => `${"(".repeat(levels)}1${")".repeat(levels)}`;
  expect(holds(deep(MAX_CONDITION_NESTING))).toBe(true);
  expect(holds(deep(MAX_CONDITION_NESTING + 1))).toBe("E");
  expect(holds(`${"not ".repeat(MAX_CONDITION_NESTING + 1)}1`)).toBe("E");
  expect(holds(`1${" ".repeat(MAX_CONDITION_CHARS - 1)}`)).toBe(true);
  expect(holds(`1${" ".repeat(MAX_CONDITION_CHARS)}`)).toBe("E");
});

test("the references of a condition are known without running it", () => {
  const parsed = parseCondition("${ctx.a.b} == 1 or not (${ctx.c} and 2 < ${ctx.d[0]})");
  expect(parsed.ok && conditionReferences(parsed.condition).map((each) => each.members)).toEqual([["a", "b"], ["c"], ["d", 0]]);
});

test("texts are ordered by code points", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), (a, b) => {
      const points = (text: string): number[] => Array.from(text, (char) => char.codePointAt(0) ?? 0);
      const [left, right] = [points(a), points(b)];
      const at = left.findIndex((point, index) => point !== right[index]);
      const expected = at === -1 ? left.length - right.length : (left[at] ?? 0) - (right[at] ?? -1);
      expect(Math.sign(compareCodePoints(a, b))).toBe(Math.sign(expected));
    }),
  );
});

interface Made {
  readonly text: string;
  readonly value: JsonValue;
}

function truthy(value: JsonValue): boolean {
  if (value === null || typeof value !== "object") return Boolean(value);
  return Object.keys(value).length > 0;
}

const operands: fc.Arbitrary<Made> = fc.oneof(
  fc.constantFrom(...Object.entries(VALUES).map(([key, value]): Made => ({ text: `\${ctx.${key}}`, value }))),
  fc.integer({ min: -9, max: 9 }).map((value): Made => ({ text: String(value), value })),
  fc.constantFrom<Made>(
    { text: "true", value: true },
    { text: "false", value: false },
    { text: "null", value: null },
    { text: "'and or not == ('", value: "and or not == (" },
  ),
);
const { condition } = fc.letrec<{ condition: Made; operand: Made }>((tie) => ({
  operand: fc.oneof(
    { maxDepth: 4 },
    operands,
    tie("condition").map((inner): Made => ({ text: `(${inner.text})`, value: inner.value })),
  ),
  condition: fc.oneof(
    { maxDepth: 4 },
    tie("operand"),
    fc
      .tuple(tie("operand"), tie("operand"))
      .map(([a, b]): Made => ({ text: `${a.text} == ${b.text}`, value: JSON.stringify(a.value) === JSON.stringify(b.value) })),
    fc
      .tuple(tie("operand"), tie("operand"))
      .map(([a, b]): Made => ({ text: `(${a.text}) and (${b.text})`, value: truthy(a.value) && truthy(b.value) })),
    fc
      .tuple(tie("operand"), tie("operand"))
      .map(([a, b]): Made => ({ text: `(${a.text}) or (${b.text})`, value: truthy(a.value) || truthy(b.value) })),
    tie("operand").map((a): Made => ({ text: `not (${a.text})`, value: !truthy(a.value) })),
  ),
}));

test("conditions of the grammar parse and mean what they were built to mean", () => {
  fc.assert(
    fc.property(condition, (made) => {
      expect(holds(made.text)).toBe(truthy(made.value));
    }),
    { numRuns: 500 },
  );
});
