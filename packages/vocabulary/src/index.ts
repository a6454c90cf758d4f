export { VocabularyError } from "./errors.ts";
export type { VocabularyErrorCode } from "./errors.ts";
