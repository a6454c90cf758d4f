// Words of packs
export { parseVocab } from "./vocab-groups.ts";
export type { ParsedVocab, VocabGroup, VocabGroups, VocabProblem } from "./vocab-groups.ts";
export { readVocab } from "./read-vocab.ts";
export type { Normalized } from "./normalize-keys.ts";
export { PackVocabulary } from "./pack-vocabulary.ts";
export type { PackWords } from "./ports.ts";
export { CONVERTER_ENDINGS, parseConverterName } from "./converter-name.ts";
export type { ConverterName } from "./converter-name.ts";

// Shared dictionary
export { SharedDictionary } from "./shared-dictionary.ts";
export type { Proposed, RemovalAsk, Removed, SharedDictionaryDeps, SharedDictionaryOptions } from "./shared-dictionary.ts";
export type { DictionaryRule, Explanation, ProposalResult, Resolution } from "./dictionary-rules.ts";

// Errors and limits
export { VocabularyError } from "./errors.ts";
export type { VocabularyErrorCode } from "./errors.ts";
export { CONVERTER_TIMEOUT_MS } from "./limits.ts";
