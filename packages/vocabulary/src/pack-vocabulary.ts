import type { JsonValue, PackId } from "@rumi/core";
import { normalizeKeys } from "./normalize-keys.ts";
import type { Normalized } from "./normalize-keys.ts";
import type { PackWords } from "./ports.ts";

/** Renames the top-level keys of a pack's own values to that pack's preferred terms; values of a pack without words stay. */
export class PackVocabulary {
  readonly #words: PackWords;

  constructor(deps: { readonly words: PackWords }) {
    this.#words = deps.words;
  }

  normalize(pack: PackId, value: JsonValue): Normalized {
    const groups = this.#words.groups(pack);
    return groups === null ? { value, warnings: [] } : normalizeKeys(groups, value);
  }
}
