import type { RequestIssue } from "./errors.ts";

/** What a failure may carry in `data`. */
export interface FailureData {
  readonly retryable: boolean;
  readonly remedy?: string;
  readonly issues?: readonly RequestIssue[];
  readonly [key: string]: unknown;
}

/** The one shape of every JSON answer. */
export type Envelope<Data> =
  | { readonly success: true; readonly data: Data; readonly error: null; readonly code: null }
  | {
      readonly success: false;
      readonly data: (FailureData & Partial<Data>) | FailureData | null;
      readonly error: string;
      readonly code: string;
    };

/** Longest text of a failure. Source: page 40, section 3. */
export const MAX_FAILURE_TEXT = 200;

/** Text of a failed run as an operator may see it: its last line, paths of three or more segments as `<path>`, 200 characters. */
export function publicFailureText(text: string): string {
  const lines = text.split(/\r?\n/u).filter((line) => line.trim() !== "");
  const last = lines.at(-1) ?? "";
  const hidden = last.replaceAll(/(?:[A-Za-z]:)?(?:[/\\][^\s/\\'":,;()<>]+){3,}[/\\]?/gu, "<path>");
  return hidden.length > MAX_FAILURE_TEXT ? `${hidden.slice(0, MAX_FAILURE_TEXT - 1)}…` : hidden;
}
