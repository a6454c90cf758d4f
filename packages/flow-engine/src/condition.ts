import type { JsonValue } from "@rumi/core";
import { MAX_CONDITION_CHARS, MAX_CONDITION_NESTING } from "./limits.ts";
import { identEnd, isDigit, isIdentStart, scanQuoted, scanReference, skipBlanks } from "./reference.ts";
import type { Reference, SyntaxFault } from "./reference.ts";

export type ComparisonOperator = "==" | "!=" | ">=" | "<=" | ">" | "<";

/** A parsed condition: data, never code. */
export type Condition =
  | { readonly kind: "or" | "and"; readonly terms: readonly Condition[] }
  | { readonly kind: "not"; readonly term: Condition }
  | { readonly kind: "compare"; readonly operator: ComparisonOperator; readonly left: Condition; readonly right: Condition }
  | { readonly kind: "reference"; readonly reference: Reference }
  | { readonly kind: "value"; readonly value: JsonValue };

export type ConditionParse = { readonly ok: true; readonly condition: Condition } | { readonly ok: false; readonly fault: SyntaxFault };

type Token =
  | { readonly kind: "operator"; readonly operator: ComparisonOperator; readonly at: number }
  | { readonly kind: "(" | ")" | "and" | "or" | "not" | "end"; readonly at: number }
  | { readonly kind: "operand"; readonly operand: Condition; readonly at: number };

/** Carries a fault out of the recursive descent; never leaves this file. */
class Unparsable extends Error {
  readonly fault: SyntaxFault;
  constructor(offset: number, message: string) {
    super(message);
    this.fault = { offset, message };
  }
}

const JSON_NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/uy;
const WHOLE_JSON_NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/u;
const CONSTANTS: ReadonlyMap<string, JsonValue> = new Map<string, JsonValue>([
  ["true", true],
  ["false", false],
  ["null", null],
]);

/** Parses a condition. Linear in its length; nothing is ever evaluated as code. */
export function parseCondition(text: string): ConditionParse {
  if (text.length > MAX_CONDITION_CHARS) {
    return { ok: false, fault: { offset: MAX_CONDITION_CHARS, message: `a condition has at most ${MAX_CONDITION_CHARS} characters` } };
  }
  try {
    return { ok: true, condition: new ConditionParser(tokenize(text)).parse() };
  } catch (error) {
    if (error instanceof Unparsable) return { ok: false, fault: error.fault };
    throw error;
  }
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = skipBlanks(text, 0);
  while (at < text.length) {
    const [token, end] = scanToken(text, at);
    tokens.push(token);
    at = skipBlanks(text, end);
  }
  tokens.push({ kind: "end", at: text.length });
  return tokens;
}

function scanToken(text: string, at: number): [Token, number] {
  const char = text[at];
  const unit = text.charCodeAt(at);
  if (char === "(" || char === ")") return [{ kind: char, at }, at + 1];
  if (char === "$") {
    const scanned = scanReference(text, at);
    if (!scanned.ok) throw new Unparsable(scanned.fault.offset, scanned.fault.message);
    return [{ kind: "operand", operand: { kind: "reference", reference: scanned.value }, at }, scanned.end];
  }
  if (char === '"' || char === "'") {
    const scanned = scanQuoted(text, at);
    if (!scanned.ok) throw new Unparsable(scanned.fault.offset, scanned.fault.message);
    if (scanned.value.includes("${")) throw new Unparsable(at, "a reference inside quotes is not expanded; write it without quotes");
    return [{ kind: "operand", operand: { kind: "value", value: scanned.value }, at }, scanned.end];
  }
  if (isDigit(unit) || char === "-") return scanNumber(text, at);
  if (isIdentStart(unit)) return scanWord(text, at);
  return scanOperator(text, at);
}

function scanNumber(text: string, at: number): [Token, number] {
  JSON_NUMBER.lastIndex = at;
  const found = JSON_NUMBER.exec(text)?.[0];
  const value = found === undefined ? Number.NaN : Number(found);
  const end = at + (found?.length ?? 0);
  const next = text.charCodeAt(end);
  if (!Number.isFinite(value) || isDigit(next) || isIdentStart(next) || text[end] === ".") throw new Unparsable(at, "not a JSON number");
  return [{ kind: "operand", operand: { kind: "value", value }, at }, end];
}

function scanWord(text: string, at: number): [Token, number] {
  const end = identEnd(text, at);
  const word = text.slice(at, end);
  if (word === "and" || word === "or" || word === "not") return [{ kind: word, at }, end];
  const value = CONSTANTS.get(word);
  if (value === undefined) throw new Unparsable(at, "a bare word; texts are quoted, values of ctx are written ${ctx.key}");
  return [{ kind: "operand", operand: { kind: "value", value }, at }, end];
}

function scanOperator(text: string, at: number): [Token, number] {
  const two = text.slice(at, at + 2);
  if (two === "==" || two === "!=" || two === ">=" || two === "<=") return [{ kind: "operator", operator: two, at }, at + 2];
  const one = text[at];
  if (one === ">" || one === "<") return [{ kind: "operator", operator: one, at }, at + 1];
  throw new Unparsable(at, one === "=" ? "equality is written ==" : "unexpected character");
}

class ConditionParser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #nesting = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  parse(): Condition {
    const condition = this.#chain("or");
    const rest = this.#peek();
    if (rest.kind !== "end") {
      throw new Unparsable(rest.at, rest.kind === "operator" ? "comparisons cannot be chained" : "unexpected text");
    }
    return condition;
  }

  #chain(kind: "or" | "and"): Condition {
    const first = kind === "or" ? this.#chain("and") : this.#not();
    if (this.#peek().kind !== kind) return first;
    const terms = [first];
    while (this.#peek().kind === kind) {
      this.#next += 1;
      terms.push(kind === "or" ? this.#chain("and") : this.#not());
    }
    return { kind, terms };
  }

  #not(): Condition {
    const token = this.#peek();
    if (token.kind !== "not") return this.#comparison();
    this.#next += 1;
    return this.#nested(token.at, () => ({ kind: "not", term: this.#not() }));
  }

  #comparison(): Condition {
    const left = this.#operand();
    const token = this.#peek();
    if (token.kind !== "operator") return left;
    this.#next += 1;
    return { kind: "compare", operator: token.operator, left, right: this.#operand() };
  }

  #operand(): Condition {
    const token = this.#peek();
    this.#next += 1;
    if (token.kind === "operand") return token.operand;
    if (token.kind !== "(")
      throw new Unparsable(token.at, token.kind === "end" ? "a value is missing at the end" : "a value is missing here");
    return this.#nested(token.at, () => {
      const inner = this.#chain("or");
      const close = this.#peek();
      if (close.kind !== ")") throw new Unparsable(close.at, "a ) is missing");
      this.#next += 1;
      return inner;
    });
  }

  #nested(at: number, parse: () => Condition): Condition {
    this.#nesting += 1;
    if (this.#nesting > MAX_CONDITION_NESTING) throw new Unparsable(at, `at most ${MAX_CONDITION_NESTING} levels of ( ) and not`);
    const condition = parse();
    this.#nesting -= 1;
    return condition;
  }

  #peek(): Token {
    return this.#tokens[this.#next] ?? { kind: "end", at: 0 };
  }
}

/** True when `text` is a number as JSON writes it. */
export function isJsonNumberText(text: string): boolean {
  return WHOLE_JSON_NUMBER.test(text);
}
