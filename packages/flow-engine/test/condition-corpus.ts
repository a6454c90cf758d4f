import type { JsonObject, JsonValue } from "@rumi/core";
import fc from "fast-check";

/** What the expressions of the corpus read. */
export const DATA: JsonObject = {
  n: 5,
  zero: 0,
  half: -0.5,
  s: "5",
  t: true,
  f: false,
  z: null,
  q: "a == b",
  l: [1, "x", [null]],
  e: [],
  o: { k: 1, "a-b": { deep: ["y"] }, "": 0 },
  same: { "": 0, "a-b": { deep: ["y"] }, k: 1 },
  star: "\u{1F600}",
  tilde: "\uFF5E",
  empty: "",
};

/** An expression as its grammar builds it. The reference evaluator below knows nothing of the engine's parser or tree. */
export type Made =
  | { readonly is: "or" | "and"; readonly parts: readonly Made[] }
  | { readonly is: "not"; readonly part: Made }
  | { readonly is: "compare"; readonly sign: string; readonly left: Made; readonly right: Made }
  | { readonly is: "group"; readonly part: Made; readonly blanks: string }
  | { readonly is: "path"; readonly path: readonly (string | number)[]; readonly text: string }
  | { readonly is: "literal"; readonly value: JsonValue; readonly text: string };

const blank = fc.constantFrom("", " ", "  ", "\t", "\n ");
const signs = fc.constantFrom("==", "!=", ">=", "<=", ">", "<");

/** A text of the language, escapes written. */
export function quoted(text: string, quote: string): string {
  const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", [quote]: `\\${quote}`, "\n": "\\n", "\t": "\\t" };
  return `${quote}${Array.from(text, (char) => escapes[char] ?? char).join("")}${quote}`;
}

const word = fc.constantFrom("and", "or", "not", "(", ")", "==", "a", "5", "", " ", "\\", '"', "'", "\n", "\u{1F600}", "$", "{", "ctx");
const literal: fc.Arbitrary<Made> = fc.oneof(
  fc.constantFrom(true, false, null).map((value): Made => ({ is: "literal", value, text: String(value) })),
  fc
    .oneof(fc.integer({ min: -99, max: 99 }), fc.double({ noNaN: true, noDefaultInfinity: true }))
    .map((value): Made => ({ is: "literal", value: JSON.parse(JSON.stringify(value)) as number, text: JSON.stringify(value) })),
  fc
    .tuple(fc.array(word, { maxLength: 5 }), fc.constantFrom('"', "'"))
    .map(([words, quote]) => ({ value: words.join("").replaceAll(/\$\{+/gu, "$"), quote }))
    .map(({ value, quote }): Made => ({ is: "literal", value, text: quoted(value, quote) })),
);

const member = fc.constantFrom<string | number>("k", "a-b", "deep", "", 0, 1, 2, "length", "constructor", "__proto__", "toString", "0");
/** References of the grammar. */
export const path: fc.Arbitrary<Made> = fc
  .tuple(
    fc.constantFrom(...Object.keys(DATA), "missing", "constructor", "__proto__"),
    fc.array(member, { maxLength: 3 }),
    blank,
    fc.boolean(),
  )
  .map(([head, rest, space, dots]): Made => {
    const written = rest.map((each) => {
      if (typeof each === "number") return `[${space}${each}${space}]`;
      return dots && /^[A-Za-z_][A-Za-z0-9_]*$/u.test(each) ? `.${each}` : `[${space}${quoted(each, "'")}${space}]`;
    });
    return { is: "path", path: [head, ...rest], text: `\${${space}ctx.${head}${written.join("")}${space}}` };
  });

const { expression } = fc.letrec<{ expression: Made; conjunct: Made; term: Made; operand: Made }>((tie) => ({
  operand: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.oneof(literal, path),
    fc.record({ is: fc.constant("group" as const), part: tie("expression"), blanks: blank }),
  ),
  term: fc.oneof(
    { maxDepth: 5 },
    fc.record({ is: fc.constant("compare" as const), sign: signs, left: tie("operand"), right: tie("operand") }),
    tie("operand"),
    tie("term").map((part): Made => ({ is: "not", part })),
  ),
  conjunct: fc.oneof(
    { maxDepth: 5 },
    tie("term"),
    fc.array(tie("term"), { minLength: 2, maxLength: 3 }).map((parts): Made => ({ is: "and", parts })),
  ),
  expression: fc.oneof(
    { maxDepth: 5 },
    tie("conjunct"),
    fc.array(tie("conjunct"), { minLength: 2, maxLength: 3 }).map((parts): Made => ({ is: "or", parts })),
  ),
}));

