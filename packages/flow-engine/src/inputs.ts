import type { JsonValue } from "@rumi/core";
import { isJsonObject } from "@rumi/core";
import { isJsonNumberText } from "./condition.ts";
import type { FlowDefinition, ValueType } from "./definition.ts";
import { FlowError } from "./errors.ts";
import { shown } from "./problems.ts";

/** Inputs as a flow may see them, and what the caller should know. */
export interface AcceptedInputs {
  readonly values: ReadonlyMap<string, JsonValue>;
  readonly warnings: readonly string[];
}

/**
 * Checks a caller's inputs at the flow's border: keys with a leading `_` are dropped with a warning, declared types hold,
 * defaults fill absent keys, undeclared keys pass. Keys in `fromText` came as path or query text and are converted.
 * @throws FlowError `flow.invalid_input` (no map), `flow.input_type` (wrong type, required one missing)
 */
export function acceptInputs(definition: FlowDefinition, inputs: unknown, fromText: readonly string[] = []): AcceptedInputs {
  if (!isJsonObject(inputs)) throw new FlowError("flow.invalid_input", "inputs must be a map");
  const values = new Map<string, JsonValue>();
  const warnings: string[] = [];
  for (const [key, value] of Object.entries(inputs)) {
    if (key.startsWith("_")) warnings.push(`input ${shown(key)} was dropped: keys with a leading _ come from the daemon alone`);
    else values.set(key, value);
  }
  for (const [name, declared] of definition.inputs) {
    const given = values.get(name);
    if (given === undefined) {
      if (declared.default_value !== undefined) values.set(name, declared.default_value);
      else if (declared.required) throw inputType(name, declared.type, "nothing");
      continue;
    }
    const value = fromText.includes(name) && typeof given === "string" ? convertText(given, declared.type) : given;
    if (!hasType(value, declared.type)) throw inputType(name, declared.type, kindOf(value));
    values.set(name, value);
  }
  return { values, warnings };
}

function inputType(name: string, type: ValueType, got: string): FlowError {
  return new FlowError("flow.input_type", `inputs.${name} must be ${type}, got ${got}`, { details: { input: name, expected: type } });
}

function convertText(text: string, type: ValueType): JsonValue {
  if (type === "integer" && /^-?[0-9]{1,16}$/u.test(text)) return Number(text);
  if (type === "number" && isJsonNumberText(text)) return Number(text);
  if (type === "boolean" && (text === "true" || text === "false")) return text === "true";
  return text;
}

/** Whether a value is of a declared type. */
export function hasType(value: JsonValue, type: ValueType): boolean {
  switch (type) {
    case "any":
      return true;
    case "integer":
      return Number.isSafeInteger(value);
    case "number":
      return typeof value === "number" && Number.isFinite(value);
    default:
      return kindOf(value) === type;
  }
}

function kindOf(value: JsonValue): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}
