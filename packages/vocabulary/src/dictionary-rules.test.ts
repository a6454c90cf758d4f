import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DictionaryRules } from "./dictionary-rules.ts";

const rule = (token: string, value: string, namespace = "n") => ({ namespace, token, value });
const add = (rules: DictionaryRules, token: string, value: string, namespace = "n"): string =>
  rules.add(rule(token, value, namespace)).result;

test("F81 a rule that leads back is a cycle, another value of a token a conflict, the same again is accepted", () => {
  const rules = new DictionaryRules();
  expect(add(rules, "A", "B")).toBe("accepted");
  expect(add(rules, "B", "A")).toBe("cycle_detected");
  expect(add(rules, "C", "C")).toBe("cycle_detected");
  expect(add(rules, "A", "C")).toBe("conflict");
  expect(add(rules, "A", "B")).toBe("accepted");
  expect(add(rules, "B", "C")).toBe("accepted");
  expect(add(rules, "C", "A")).toBe("cycle_detected");
  expect(rules.size).toBe(2);
  expect(rules.resolve("n", "A")).toEqual({ value: "C", hops: 2 });
  expect(rules.explain("n", "A")).toEqual({ namespace: "n", token: "A", value: "C", hops: 2, path: ["A", "B", "C"] });
  expect(rules.resolve("n", "unknown")).toEqual({ value: "unknown", hops: 0 });
});

test("namespaces know nothing of each other", () => {
  const rules = new DictionaryRules();
  expect(add(rules, "A", "B", "one")).toBe("accepted");
  expect(add(rules, "B", "A", "two")).toBe("accepted");
  expect(rules.resolve("two", "A").value).toBe("A");
  expect(rules.list("two")).toEqual([rule("B", "A", "two")]);
  expect(rules.list()).toHaveLength(2);
  expect(rules.list("three")).toEqual([]);
});

test("names of the language are words like any other", () => {
  const rules = new DictionaryRules();
  expect(add(rules, "__proto__", "constructor", "__proto__")).toBe("accepted");
  expect(rules.resolve("__proto__", "__proto__")).toEqual({ value: "constructor", hops: 1 });
  expect(rules.resolve("n", "toString")).toEqual({ value: "toString", hops: 0 });
});

test.each([
  ["empty", ""],
  ["blank", "  "],
  ["257 characters", "x".repeat(257)],
  ["a megabyte", "x".repeat(1_000_000)],
  ["a line end", "a\nb"],
  ["NUL", "a\u0000"],
  ["half a character", "\ud800"],
])("%s is no text", (_, text) => {
  const rules = new DictionaryRules();
  expect(add(rules, text, "v")).toBe("rejected");
  expect(add(rules, "t", text)).toBe("rejected");
  expect(rules.size).toBe(0);
});

test("256 characters are a text, also outside the basic plane; a namespace has 64", () => {
  const rules = new DictionaryRules();
  expect(add(rules, "𝒳".repeat(256), "é".repeat(256), "𝒩".repeat(64))).toBe("accepted");
  expect(add(rules, "t", "v", "n".repeat(65))).toBe("rejected");
});

test("a chain has at most 10 hops, from whichever end, or the middle, it would grow", () => {
  const rules = new DictionaryRules();
  for (let n = 0; n < 10; n += 1) expect(add(rules, `w${n}`, `w${n + 1}`)).toBe("accepted");
  expect(rules.resolve("n", "w0")).toEqual({ value: "w10", hops: 10 });
  expect(add(rules, "w10", "w11")).toBe("rejected");
  expect(add(rules, "before", "w0")).toBe("rejected");
  expect(add(rules, "before", "w1")).toBe("accepted");
  expect(rules.remove("n", "w5")).toBe(true);
  expect(add(rules, "w5", "a")).toBe("accepted");
  for (const [token, value] of [
    ["a", "b"],
    ["b", "c"],
    ["c", "d"],
    ["d", "e"],
  ] as const)
    expect(add(rules, token, value)).toBe("accepted");
  expect(add(rules, "e", "f")).toBe("rejected");
  expect(add(rules, "e", "w6")).toBe("rejected");
});

test("10,000 rules at most; the same again still is accepted, and what goes makes room", () => {
  const rules = new DictionaryRules();
  for (let n = 0; n < 10_000; n += 1) rules.add(rule(`t${n}`, "hub", `n${n % 3}`));
  expect(rules.size).toBe(10_000);
  expect(add(rules, "more", "hub")).toBe("rejected");
  expect(add(rules, "t0", "hub", "n0")).toBe("accepted");
  rules.remove("n0", "t0");
  expect(add(rules, "more", "hub")).toBe("accepted");
});

describe("whatever is proposed and removed", () => {
  const word = fc.constantFrom(...Array.from("abcdefghijklmno"));
  const op = fc.record({ remove: fc.boolean(), namespace: fc.constantFrom("x", "y"), token: word, value: word });
  const steps = fc.array(
    fc.tuple(fc.nat({ max: 4 }), op).map(([roll, one]) => ({ ...one, remove: roll === 0 })),
    { maxLength: 120 },
  );

  test("no cycle is ever made, and every token ends within 10 hops at a word that no rule names", () => {
    fc.assert(
      fc.property(steps, (ops) => {
        const rules = new DictionaryRules();
        for (const { remove, ...proposed } of ops) {
          if (remove) rules.remove(proposed.namespace, proposed.token);
          else rules.add(proposed);
        }
        for (const { namespace, token } of rules.list()) {
          const { value, hops, path } = rules.explain(namespace, token);
          expect(hops).toBeGreaterThan(0);
          expect(hops).toBeLessThanOrEqual(10);
          expect(new Set(path).size).toBe(path.length);
          expect(rules.find(namespace, value)).toBeUndefined();
          expect(rules.resolve(namespace, token)).toEqual({ value, hops });
        }
      }),
      { numRuns: 300 },
    );
  });

  test("a refusal has its reason, by a plain look at all rules", () => {
    fc.assert(
      fc.property(steps, (ops) => {
        const rules = new DictionaryRules();
        for (const { remove, ...proposed } of ops) {
          if (remove) {
            rules.remove(proposed.namespace, proposed.token);
            continue;
          }
          const before = new Map(rules.list(proposed.namespace).map(({ token, value }) => [token, value]));
          const { result } = rules.add(proposed);
          expect(result).toBe(plainVerdict(before, proposed.token, proposed.value));
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** The same verdict without any index: put the rule in, and follow every token. */
function plainVerdict(before: ReadonlyMap<string, string>, token: string, value: string): string {
  const after = new Map(before).set(token, value);
  const hops = (from: string): number => {
    let count = 0;
    for (let at = after.get(from); at !== undefined && count <= after.size; at = after.get(at)) count += 1;
    return count;
  };
  if (hops(token) > after.size) return "cycle_detected";
  const held = before.get(token);
  if (held !== undefined) return held === value ? "accepted" : "conflict";
  return [...after.keys()].some((each) => hops(each) > 10) ? "rejected" : "accepted";
}
