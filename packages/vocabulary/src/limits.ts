/** Largest vocab.txt. Source of all limits here: page "Flows", section 13. */
export const MAX_VOCAB_BYTES = 64 * 1024;
/** Groups of one pack. */
export const MAX_GROUPS = 500;
/** Terms of one group. */
export const MAX_TERMS = 50;
/** Characters of one term. */
export const MAX_TERM_CHARS = 100;

/** How long one converter may take. */
export const CONVERTER_TIMEOUT_MS = 10_000;

/** Characters of a namespace's name. */
export const MAX_NAMESPACE_CHARS = 64;
/** Characters of a token and of a value. */
export const MAX_TEXT_CHARS = 256;
/** Rules of all namespaces together. */
export const MAX_RULES = 10_000;
/** Rules from any token to the end of its chain. */
export const MAX_HOPS = 10;
