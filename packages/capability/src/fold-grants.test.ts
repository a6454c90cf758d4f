import type { JsonObject, JsonValue } from "@rumi/core";
import { canonicalJson } from "@rumi/core";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { foldGrants } from "./fold-grants.ts";
import { coverOf, covers } from "./pattern.ts";

function folded(...levels: readonly JsonObject[]): JsonObject | "denied" {
  const result = foldGrants(levels);
  return result.ok ? result.config : "denied";
}

const TABLE: readonly [parent: JsonObject, child: JsonObject, effective: JsonObject | "denied"][] = [
  [{}, { allowed_store_ids: ["x"] }, { allowed_store_ids: [] }],
  [{ allowed_store_ids: ["x"] }, {}, { allowed_store_ids: [] }],
  [{ allowed_store_ids: ["y"] }, { allowed_store_ids: ["x"] }, { allowed_store_ids: [] }],
  [{ allowed_domains: ["*.foo.com"] }, { allowed_domains: ["api.foo.com", "bar.com"] }, { allowed_domains: ["api.foo.com"] }],
  [
    { n: 5, b: true, s: "a" },
    { n: 3, b: false, s: "a", m: 1 },
    { n: 3, b: false, s: "a", m: 1 },
  ],
  [{ s: "a" }, { s: "b" }, "denied"],
  [{}, { allow_private: ["127.0.0.1:11434"] }, {}],
];

test.each(TABLE)("T43 the table: %j and %j give %j, in both orders", (parent, child, effective) => {
  expect(folded(parent, child)).toEqual(effective);
  expect(folded(child, parent)).toEqual(effective);
});

const MORE: readonly [string, readonly JsonObject[], JsonObject | "denied"][] = [
  ["T43 a list against a number is denied", [{ a: [1] }, { a: 1 }], "denied"],
  ["T43 an object against a list is denied", [{ a: {} }, { a: [] }], "denied"],
  ["T43 null against a text is denied", [{ a: null }, { a: "x" }], "denied"],
  ["T94 parent {} and child [x] hold nothing", [{}, { allowed_keys: ["x"] }], { allowed_keys: [] }],
  ["T94 parent [x] and child {} hold nothing", [{ allowed_keys: ["x"] }, {}], { allowed_keys: [] }],
  ["one level is itself", [{ allowed_keys: ["x", "x"], on: true, n: 1 }], { allowed_keys: ["x"], on: true, n: 1 }],
  ["a middle level without the list takes it from all", [{ allowed_keys: ["x"] }, {}, { allowed_keys: ["x"] }], { allowed_keys: [] }],
  ["an empty list is none", [{ allowed_keys: [] }, { allowed_keys: ["*"] }], { allowed_keys: [] }],
  ["an allow-list that is no list is denied where a level lacks it", [{ allowed_dir: "/t" }, {}], "denied"],
  ['"*" leaves the other side', [{ allowed_keys: ["*"] }, { allowed_keys: ["A", "B*"] }], { allowed_keys: ["A", "B*"] }],
  [
    "prefixes: the narrower one stays",
    [{ allowed_paths: ["src/*"] }, { allowed_paths: ["src/a/*", "lib/*"] }],
    { allowed_paths: ["src/a/*"] },
  ],
  [
    "domains: the narrower one stays",
    [{ allowed_domains: ["*.foo.com"] }, { allowed_domains: ["*.a.foo.com"] }],
    { allowed_domains: ["*.a.foo.com"] },
  ],
  ["xfoo.com is not below foo.com", [{ allowed_domains: ["*.foo.com"] }, { allowed_domains: ["xfoo.com"] }], { allowed_domains: [] }],
  ["ports: any against some", [{ allowed_ports: ["*"] }, { allowed_ports: [443] }], { allowed_ports: [443] }],
  [
    "bindings: same key, host below",
    [{ allowed_bindings: ["K@*.foo.com", "L@x.com"] }, { allowed_bindings: ["K@api.foo.com", "L@y.com"] }],
    { allowed_bindings: ["K@api.foo.com"] },
  ],
  [
    "bindings: another key is another binding",
    [{ allowed_bindings: ["K@*.foo.com"] }, { allowed_bindings: ["KK@a.foo.com"] }],
    { allowed_bindings: [] },
  ],
  ["allowed_methods on one side is kept: it restricts", [{}, { allowed_methods: ["GET"] }], { allowed_methods: ["GET"] }],
  [
    "allowed_methods on both sides meet",
    [{ allowed_methods: ["GET", "PUT"] }, { allowed_methods: ["PUT", "POST"] }],
    { allowed_methods: ["PUT"] },
  ],
  ["allow_private on both sides meets", [{ allow_private: ["a:1", "b:2"] }, { allow_private: ["b:2"] }], { allow_private: ["b:2"] }],
  ["false on one side is kept, true is dropped", [{ f: false, t: true }, {}], { f: false }],
  [
    "objects go key by key, also where one side has none",
    [{ o: { n: 2, deep: { n: 9 } } }, { o: { n: 3, on: true } }, {}],
    { o: { n: 2, deep: { n: 9 } } },
  ],
  ["a conflict deep inside denies all", [{ o: { p: { s: "a" } } }, { o: { p: { s: "b" } } }], "denied"],
];

