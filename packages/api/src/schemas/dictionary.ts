import * as v from "valibot";
import { PageEntries } from "./common.ts";

/** One rule of the shared dictionary, with the end of its chain. */
export const DictionaryRuleView = v.object({
  namespace: v.string(),
  token: v.string(),
  value: v.string(),
  /** What the token means in the end, and after how many rules. */
  resolved: v.string(),
  hops: v.number(),
});
export type DictionaryRuleView = v.InferOutput<typeof DictionaryRuleView>;

/** A cursor names a rule: a namespace and a token, whatever they are made of. */
const CURSOR_CHARS = 4096;
export const DictionaryListQuery = v.strictObject({
  ...PageEntries,
  cursor: v.optional(v.pipe(v.string(), v.maxLength(CURSOR_CHARS))),
  namespace: v.optional(v.string()),
  token: v.optional(v.string()),
});

/** What is no word is for the dictionary itself to refuse: its journal keeps that too. */
export const DictionaryProposeBody = v.strictObject({ namespace: v.string(), token: v.string(), value: v.string() });
export type DictionaryProposal = v.InferOutput<typeof DictionaryProposeBody>;
export const DictionaryProposed = v.object({
  namespace: v.string(),
  token: v.string(),
  value: v.string(),
  result: v.literal("accepted"),
});
export type DictionaryProposed = v.InferOutput<typeof DictionaryProposed>;

/** With `value`, only the rule that has it. */
export const DictionaryRemoveBody = v.strictObject({ namespace: v.string(), token: v.string(), value: v.optional(v.string()) });
export type DictionaryRemoval = v.InferOutput<typeof DictionaryRemoveBody>;
export const DictionaryRemoved = v.object({
  namespace: v.string(),
  token: v.string(),
  value: v.nullable(v.string()),
  result: v.literal("removed"),
});
export type DictionaryRemoved = v.InferOutput<typeof DictionaryRemoved>;
