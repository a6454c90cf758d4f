import type { ScheduleRow, ScheduleStore } from "@rumi/flow-engine";
import { keeping } from "./errors.ts";
import type { Statements } from "./statements.ts";

/** What is kept of schedules, beside the runs that they start. */
export class SqliteScheduleStore implements ScheduleStore {
  readonly #sql: Statements;

  constructor(sql: Statements) {
    this.#sql = sql;
  }

  load(): readonly ScheduleRow[] {
    return keeping(() => {
      const rows = this.#sql.readSchedules.all() as unknown as (Omit<ScheduleRow, "enabled"> & { readonly enabled: number })[];
      return rows.map((row) => ({ ...row, enabled: row.enabled !== 0 }));
    });
  }

  save(row: ScheduleRow): void {
    keeping(() =>
      this.#sql.saveSchedule.run(
        row.flow_id,
        row.spec_hash,
        row.registered_at,
        row.last_fire_at,
        row.last_run_id,
        row.skipped_overlap,
        row.enabled ? 1 : 0,
      ),
    );
  }

  remove(flowId: string): void {
    keeping(() => this.#sql.deleteSchedule.run(flowId));
  }
}
