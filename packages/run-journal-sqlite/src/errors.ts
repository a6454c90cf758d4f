import { RumiError } from "@rumi/core";

/** Codes of this package. */
export type RunJournalErrorCode = "storage.full" | "state.corrupt";

/** A run that cannot be kept. */
export class RunJournalError extends RumiError<RunJournalErrorCode> {}

/** What `work` throws, as an error that a run may end with. */
export function keeping<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw journalFailure(cause);
  }
}

/** `cause` as an error that a run may end with. */
export function journalFailure(cause: unknown): RunJournalError {
  if (cause instanceof RunJournalError) return cause;
  if (cause instanceof RumiError && cause.details["full"] === true)
    return new RunJournalError("storage.full", "the disk of the run history is full", { cause, remedy: "rumi doctor" });
  return new RunJournalError("state.corrupt", "the run history cannot be read or written", { cause, remedy: "rumi doctor" });
}
