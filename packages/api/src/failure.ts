import { RumiError } from "@rumi/core";
import { codeEntry, isKnownCode, workingRemedy } from "./codes.ts";
import type { Envelope, FailureData } from "./envelope.ts";
import type { RequestIssue } from "./errors.ts";
import { fillMessage } from "./messages.ts";
import type { Language } from "./messages.ts";
import type { Messages } from "./ports.ts";
import { ROUTE_VERBS } from "./route-table.ts";

/** A failure as it is answered, before its language is chosen. */
export interface Failure {
  readonly status: number;
  readonly code: string;
  readonly error: string;
  readonly data: FailureData;
  readonly details: Readonly<Record<string, unknown>>;
  /** Seconds for `Retry-After`, when known. */
  readonly retryAfterSeconds: number | null;
  /** True when nobody outside may learn the reason: it goes to the audit log alone. */
  readonly internal: boolean;
}

/** Seconds to wait for a run slot or a sandbox that is busy, when nobody knows better. */
const DEFAULT_RETRY_SECONDS = 1;

const INTERNAL: Failure = {
  status: 500,
  code: "internal",
  error: "Internal server error",
  data: { retryable: false },
  details: {},
  retryAfterSeconds: null,
  internal: true,
};

/** What an error that reached the border becomes. Anything that is not a known `RumiError` is one plain 500. `hints` fill holes of its remedy. */
export function failureOf(error: unknown, hints: Readonly<Record<string, string>> = {}): Failure {
  if (!(error instanceof RumiError)) return INTERNAL;
  const entry = codeEntry(error.code);
  if (!isKnownCode(error.code) && entry.status === 500) return INTERNAL;
  const remedy = workingRemedy(error.code, error.remedy, { ...hints, ...error.details }, ROUTE_VERBS) ?? undefined;
  const issues = error.details["issues"] as readonly RequestIssue[] | undefined;
  const asked = error.details["retry_after_seconds"];
  const retryAfterSeconds = typeof asked === "number" ? asked : entry.status === 429 ? DEFAULT_RETRY_SECONDS : null;
  const extra = shownDetails(error.details);
  return {
    status: entry.status,
    code: error.code,
    error: error.message,
    data: {
      ...extra,
      retryable: entry.retryable,
      ...(remedy === undefined ? {} : { remedy }),
      ...(issues === undefined ? {} : { issues }),
    },
    details: error.details,
    retryAfterSeconds,
    internal: false,
  };
}

/** Plain facts of an error's details; what is for the border alone stays out. */
function shownDetails(details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(details)) {
    if (key === "issues" || key === "retry_after_seconds" || key === "allow") continue;
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") shown[key] = value;
  }
  return shown;
}

/** The failure in the asked language; English keeps the error's own sentence. */
export function failureEnvelope(
  failure: Failure,
  language: Language,
  messages: Readonly<Partial<Record<Language, Messages>>>,
): Envelope<never> {
  const template = language === "en" ? undefined : messages[language]?.get(`error.${failure.code}`);
  const error = template === undefined ? failure.error : fillMessage(template, failure.details);
  return { success: false, data: failure.data, error, code: failure.code };
}