/** The expression as tokens: symbols that need no blank beside them, and words that do. */
export function tokens(made: Made): string[] {
  switch (made.is) {
    case "or":
    case "and":
      return made.parts.flatMap((part, index) => (index === 0 ? tokens(part) : [made.is, ...tokens(part)]));
    case "not":
      return ["not", ...tokens(made.part)];
    case "compare":
      return [...tokens(made.left), made.sign, ...tokens(made.right)];
    case "group":
      return ["(", ...tokens(made.part), ")"];
    case "path":
    case "literal":
      return [made.text];
  }
}

// The reference evaluator: written from the page's grammar and table alone.

function own(value: JsonValue | undefined, steps: readonly (string | number)[]): JsonValue | undefined {
  const [step, ...rest] = steps;
  if (step === undefined || value === undefined) return value;
  const map = new Map<string | number, JsonValue>(
    Array.isArray(value)
      ? value.map((item, index) => [index, item as JsonValue])
      : value !== null && typeof value === "object"
        ? Object.entries(value)
        : [],
  );
  return own(map.get(step), rest);
}

function kindOf(value: JsonValue): string {
  return value === null ? "null" : Array.isArray(value) ? "list" : typeof value;
}

function alike(a: JsonValue, b: JsonValue): boolean {
  const sorted = (value: JsonValue): unknown => {
    if (Array.isArray(value)) return value.map((item) => sorted(item as JsonValue));
    if (value === null || typeof value !== "object") return value === 0 ? 0 : value;
    return Object.entries(value)
      .sort(([x], [y]) => (x < y ? -1 : 1))
      .map(([key, item]) => [`key ${key}`, sorted(item)]);
  };
  return kindOf(a) === kindOf(b) && JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

/** Whether a value alone holds, by the table of the page. */
export function isHeld(value: JsonValue): boolean {
  const falsy: readonly unknown[] = [null, false, 0, "", "[]", "{}"];
  return !falsy.includes(value !== null && typeof value === "object" ? JSON.stringify(value) : value === 0 ? 0 : value);
}

function numberIn(value: JsonValue): number | null {
  if (typeof value === "number") return value;
  if (typeof value !== "string" || value.trim() !== value) return null;
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === "number" ? parsed : null;
  } catch {
    return null;
  }
}

function orderOf(a: JsonValue, b: JsonValue): number | null {
  if (typeof a === "string" && typeof b === "string") {
    const [x, y] = [a, b].map((text) => Array.from(text, (char) => char.codePointAt(0) ?? 0)) as [number[], number[]];
    for (const [index, point] of x.entries()) if (point !== y[index]) return y[index] === undefined ? 1 : point - y[index];
    return x.length - y.length;
  }
  const [x, y] = [numberIn(a), numberIn(b)];
  return x === null || y === null ? null : Math.sign(x - y) || (x === y ? 0 : x > y ? 1 : -1);
}

/** What the expression gives for `DATA`. */
export function judge(made: Made): JsonValue {
  switch (made.is) {
    case "or":
      return made.parts.map((part) => isHeld(judge(part))).includes(true);
    case "and":
      return !made.parts.map((part) => isHeld(judge(part))).includes(false);
    case "not":
      return !isHeld(judge(made.part));
    case "group":
      return judge(made.part);
    case "path":
      return own(DATA, made.path) ?? null;
    case "literal":
      return made.value;
    case "compare": {
      const [left, right] = [judge(made.left), judge(made.right)];
      if (made.sign === "==" || made.sign === "!=") return alike(left, right) === (made.sign === "==");
      const order = orderOf(left, right);
      return order !== null && (order === 0 ? made.sign.endsWith("=") : made.sign.startsWith(order > 0 ? ">" : "<"));
    }
  }
}

/** Joins tokens with blanks as given, but for words, which need one. */
export function join(parts: readonly string[], blanks: readonly string[]): string {
  const isWord = (text: string | undefined): boolean => /^[\w.+-]+$/u.test(text ?? "");
  return parts
    .map((part, index) => {
      const between = blanks[index % blanks.length] ?? "";
      return index > 0 && between === "" && isWord(part) && isWord(parts[index - 1]) ? ` ${part}` : `${index === 0 ? "" : between}${part}`;
    })
    .join("");
}

/** Expressions of the grammar, and the blanks between their tokens. */
export const corpus = fc.tuple(expression, fc.array(blank, { minLength: 1, maxLength: 6 }));
