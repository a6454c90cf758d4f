import { MAX_TERM_CHARS } from "./limits.ts";

/** File endings of converters; of two for the same words the earlier ending counts. Source: page "Flows", section 13.2. */
export const CONVERTER_ENDINGS = [".py", ".js", ".mjs", ".ts"] as const;

/** Which words a converter's file name says it goes between; lower case. */
export interface ConverterName {
  readonly from: string;
  readonly to: string;
}

const BETWEEN = "_to_";

/** `tool_to_function_calling.py` goes from `tool` to `function_calling`: split at the first `_to_`. Null: no converter's name. */
export function parseConverterName(file: string): ConverterName | null {
  const ending = CONVERTER_ENDINGS.find((each) => file.endsWith(each));
  if (ending === undefined || file.includes("/")) return null;
  const name = file.slice(0, -ending.length).toLowerCase();
  const at = name.indexOf(BETWEEN);
  if (at < 1) return null;
  const [from, to] = [name.slice(0, at), name.slice(at + BETWEEN.length)];
  return isTerm(from) && isTerm(to) ? { from, to } : null;
}

function isTerm(text: string): boolean {
  return text !== "" && Array.from(text).length <= MAX_TERM_CHARS;
}
