import type * as v from "valibot";

/** Longest text of one issue. */
const MAX_ISSUE_TEXT = 200;

/** What is wrong with one field, in words that never repeat what was sent: it may be a secret. */
export function issueText(issue: v.BaseIssue<unknown>): string {
  const { expected, kind, received, type } = issue;
  if (type === "strict_object" && expected === "never") return "Unknown field";
  if (received === "undefined") return "Missing field";
  // A schema's own sentence is not made of what was received.
  if (kind === "validation" && expected === null) return type === "check" ? issue.message.slice(0, MAX_ISSUE_TEXT) : "Not accepted";
  return `Expected ${expected ?? "something else"}`.slice(0, MAX_ISSUE_TEXT);
}
