import type { JsonValue } from "@rumi/core";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseCondition } from "./condition.ts";
import { evaluateCondition } from "./evaluate-condition.ts";

const PIECES = [
  "__proto__",
  "constructor",
  "prototype",
  "this",
  "process",
  "require",
  "import",
  "eval",
  "Function",
  "globalThis",
  "=>",
  "=",
  "+=",
  ";",
  "`",
  "${",
  "}",
  "(",
  ")",
  "[",
  "]",
  "'",
  '"',
  "\\",
  "ctx",
  ".",
  "${ctx.a}",
  "${ctx.__proto__}",
  "${ctx.constructor.constructor}",
  '${ctx["__proto__"]["x"]}',
  "and",
  "or",
  "not",
  "==",
  "!=",
  "<",
  ">",
  "1",
  "-",
  "null",
  "\u0000",
  "\u2028",
  "\ud800",
  "#{",
  "{{",
  "}}",
  "%",
  "&&",
  "||",
  "!",
  "?",
  ":",
  ",",
  " ",
  "\n",
] as const;

let before = "";

function prototypes(): string {
  return [Object.prototype, Array.prototype, String.prototype, Function.prototype]
    .map((each) => Object.getOwnPropertyNames(each).toSorted().join())
    .join("|");
}

beforeEach(() => {
  before = prototypes();
});
afterEach(() => {
  expect(prototypes()).toBe(before);
});

test("random text of hostile pieces never throws, never runs and never changes a prototype", () => {
  const reads: string[] = [];
  const context = {
    get: (key: string): JsonValue | undefined => {
      reads.push(key);
      return key === "a" ? { x: 1 } : undefined;
    },
  };
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...PIECES), { maxLength: 30 }), fc.constantFrom("", " "), (pieces, glue) => {
      const parsed = parseCondition(pieces.join(glue));
      if (parsed.ok) expect(typeof evaluateCondition(parsed.condition, context)).toBe("boolean");
      else expect(parsed.fault.offset).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: 3000 },
  );
  expect(reads.every((key) => typeof key === "string")).toBe(true);
});

test("prototype members are missing through every kind of value", () => {
  const values: Readonly<Record<string, JsonValue>> = { map: {}, list: [], text: "t", number: 1, yes: true };
  const context = { get: (key: string): JsonValue | undefined => (Object.hasOwn(values, key) ? values[key] : undefined) };
  for (const key of Object.keys(values)) {
    for (const member of ["__proto__", "constructor", "length", "toString", "valueOf", "hasOwnProperty", "prototype"]) {
      for (const path of [`\${ctx.${key}.${member}}`, `\${ctx.${key}["${member}"]}`, `\${ctx.${member}.${key}}`]) {
        const parsed = parseCondition(`${path} == null`);
        expect(parsed.ok && evaluateCondition(parsed.condition, context), path).toBe(true);
      }
    }
  }
});

test("an own key that is named like a prototype member is plain data", () => {
  const value = JSON.parse('{"__proto__": {"x": 1}, "constructor": 2}') as JsonValue;
  const context = { get: (key: string): JsonValue | undefined => (key === "o" ? value : undefined) };
  const parsed = parseCondition("${ctx.o.__proto__.x} == 1 and ${ctx.o.constructor} == 2");
  expect(parsed.ok && evaluateCondition(parsed.condition, context)).toBe(true);
});