test.each(MORE)("%s", (_what, levels, effective) => {
  expect(folded(...levels)).toEqual(effective);
});

test("a conflict names its key", () => {
  expect(foldGrants([{ o: { s: "a" } }, { o: { s: "b" } }])).toEqual({ ok: false, conflict: "o.s" });
});

// Property tests. Items of one list have one kind of pattern, as every list that is granted has.
const DOMAIN = fc.constantFrom(
  "*",
  "foo.com",
  "*.foo.com",
  "api.foo.com",
  "*.api.foo.com",
  "b.api.foo.com",
  "bar.com",
  "*.bar.com",
  "xfoo.com",
);
const NAME = fc.constantFrom("*", "a", "a*", "ab", "ab*", "abc", "b", "b*", "bc");
const BINDING = fc.constantFrom("K@foo.com", "K@*.foo.com", "K@api.foo.com", "L@foo.com", "L@*.foo.com", "K@bar.com");
const PORT = fc.constantFrom<JsonValue>("*", 80, 443, 8443);
const PAIR = fc.constantFrom("127.0.0.1:1", "127.0.0.1:2", "nas.home:1");
const list = (item: fc.Arbitrary<JsonValue>): fc.Arbitrary<JsonValue> => fc.uniqueArray(item, { maxLength: 5 });

const SCALARS = {
  max: fc.integer({ min: 0, max: 9 }),
  on: fc.boolean(),
  mode: fc.constantFrom("x", "y"),
  plain: list(NAME),
};
const LISTS = {
  allowed_domains: list(DOMAIN),
  allowed_ids: list(NAME),
  allowed_bindings: list(BINDING),
  allowed_ports: list(PORT),
  allowed_methods: list(fc.constantFrom("GET", "PUT", "POST")),
  allow_private: list(PAIR),
  allow_install: fc.boolean(),
};
const config: fc.Arbitrary<JsonObject> = fc.record(
  { ...SCALARS, ...LISTS, inner: fc.record({ ...SCALARS, ...LISTS }, { requiredKeys: [] }) },
  { requiredKeys: [] },
) as fc.Arbitrary<JsonObject>;

/** The same for configs that differ only in the order of list items. */
function normal(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map((item: JsonValue) => canonicalJson(item)).toSorted();
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, normal(member)]));
}

const RUNS = { numRuns: 2000 };

test("folding is associative and its order does not matter", () => {
  fc.assert(
    fc.property(config, config, config, (a, b, c) => {
      const all = folded(a, b, c);
      const left = folded(a, b);
      const right = folded(b, c);
      const viaLeft = left === "denied" ? left : folded(left, c);
      const viaRight = right === "denied" ? right : folded(a, right);
      expect(normal(viaLeft)).toEqual(normal(all));
      expect(normal(viaRight)).toEqual(normal(all));
      expect(normal(folded(c, a, b))).toEqual(normal(all));
      expect(normal(folded(b, a))).toEqual(normal(left));
    }),
    RUNS,
  );
});

