import { FORBIDDEN_KEYS, jsonDepth, MAX_INPUT_DEPTH, MAX_PACK_JSON_BYTES, type JsonValue } from "@rumi/core";
import { SafeFilesError } from "./errors.ts";
import { readFileBytes } from "./read-file.ts";

/** Limits of one JSON file; the defaults are a pack's (page "Trust", section 1). */
export interface JsonLimits {
  readonly maxBytes?: number;
  /** Depth of containers below the root, which is at 0. */
  readonly maxDepth?: number;
}

/**
 * The JSON value of a file nobody vouches for: strict UTF-8 and JSON, one value per key.
 * @throws SafeFilesError `safe_files.not_found`, `not_a_file`, `too_large`, `invalid_json` (duplicate keys too),
 * `forbidden_key`, `too_deep`
 */
export async function readJsonFile(path: string, limits: JsonLimits = {}): Promise<JsonValue> {
  return parseJsonBytes(await readFileBytes(path, limits.maxBytes ?? MAX_PACK_JSON_BYTES), limits);
}

/** `readJsonFile` for bytes already in memory. @throws SafeFilesError as there, without the file's own codes */
export function parseJsonBytes(bytes: Uint8Array, limits: JsonLimits = {}): JsonValue {
  const maxDepth = limits.maxDepth ?? MAX_INPUT_DEPTH;
  let value: JsonValue;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    value = JSON.parse(text) as JsonValue;
  } catch (cause) {
    // The parser's own words quote the file; they stay in `cause`.
    throw new SafeFilesError("safe_files.invalid_json", "the file is not JSON in UTF-8", { cause });
  }
  if (jsonDepth(value, maxDepth) > maxDepth) {
    throw new SafeFilesError("safe_files.too_deep", `the file is nested deeper than ${maxDepth}`);
  }
  checkKeys(text);
  return value;
}

/** Checks the keys of a text that is known to be JSON: none forbidden, none twice in one object. */
function checkKeys(text: string): void {
  // null stands for a list, a set for the keys met so far in an object.
  const open: (Set<string> | null)[] = [];
  const token = /["{}[\]]/gu;
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const character = match[0];
    if (character === "{") open.push(new Set());
    else if (character === "[") open.push(null);
    else if (character !== '"') open.pop();
    else {
      const end = endOfString(text, match.index);
      token.lastIndex = end;
      const keys = open.at(-1);
      if (keys instanceof Set && isKey(text, end)) addKey(keys, JSON.parse(text.slice(match.index, end)) as string);
    }
  }
}

function addKey(keys: Set<string>, key: string): void {
  if (FORBIDDEN_KEYS.has(key)) {
    throw new SafeFilesError("safe_files.forbidden_key", `the key ${key} is not allowed`, { details: { key } });
  }
  if (keys.has(key)) throw new SafeFilesError("safe_files.invalid_json", "a key stands twice in one object");
  keys.add(key);
}

/** Index after the closing quote of the string that starts at `start`. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === '"') return at + 1;
  }
  return text.length;
}

function isKey(text: string, end: number): boolean {
  const rest = /[^ \t\n\r]/gu;
  rest.lastIndex = end;
  return rest.exec(text)?.[0] === ":";
}
