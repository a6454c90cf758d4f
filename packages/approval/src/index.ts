export { REVIEW_SECTIONS } from "./ports.ts";
export type { ModifierFacts, PackFacts, ReviewItem, ReviewReader, ReviewSectionName, ReviewSections } from "./ports.ts";
