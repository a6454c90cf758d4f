import type { JsonValue } from "@rumi/core";
import { isJsonNumberText } from "./condition.ts";
import type { ComparisonOperator, Condition } from "./condition.ts";
import { FlowError } from "./errors.ts";
import { MAX_CONDITION_WORK } from "./limits.ts";
import { resolveReference } from "./reference.ts";
import type { ContextReader, Reference } from "./reference.ts";

/** Work per key of a map: listing keys costs more than looking at an item. */
const KEY_WORK = 4;
/** Characters that count as one unit of work. */
const CHARS_PER_WORK = 4;

/**
 * Whether `condition` holds in `context`. Reads data only and has no effect.
 * @throws FlowError `flow.context_too_large` when it would look at more than `MAX_CONDITION_WORK`
 */
export function evaluateCondition(condition: Condition, context: ContextReader): boolean {
  return new Evaluation(context).holds(condition);
}

/** One condition judged once: its work is counted, so that no data makes it long. */
class Evaluation {
  readonly #context: ContextReader;
  #left = MAX_CONDITION_WORK;

  constructor(context: ContextReader) {
    this.#context = context;
  }

  holds(condition: Condition): boolean {
    switch (condition.kind) {
      case "or":
        return condition.terms.some((term) => this.holds(term));
      case "and":
        return condition.terms.every((term) => this.holds(term));
      case "not":
        return !this.holds(condition.term);
      case "compare":
        return this.#compare(condition.operator, this.#valueOf(condition.left), this.#valueOf(condition.right));
      case "reference":
      case "value":
        return this.#isTruthy(this.#valueOf(condition));
    }
  }

  #valueOf(condition: Condition): JsonValue {
    if (condition.kind === "value") return condition.value;
    if (condition.kind === "reference") return resolveReference(condition.reference, this.#context) ?? null;
    return this.holds(condition);
  }

  /** Null, false, 0, empty text, empty list and empty map are false. */
  #isTruthy(value: JsonValue): boolean {
    if (typeof value !== "object" || value === null) return Boolean(value);
    return (Array.isArray(value) ? value : this.#keysOf(value)).length > 0;
  }

  #compare(operator: ComparisonOperator, left: JsonValue, right: JsonValue): boolean {
    if (operator === "==") return this.#equals(left, right);
    if (operator === "!=") return !this.#equals(left, right);
    const order = this.#orderOf(left, right);
    if (order === null) return false;
    switch (operator) {
      case ">":
        return order > 0;
      case ">=":
        return order >= 0;
      case "<":
        return order < 0;
      case "<=":
        return order <= 0;
    }
  }

  /** Negative, zero or positive; null when the kinds have no order. */
  #orderOf(left: JsonValue, right: JsonValue): number | null {
    if (typeof left === "string" && typeof right === "string") {
      this.#spend(Math.min(left.length, right.length) / CHARS_PER_WORK);
      return compareCodePoints(left, right);
    }
    const a = this.#numberOf(left);
    const b = this.#numberOf(right);
    if (a === null || b === null) return null;
    return a < b ? -1 : a > b ? 1 : 0;
  }

  #numberOf(value: JsonValue): number | null {
    if (typeof value === "number") return value;
    if (typeof value !== "string") return null;
    this.#spend(value.length / CHARS_PER_WORK);
    return isJsonNumberText(value) ? Number(value) : null;
  }

  /** Same kind and same content, deeply; no conversion. */
  #equals(left: JsonValue, right: JsonValue): boolean {
    this.#spend(1);
    if (left === right) return true;
    if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return false;
    if (Array.isArray(left) || Array.isArray(right)) {
      if (!Array.isArray(left) || !Array.isArray(right) || left.length !== right.length) return false;
      const others = right as readonly JsonValue[];
      return (left as readonly JsonValue[]).every((item, index) => this.#equals(item, others[index] ?? null));
    }
    const a = left as { readonly [key: string]: JsonValue };
    const b = right as { readonly [key: string]: JsonValue };
    const keys = this.#keysOf(a);
    if (keys.length !== this.#keysOf(b).length) return false;
    return keys.every((key) => Object.hasOwn(b, key) && this.#equals(a[key] ?? null, b[key] ?? null));
  }

  #keysOf(map: object): string[] {
    const keys = Object.keys(map);
    this.#spend(keys.length * KEY_WORK);
    return keys;
  }

  #spend(work: number): void {
    this.#left -= work;
    if (this.#left < 0) throw new FlowError("flow.context_too_large", "the condition compares more data than it may");
  }
}

/** Every reference a condition reads. */
export function conditionReferences(condition: Condition): Reference[] {
  switch (condition.kind) {
    case "or":
    case "and":
      return condition.terms.flatMap(conditionReferences);
    case "not":
      return conditionReferences(condition.term);
    case "compare":
      return [...conditionReferences(condition.left), ...conditionReferences(condition.right)];
    case "reference":
      return [condition.reference];
    case "value":
      return [];
  }
}

/** Orders texts by code points (not by UTF-16 units). */
export function compareCodePoints(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index += 1) {
    const a = left.charCodeAt(index);
    const b = right.charCodeAt(index);
    if (a === b) continue;
    const aHigh = a >= 0xd800 && a <= 0xdfff;
    const bHigh = b >= 0xd800 && b <= 0xdfff;
    return aHigh === bHigh ? a - b : aHigh ? 1 : -1;
  }
  return left.length - right.length;
}
