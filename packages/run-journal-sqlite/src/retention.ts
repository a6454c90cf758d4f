import type { SqliteFile } from "@rumi/safe-files";
import { isoTime } from "@rumi/core";
import type { Statements } from "./statements.ts";

/** How long ended runs are kept. Source of the standing values: the flow page, section 8. */
export interface Retention {
  readonly days: number;
  /** Runs of one flow. */
  readonly perFlow: number;
}

/** Kept when nothing else is said. */
export const DEFAULT_RETENTION: Retention = { days: 7, perFlow: 1000 };

const DAY_MS = 86_400_000;
/** Runs removed at once: the event loop waits for it. */
const BATCH = 50;

/** Removes ended runs that are too old or too many, some at a time. */
export function prune(file: SqliteFile, sql: Statements, retention: Retention, now: number): void {
  const old = sql.oldRuns.all(isoTime(now - retention.days * DAY_MS), BATCH) as { readonly id: number }[];
  const surplus = old.length > 0 ? [] : (sql.surplusRuns.all(retention.perFlow, BATCH) as { readonly id: number }[]);
  const runs = [...old, ...surplus];
  if (runs.length === 0) return;
  file.transaction(() => {
    for (const { id } of runs) {
      sql.deleteSteps.run(id);
      sql.deleteEvents.run(id);
      sql.deleteRun.run(id);
    }
  });
}
