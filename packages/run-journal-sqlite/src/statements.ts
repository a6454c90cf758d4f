import type { StatementSync } from "node:sqlite";
import type { SqliteFile } from "@rumi/safe-files";

/** Every statement of the run history, prepared once. */
export interface Statements {
  readonly insertRun: StatementSync;
  readonly setRunning: StatementSync;
  readonly setActive: StatementSync;
  readonly endRun: StatementSync;
  readonly rowOfRun: StatementSync;
  readonly stateOfRun: StatementSync;
  readonly unfinished: StatementSync;
  readonly startStep: StatementSync;
  readonly finishStep: StatementSync;
  readonly findStep: StatementSync;
  readonly stepsOfRun: StatementSync;
  readonly getRun: StatementSync;
  readonly listRuns: StatementSync;
  readonly insertEvent: StatementSync;
  readonly eventsAfter: StatementSync;
  readonly lastEvent: StatementSync;
  readonly logLines: StatementSync;
  readonly readSchedules: StatementSync;
  readonly saveSchedule: StatementSync;
  readonly fireSchedule: StatementSync;
  readonly deleteSchedule: StatementSync;
  readonly oldRuns: StatementSync;
  readonly surplusRuns: StatementSync;
  readonly deleteSteps: StatementSync;
  readonly deleteEvents: StatementSync;
  readonly deleteRun: StatementSync;
}

const RUN_COLUMNS =
  "id, run_id, flow_id, digest, trigger, caller, inputs, daemon_inputs, timeout_ms, started_at, state, active_ms, resumes";
const VIEW_COLUMNS = `${RUN_COLUMNS}, code, reason, result, truncated, failed_steps, warnings, execution_mode, finished_at`;

export function createStatements(file: SqliteFile): Statements {
  const sql = (text: string): StatementSync => file.prepare(text);
  return {
    insertRun: sql(
      `INSERT INTO runs (run_id, flow_id, digest, trigger, caller, inputs, daemon_inputs, timeout_ms, started_at, state)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    setRunning: sql("UPDATE runs SET state = 'running', resumes = resumes + ? WHERE id = ?"),
    setActive: sql("UPDATE runs SET active_ms = max(active_ms, ?) WHERE id = ?"),
    endRun: sql(
      `UPDATE runs SET state = ?, code = ?, reason = ?, result = ?, truncated = ?, failed_steps = ?, warnings = ?,
       execution_mode = ?, active_ms = ?, finished_at = ? WHERE id = ?`,
    ),
    stateOfRun: sql("SELECT state FROM runs WHERE run_id = ?"),
    rowOfRun: sql("SELECT id FROM runs WHERE run_id = ?"),
    unfinished: sql(`SELECT ${RUN_COLUMNS} FROM runs WHERE state IN ('queued', 'running') ORDER BY id`),
    startStep: sql(
      `INSERT INTO steps (run, path, step_id, type, flow_id, status, attempts, child_digest, origin, started_at)
       VALUES (?, ?, ?, ?, ?, 'running', ?, ?, ?, ?)
       ON CONFLICT (run, path) DO UPDATE SET status = 'running', attempts = excluded.attempts, child_digest = excluded.child_digest`,
    ),
    finishStep: sql(
      `INSERT INTO steps (run, path, step_id, type, flow_id, status, attempts, value, writes, failure, reason, abort, ms, finished_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (run, path) DO UPDATE SET status = excluded.status, attempts = excluded.attempts, value = excluded.value,
       writes = excluded.writes, failure = excluded.failure, reason = excluded.reason, abort = excluded.abort, ms = excluded.ms,
       finished_at = excluded.finished_at`,
    ),
    findStep: sql("SELECT status, attempts, child_digest, value, writes, failure, reason, abort FROM steps WHERE run = ? AND path = ?"),
    stepsOfRun: sql("SELECT * FROM steps WHERE run = ? ORDER BY id LIMIT ?"),
    getRun: sql(`SELECT ${VIEW_COLUMNS} FROM runs WHERE run_id = ?`),
    listRuns: sql(
      `SELECT ${VIEW_COLUMNS} FROM runs WHERE (?1 IS NULL OR flow_id = ?1) AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR caller = ?3)
       AND (?4 IS NULL OR id < ?4) ORDER BY id DESC LIMIT ?5`,
    ),
    insertEvent: sql("INSERT INTO events (run, seq, ts, type, data) VALUES (?, ?, ?, ?, ?)"),
    eventsAfter: sql("SELECT seq, ts, type, data FROM events WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?"),
    lastEvent: sql("SELECT max(seq) AS seq FROM events WHERE run = ?"),
    logLines: sql(
      "SELECT ts, data FROM events WHERE run = ? AND type = 'log' AND (?2 IS NULL OR json_extract(data, '$.step_id') = ?2) ORDER BY seq",
    ),
    readSchedules: sql("SELECT flow_id, spec_hash, registered_at, last_fire_at, last_run_id, skipped_overlap, enabled FROM schedules"),
    saveSchedule: sql(
      `INSERT INTO schedules (flow_id, spec_hash, registered_at, last_fire_at, last_run_id, skipped_overlap, enabled)
       VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (flow_id) DO UPDATE SET spec_hash = excluded.spec_hash,
       registered_at = excluded.registered_at, last_fire_at = excluded.last_fire_at, last_run_id = excluded.last_run_id,
       skipped_overlap = excluded.skipped_overlap, enabled = excluded.enabled`,
    ),
    fireSchedule: sql("UPDATE schedules SET last_fire_at = ?, last_run_id = ? WHERE flow_id = ?"),
    deleteSchedule: sql("DELETE FROM schedules WHERE flow_id = ?"),
    oldRuns: sql("SELECT id FROM runs WHERE state NOT IN ('queued', 'running') AND finished_at < ? ORDER BY id LIMIT ?"),
    surplusRuns: sql(
      `SELECT id FROM (SELECT id, state, row_number() OVER (PARTITION BY flow_id ORDER BY id DESC) AS place FROM runs)
       WHERE place > ? AND state NOT IN ('queued', 'running') LIMIT ?`,
    ),
    deleteSteps: sql("DELETE FROM steps WHERE run = ?"),
    deleteEvents: sql("DELETE FROM events WHERE run = ?"),
    deleteRun: sql("DELETE FROM runs WHERE id = ?"),
  };
}