test("folding a level with itself changes nothing but what no other level can confirm", () => {
  fc.assert(
    fc.property(config, (a) => {
      expect(normal(folded(a, a))).toEqual(normal(folded(a)));
      expect(normal(folded(a, a, a))).toEqual(normal(folded(a, a)));
    }),
    RUNS,
  );
});

/** Whether `low` allows nothing that `high` does not, for configs that went through the fold. */
function within(low: JsonObject, high: JsonObject): boolean {
  return Object.entries(high)
    .concat(Object.entries(low).filter(([key]) => !Object.hasOwn(high, key)))
    .every(([key]) => withinKey(key, low[key], high[key]));
}

function withinKey(key: string, low: JsonValue | undefined, high: JsonValue | undefined): boolean {
  const isList = key.startsWith("allowed_") && key !== "allowed_methods";
  if (isList || key === "allow_private") {
    const [has, may] = [low ?? [], high ?? []] as [JsonValue[], JsonValue[]];
    return has.every((item) => may.some((pattern) => coverOf(key)(pattern, item)));
  }
  if (low === true) return high === true;
  if (low === false || high === undefined || high === true || high === false) return high !== false || low === false || low === undefined;
  if (typeof high === "number") return typeof low === "number" && low <= high;
  if (typeof high === "string") return low === high;
  if (Array.isArray(high))
    return Array.isArray(low) && low.every((item: JsonValue) => high.some((pattern: JsonValue) => covers(pattern, item)));
  return within((low ?? {}) as JsonObject, high as JsonObject);
}

test("the fold never allows more than any level", () => {
  fc.assert(
    fc.property(fc.array(config, { minLength: 1, maxLength: 4 }), (levels) => {
      const result = folded(...levels);
      if (result !== "denied") for (const level of levels) expect(within(result, level)).toBe(true);
    }),
    RUNS,
  );
});

test("one more level never allows more", () => {
  fc.assert(
    fc.property(fc.array(config, { minLength: 1, maxLength: 3 }), config, (levels, more) => {
      const before = folded(...levels);
      const after = folded(...levels, more);
      if (before === "denied") expect(after).toBe("denied");
      else if (after !== "denied") expect(within(after, before)).toBe(true);
    }),
    RUNS,
  );
});

test("a narrower level never makes the whole wider", () => {
  fc.assert(
    fc.property(config, config, config, (a, b, other) => {
      const narrower = folded(a, b);
      fc.pre(narrower !== "denied");
      const [low, high] = [folded(narrower, other), folded(a, other)];
      if (high === "denied") expect(low).toBe("denied");
      else if (low !== "denied") expect(within(low, high)).toBe(true);
    }),
    RUNS,
  );
});

test("covering is transitive, and patterns name what they say", () => {
  for (const item of [DOMAIN, NAME]) {
    fc.assert(
      fc.property(item, item, item, (a, b, c) => {
        if (covers(a, b) && covers(b, c)) expect(covers(a, c)).toBe(true);
      }),
      RUNS,
    );
  }
  expect(covers("*.foo.com", "foo.com")).toBe(true);
  expect(covers("ab*", "ab")).toBe(true);
  expect([covers("a", "a*"), covers("*.a", "*"), covers("a*", "*"), covers("*.*", "*.x"), covers("**", "*.x")]).toEqual(
    Array(5).fill(false),
  );
});

test("keys of prototypes are keys like others", () => {
  const odd = JSON.parse('{"constructor":{"n":1},"hasOwnProperty":2}') as JsonObject;
  expect(folded(odd, {})).toEqual({ constructor: { n: 1 }, hasOwnProperty: 2 });
  expect(folded({}, { toString: "x" })).toEqual({ toString: "x" });
});
