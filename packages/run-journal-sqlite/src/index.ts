export { SqliteRunJournal } from "./sqlite-run-journal.ts";
export type { SqliteRunJournalDeps, ValueSeal } from "./sqlite-run-journal.ts";
export type { EventFeed, RunEvent } from "./event-feed.ts";
export type { LogView, RunDetail, RunFilter, RunHistory, RunView, StepView } from "./run-history.ts";
export { DEFAULT_RETENTION } from "./retention.ts";
export type { Retention } from "./retention.ts";
export { RunJournalError } from "./errors.ts";
export type { RunJournalErrorCode } from "./errors.ts";
