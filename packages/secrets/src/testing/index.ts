export { SPELLINGS } from "./spellings.ts";
export type { Spelling } from "./spellings.ts";
