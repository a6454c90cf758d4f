import type { JsonObject, JsonValue } from "@rumi/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { corpus, DATA, isHeld, join, judge, path, quoted, tokens } from "../test/condition-corpus.ts";
import { parseCondition } from "./condition.ts";
import type { Condition } from "./condition.ts";
import { evaluateCondition } from "./evaluate-condition.ts";
import { parseReference } from "./reference.ts";

/** How much is tried: a corpus of so many expressions, the same in every run of the tests. */
const CORPUS = { numRuns: 10_000, seed: 20_261_128, endOnFailure: true } as const;

function guarded(values: JsonObject): { readonly get: (key: string) => JsonValue | undefined } {
  return { get: (key) => (Object.hasOwn(values, key) ? values[key] : undefined) };
}

/** Nesting and length pass the page's limits now and then: such texts are refused, and that is judged elsewhere. */
function isWithin(text: string): boolean {
  return text.length <= 4_096 && (text.match(/\(|not/gu) ?? []).length <= 64;
}

describe("a random corpus of the condition grammar", () => {
  test("every expression means what an independent evaluator says", () => {
    let judged = 0;
    fc.assert(
      fc.property(corpus, ([made, blanks]) => {
        const text = join(tokens(made), blanks);
        if (!isWithin(text)) return;
        const parsed = parseCondition(text);
        if (!parsed.ok) throw new Error(`${text}\n${parsed.fault.offset}: ${parsed.fault.message}`);
        expect(evaluateCondition(parsed.condition, guarded(DATA)), text).toBe(isHeld(judge(made)));
        judged += 1;
      }),
      CORPUS,
    );
    expect(judged).toBeGreaterThan(9_000);
  });

  test("a mutated expression is refused, or means what its own shortest form means", () => {
    const outcomes = { refused: 0, read: 0 };
    const change = fc.tuple(fc.constantFrom("drop", "double", "swap", "put", "cut"), fc.nat(), fc.constantFrom(...INTRUDERS));
    fc.assert(
      fc.property(corpus, fc.array(change, { minLength: 1, maxLength: 3 }), ([made, blanks], changes) => {
        const text = changes.reduce((now, each) => mutate(now, each), join(tokens(made), blanks));
        const parsed = parseCondition(text);
        if (!parsed.ok) {
          outcomes.refused += 1;
          expect(parsed.fault.offset, text).toBeGreaterThanOrEqual(0);
          expect(parsed.fault.offset, text).toBeLessThanOrEqual(text.length);
          return;
        }
        outcomes.read += 1;
        const again = parseCondition(written(parsed.condition));
        if (!again.ok && !isWithin(written(parsed.condition))) return;
        expect(again.ok && again.condition, text).toEqual(parsed.condition);
        expect(typeof evaluateCondition(parsed.condition, guarded(DATA)), text).toBe("boolean");
      }),
      CORPUS,
    );
    expect(outcomes.refused).toBeGreaterThan(1_000);
    expect(outcomes.read).toBeGreaterThan(100);
  });

  test("whatever is injected, nothing but own data is reached", () => {
    const touched: PropertyKey[] = [];
    const trap = <T extends object>(value: T): T =>
      new Proxy(value, {
        get(target, key, receiver) {
          if (!Object.hasOwn(target, key) && !(Array.isArray(target) && key === "every")) touched.push(key);
          const inner: unknown = Reflect.get(target, key, receiver);
          return typeof inner === "object" && inner !== null ? trap(inner) : inner;
        },
        getPrototypeOf: (target) => Reflect.getPrototypeOf(target),
        set: (_, key) => {
          touched.push(key);
          return false;
        },
        defineProperty: (_, key) => {
          touched.push(key);
          return false;
        },
      });
    const data = trap(structuredClone(DATA));
    const context = { get: (key: string): JsonValue | undefined => (Object.hasOwn(data, key) ? data[key] : undefined) };
    const change = fc.tuple(fc.constantFrom("put", "swap"), fc.nat(), fc.constantFrom(...INTRUDERS));
    fc.assert(
      fc.property(corpus, fc.array(change, { maxLength: 2 }), ([made, blanks], changes) => {
        const parsed = parseCondition(changes.reduce((now, each) => mutate(now, each), join(tokens(made), blanks)));
        if (parsed.ok) evaluateCondition(parsed.condition, context);
      }),
      CORPUS,
    );
    expect(touched).toEqual([]);
  });
});

const INTRUDERS = [
  "constructor",
  "__proto__",
  "this",
  "process.exit()",
  "${ctx.o.constructor.constructor}",
  "${ctx['__proto__']['polluted']}",
  "${process.env}",
  "${ctx}",
  "(",
  ")",
  "'",
  '"',
  "\\",
  "=",
  "==",
  "not",
  " and ",
  " or ",
  "${ctx.n}",
  "1",
  "\u0000",
  "\u2028",
  ";",
  "=>",
  "`",
  "//",
  "\ud800",
] as const;

function mutate(text: string, [how, nth, intruder]: readonly [string, number, string]): string {
  const at = text.length === 0 ? 0 : nth % text.length;
  const before = text.slice(0, at);
  switch (how) {
    case "drop":
      return before + text.slice(at + 1);
    case "double":
      return before + text.slice(at, at + 1) + text.slice(at);
    case "swap":
      return before + text.slice(at + 1, at + 2) + text.slice(at, at + 1) + text.slice(at + 2);
    case "cut":
      return before;
    default:
      return before + intruder + text.slice(at);
  }
}

/** A parsed condition as text again, every part in parentheses of its own where the grammar asks for them. */
function written(condition: Condition): string {
  const inside = (part: Condition): string => (part.kind === "reference" || part.kind === "value" ? written(part) : `(${written(part)})`);
  switch (condition.kind) {
    case "or":
    case "and":
      return condition.terms.map(inside).join(` ${condition.kind} `);
    case "not":
      return `not ${inside(condition.term)}`;
    case "compare":
      return `${inside(condition.left)} ${condition.operator} ${inside(condition.right)}`;
    case "value":
      return typeof condition.value === "string"
        ? quoted(condition.value, "'")
        : Object.is(condition.value, -0)
          ? "-0"
          : JSON.stringify(condition.value);
    case "reference":
      return `\${ctx${condition.reference.members.map((each) => (typeof each === "number" ? `[${each}]` : `[${quoted(each, '"')}]`)).join("")}}`;
  }
}

test("references of the grammar read what they name, others are refused", () => {
  fc.assert(
    fc.property(path, (made) => {
      if (made.is !== "path") throw new Error("a path");
      const parsed = parseReference(made.text);
      expect(parsed.ok && parsed.value.members, made.text).toEqual(made.path);
    }),
    CORPUS,
  );
  fc.assert(
    fc.property(path, fc.nat(), fc.constantFrom(...INTRUDERS), fc.constantFrom("drop", "put", "cut"), (made, nth, intruder, how) => {
      const text = made.is === "path" ? mutate(made.text, [how, nth, intruder]) : "";
      const parsed = parseReference(text);
      if (!parsed.ok) return;
      expect(parsed.end).toBe(text.length);
      expect(text).toMatch(/^\$\{[ \t\n\r]*ctx[.[].*\}$/su);
      expect(parsed.value.members.length).toBeGreaterThan(0);
    }),
    CORPUS,
  );
});
