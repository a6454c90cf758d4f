import type { JsonObject, JsonValue } from "@rumi/core";
import { FlowError } from "./errors.ts";
import { JsonSizer, textBytes } from "./json-size.ts";
import { MAX_VALUE_BYTES } from "./limits.ts";
import { resolveReference } from "./reference.ts";
import type { ContextReader, Reference, SyntaxFault } from "./reference.ts";
import { parseTemplate } from "./template.ts";

/** A JSON value with references in its texts, compiled once. Parts without references are shared, never copied. */
export type Expression =
  | { readonly kind: "literal"; readonly value: JsonValue; readonly bytes: number }
  | { readonly kind: "whole"; readonly reference: Reference }
  | { readonly kind: "text"; readonly parts: readonly (string | Reference)[] }
  | { readonly kind: "list"; readonly items: readonly Expression[] }
  | { readonly kind: "map"; readonly entries: readonly (readonly [string, Expression])[] };

/** Told what a text of the value says that is no reference. `path` like `.a[0]`. */
export type ExpressionListener = (kind: "fault" | "legacy", path: string, fault: SyntaxFault) => void;

/** The expression of a value that is all data. */
export function literalExpression(value: JsonValue): Expression {
  return { kind: "literal", value, bytes: new JsonSizer().bytes(value) };
}

/**
 * Compiles `value`: every text is parsed for references, map keys never are.
 * Without a listener a bad reference throws. @throws FlowError `flow.invalid_reference`
 */
export function compileExpression(value: JsonValue, listener?: ExpressionListener, path = ""): Expression {
  if (typeof value === "string") return compileText(value, listener, path);
  if (typeof value !== "object" || value === null) return literalExpression(value);
  if (Array.isArray(value)) {
    const list = value as readonly JsonValue[];
    const items = list.map((item, index) => compileExpression(item, listener, `${path}[${index}]`));
    return items.every((item) => item.kind === "literal") ? literalList(items) : { kind: "list", items };
  }
  const entries = Object.entries(value as JsonObject).map(
    ([key, member]) => [key, compileExpression(member, listener, `${path}.${key}`)] as const,
  );
  return entries.every(([, member]) => member.kind === "literal") ? literalMap(entries) : { kind: "map", entries };
}

function literalList(items: readonly Expression[]): Expression {
  return literalExpression(items.map((item) => (item.kind === "literal" ? item.value : null)));
}

function literalMap(entries: readonly (readonly [string, Expression])[]): Expression {
  return literalExpression(toMap(entries.map(([key, item]) => [key, item.kind === "literal" ? item.value : null] as const)));
}

/** A map of own keys, whatever they are called. */
function toMap(entries: Iterable<readonly [string, JsonValue]>): JsonObject {
  const map: Record<string, JsonValue> = {};
  for (const [key, value] of entries) {
    if (key === "__proto__") Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
    else map[key] = value;
  }
  return map;
}

function compileText(text: string, listener: ExpressionListener | undefined, path: string): Expression {
  const parsed = parseTemplate(text);
  if (!parsed.ok) {
    if (listener === undefined) throw new FlowError("flow.invalid_reference", parsed.fault.message);
    listener("fault", path, parsed.fault);
    return literalExpression(text);
  }
  if (parsed.legacy) listener?.("legacy", path, { offset: 0, message: "this is text; a reference is written ${ctx.key}" });
  if (parsed.template.kind === "literal") return literalExpression(parsed.template.text);
  return parsed.template;
}

/** Every reference an expression reads. */
export function referencesOf(expression: Expression): Reference[] {
  switch (expression.kind) {
    case "literal":
      return [];
    case "whole":
      return [expression.reference];
    case "text":
      return expression.parts.filter((part) => typeof part !== "string");
    case "list":
      return expression.items.flatMap(referencesOf);
    case "map":
      return expression.entries.flatMap(([, member]) => referencesOf(member));
  }
}

/**
 * The value of an expression in `context`, in one pass: what came from data is never expanded again.
 * A missing whole reference is null, an embedded one empty text.
 * @throws FlowError `flow.input_too_large` once the value passes `maxBytes` of compact JSON.
 */
export function expand(expression: Expression, context: ContextReader, sizer = new JsonSizer(), maxBytes = MAX_VALUE_BYTES): JsonValue {
  return new Expansion(context, sizer, maxBytes).value(expression);
}

class Expansion {
  readonly #context: ContextReader;
  readonly #sizer: JsonSizer;
  #left: number;

  constructor(context: ContextReader, sizer: JsonSizer, maxBytes: number) {
    this.#context = context;
    this.#sizer = sizer;
    this.#left = maxBytes;
  }

  value(expression: Expression): JsonValue {
    switch (expression.kind) {
      case "literal":
        this.#spend(expression.bytes);
        return expression.value;
      case "whole": {
        const value = resolveReference(expression.reference, this.#context) ?? null;
        this.#spend(this.#sizer.bytes(value, this.#left));
        return value;
      }
      case "text":
        return this.#text(expression.parts);
      case "list": {
        this.#spend(1 + expression.items.length);
        return expression.items.map((item) => this.value(item));
      }
      case "map": {
        this.#spend(1 + expression.entries.length);
        return toMap(
          expression.entries.map(([key, member]) => {
            this.#spend(1 + textBytes(key, this.#left));
            return [key, this.value(member)] as const;
          }),
        );
      }
    }
  }

  #text(parts: readonly (string | Reference)[]): string {
    this.#spend(2);
    let text = "";
    for (const part of parts) {
      const piece = typeof part === "string" ? part : this.#piece(part);
      this.#spend(textBytes(piece, this.#left + 2) - 2);
      text += piece;
    }
    return text;
  }

  #piece(reference: Reference): string {
    const value = resolveReference(reference, this.#context) ?? null;
    if (value === null) return "";
    if (typeof value === "string") return value;
    if (typeof value === "object" && this.#sizer.bytes(value, this.#left) > this.#left) this.#refuse();
    return JSON.stringify(value);
  }

  #spend(bytes: number): void {
    this.#left -= bytes;
    if (this.#left < 0) this.#refuse();
  }

  #refuse(): never {
    throw new FlowError("flow.input_too_large", "the expanded input is over its limit");
  }
}
