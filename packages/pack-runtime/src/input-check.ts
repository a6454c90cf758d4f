import { Buffer } from "node:buffer";
import { MAX_INPUT_DEPTH, MAX_RESPONSE_BYTES } from "@rumi/core";
import type { JsonValue } from "@rumi/core";

/** Largest JSON input of a block. Source: page "Execution", section 2, gate 4. */
export const MAX_INPUT_BYTES = MAX_RESPONSE_BYTES;

/** A UTF-16 unit is at most six bytes of JSON text (`\u0000`). */
const WORST_BYTES_PER_UNIT = 6;
/** Room for a number, a literal, quotes, a comma or a colon. */
const BYTES_PER_NODE = 32;

/** Why `input` is too large or too deep for a block, or null. Cheap for small inputs: text is only measured when it might matter. */
export function refuseInput(input: JsonValue): string | null {
  let atMost = 0;
  let tooDeep = false;
  const walk = (value: JsonValue, depth: number): void => {
    atMost += BYTES_PER_NODE;
    if (typeof value === "string") {
      atMost += value.length * WORST_BYTES_PER_UNIT;
      return;
    }
    if (typeof value !== "object" || value === null) return;
    if (depth > MAX_INPUT_DEPTH) {
      tooDeep = true;
      return;
    }
    if (Array.isArray(value)) {
      for (const item of value) walk(item, depth + 1);
      return;
    }
    for (const [key, item] of Object.entries(value)) {
      atMost += key.length * WORST_BYTES_PER_UNIT;
      walk(item, depth + 1);
    }
  };
  walk(input, 0);
  if (tooDeep) return `the input is nested deeper than ${MAX_INPUT_DEPTH}`;
  if (atMost <= MAX_INPUT_BYTES) return null;
  return Buffer.byteLength(JSON.stringify(input)) <= MAX_INPUT_BYTES ? null : `the input is larger than ${MAX_INPUT_BYTES} bytes`;
}
