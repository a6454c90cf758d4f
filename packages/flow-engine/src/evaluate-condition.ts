import type { JsonValue } from "@rumi/core";
import { isJsonNumberText } from "./condition.ts";
import type { ComparisonOperator, Condition } from "./condition.ts";
import { resolveReference } from "./reference.ts";
import type { ContextReader, Reference } from "./reference.ts";

/** True when a value counts as true: not null, false, 0, empty text, list or map. */
export function isTruthy(value: JsonValue): boolean {
  if (typeof value !== "object" || value === null) return Boolean(value);
  return Object.keys(value).length > 0;
}

/** Whether `condition` holds in `context`. Reads data only, has no effect, never throws for any data. */
export function evaluateCondition(condition: Condition, context: ContextReader): boolean {
  switch (condition.kind) {
    case "or":
      return condition.terms.some((term) => evaluateCondition(term, context));
    case "and":
      return condition.terms.every((term) => evaluateCondition(term, context));
    case "not":
      return !evaluateCondition(condition.term, context);
    case "compare":
      return compare(condition.operator, valueOf(condition.left, context), valueOf(condition.right, context));
    case "reference":
    case "value":
      return isTruthy(valueOf(condition, context));
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

function valueOf(condition: Condition, context: ContextReader): JsonValue {
  if (condition.kind === "value") return condition.value;
  if (condition.kind === "reference") return resolveReference(condition.reference, context) ?? null;
  return evaluateCondition(condition, context);
}

function compare(operator: ComparisonOperator, left: JsonValue, right: JsonValue): boolean {
  if (operator === "==") return equals(left, right);
  if (operator === "!=") return !equals(left, right);
  const order = orderOf(left, right);
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
function orderOf(left: JsonValue, right: JsonValue): number | null {
  if (typeof left === "string" && typeof right === "string") return compareCodePoints(left, right);
  const a = numberOf(left);
  const b = numberOf(right);
  if (a === null || b === null) return null;
  return a < b ? -1 : a > b ? 1 : 0;
}

function numberOf(value: JsonValue): number | null {
  if (typeof value === "number") return value;
  return typeof value === "string" && isJsonNumberText(value) ? Number(value) : null;
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

/** Same kind and same content, deeply; no conversion. */
function equals(left: JsonValue, right: JsonValue): boolean {
  if (left === right) return true;
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return false;
  if (Array.isArray(left) || Array.isArray(right)) {
    if (!Array.isArray(left) || !Array.isArray(right) || left.length !== right.length) return false;
    const others = right as readonly JsonValue[];
    return (left as readonly JsonValue[]).every((item, index) => equals(item, others[index] ?? null));
  }
  const a = left as { readonly [key: string]: JsonValue };
  const b = right as { readonly [key: string]: JsonValue };
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && equals(a[key] ?? null, b[key] ?? null));
}
