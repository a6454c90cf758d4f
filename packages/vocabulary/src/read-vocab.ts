import { readFileBytes, SafeFilesError } from "@rumi/safe-files";
import { MAX_VOCAB_BYTES } from "./limits.ts";
import { parseVocab } from "./vocab-groups.ts";
import type { ParsedVocab } from "./vocab-groups.ts";

/**
 * The groups of the vocab.txt at `path`.
 * @throws SafeFilesError `safe_files.not_found` `safe_files.not_a_file` (also what is not UTF-8) `safe_files.too_large`
 */
export async function readVocab(path: string): Promise<ParsedVocab> {
  const bytes = await readFileBytes(path, MAX_VOCAB_BYTES);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new SafeFilesError("safe_files.not_a_file", "a text in UTF-8 is expected here", { cause });
  }
  return parseVocab(text);
}
