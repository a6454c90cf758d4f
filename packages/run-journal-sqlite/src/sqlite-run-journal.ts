import { isoTime } from "@rumi/core";
import type { JsonObject, JsonValue, Logger, RunId } from "@rumi/core";
import type { JournaledRun, JournaledStep, RunEnd, RunJournal, ScheduleFire, StepFinish, StepStart } from "@rumi/flow-engine";
import { SqliteFile } from "@rumi/safe-files";
import { journalFailure, keeping } from "./errors.ts";
import { EventFeed } from "./event-feed.ts";
import type { RunEvent } from "./event-feed.ts";
import { escapedTexts, maskValue } from "./mask-value.ts";
import { RunHistory } from "./run-history.ts";
import { PendingWrites } from "./pending-writes.ts";
import { prune } from "./retention.ts";
import type { Retention } from "./retention.ts";
import { journaledRun, journaledStep } from "./rows.ts";
import type { RunRow, StepRow } from "./rows.ts";
import { SqliteScheduleStore } from "./sqlite-schedule-store.ts";
import { createStatements } from "./statements.ts";
import type { Statements } from "./statements.ts";
import { RUN_TABLES } from "./tables.ts";

/** How often the log is moved into the file and old runs are removed, ms. */
const MAINTENANCE_MS = 5_000;

/** Steps without an effect outside the run; a later life may enter them again. */
const QUIET_TYPES: ReadonlySet<StepStart["type"]> = new Set(["set", "if", "foreach", "repeat", "parallel"]);

/** Text at rest that may hold a live secret. */
export interface ValueSeal {
  /** `text` holds a secret that is live now. */
  holds(text: string): boolean;
  /** The sealed form, in one line. */
  seal(text: string): string;
  /** `text` without the secrets that are live now: what is only ever shown is kept so, and outlives them. */
  mask(text: string): string;
  /** Undoes `seal`; a text that was not sealed comes back as it is. @throws when it cannot be opened */
  open(text: string): string;
}

export interface SqliteRunJournalDeps {
  readonly logger: Logger;
  /** Absent: nothing is sealed. */
  readonly seal?: ValueSeal;
  /** Wall clock, ms. */
  readonly now: () => number;
}

/** Every run, step and event of this daemon in one file, `user_data/runs/runs.db`. */
export class SqliteRunJournal implements RunJournal, AsyncDisposable {
  /** Runs of now and before, for lists and views. */
  readonly history: RunHistory;
  /** What happens in runs, live and again. */
  readonly feed: EventFeed;
  readonly schedules: SqliteScheduleStore;
  readonly #file: SqliteFile;
  readonly #sql: Statements;
  readonly #deps: SqliteRunJournalDeps;
  readonly #retention: Retention;
  /** Row ids of runs that are going on. */
  readonly #rows = new Map<string, number>();
  readonly #pending: PendingWrites;
  readonly #timer: NodeJS.Timeout;

  private constructor(file: SqliteFile, deps: SqliteRunJournalDeps, retention: Retention) {
    this.#file = file;
    this.#pending = new PendingWrites(file, deps.logger);
    this.#sql = createStatements(file);
    this.#deps = deps;
    this.#retention = retention;
    this.history = new RunHistory(this.#sql, shownOf);
    this.feed = new EventFeed(this.#sql, (runId) => this.#rowOf(runId));
    this.schedules = new SqliteScheduleStore(this.#sql);
    this.#timer = setInterval(() => this.#maintain(), MAINTENANCE_MS);
    this.#timer.unref();
  }

  /** Opens `path`, making it at first. @throws SafeFilesError `safe_files.database_failed` */
  static async open(path: string, deps: SqliteRunJournalDeps, retention: Retention): Promise<SqliteRunJournal> {
    const journal = new SqliteRunJournal(await SqliteFile.open(path, RUN_TABLES), deps, retention);
    journal.#maintain();
    return journal;
  }

  begin(run: JournaledRun, fire?: ScheduleFire): void {
    const row = keeping(() =>
      this.#file.transaction(() => {
        const { lastInsertRowid } = this.#sql.insertRun.run(
          run.run_id,
          run.flow_id,
          run.digest,
          run.trigger,
          run.caller,
          this.#text(run.inputs),
          this.#text(run.daemon_inputs),
          Math.round(run.timeout_ms),
          run.started_at,
          run.state,
        );
        if (fire !== undefined) this.#sql.fireSchedule.run(fire.fire_at, run.run_id, fire.flow_id);
        return Number(lastInsertRowid);
      }),
    );
    this.#rows.set(run.run_id, row);
    if (run.state === "running") this.#tellLater(run.run_id, "run.started", { flow_id: run.flow_id });
  }

  running(runId: RunId, resumed: boolean): void {
    keeping(() => this.#sql.setRunning.run(resumed ? 1 : 0, this.#rowOf(runId)));
    this.#tellLater(runId, "run.started", resumed ? { resumed: true } : {});
  }

  find(runId: RunId, path: string): JournaledStep | undefined {
    this.#pending.write(runId);
    return keeping(() => {
      const row = this.#sql.findStep.get(this.#rowOf(runId), path) as StepRow | undefined;
      return row === undefined ? undefined : journaledStep(row, (text) => this.#read(text));
    });
  }

  started(runId: RunId, step: StepStart): void | Promise<void> {
    this.#pending.add(runId, () => this.#start(runId, step));
    if (QUIET_TYPES.has(step.type)) return undefined;
    this.#pending.write(runId);
    return this.#durable();
  }

  finished(runId: RunId, step: StepFinish): void {
    this.#pending.add(runId, () => {
      const row = this.#rowOf(runId);
      this.#sql.finishStep.run(
        row,
        step.path,
        step.step_id,
        step.type,
        step.flow_id,
        step.status,
        step.attempts,
        step.status === "done" ? this.#text(step.value) : null,
        step.writes === null ? null : this.#text(step.writes),
        step.failure === null ? null : this.#text({ ...step.failure }),
        this.#masked(step.reason),
        this.#masked(step.abort),
        step.ms,
        step.finished_at,
      );
      this.#sql.setActive.run(step.active_ms, row);
      const { path, step_id: id, status, attempts, ms, reason, failure } = step;
      if (status === "skipped") this.#tell(runId, "step.skipped", { path, step_id: id, reason });
      else this.#tell(runId, "step.finished", { path, step_id: id, status, attempts, ms, code: failure?.code ?? null });
    });
  }

  async ended(runId: RunId, end: RunEnd): Promise<void> {
    this.#pending.forgive(runId);
    this.#pending.add(runId, () => {
      this.#sql.endRun.run(
        end.state,
        end.code,
        this.#masked(end.reason),
        end.result === null ? null : this.#text(end.result),
        end.truncated ? 1 : 0,
        this.#text(end.failed_steps),
        JSON.stringify(this.#masked([...end.warnings])),
        end.execution_mode,
        end.active_ms,
        end.finished_at,
        this.#rowOf(runId),
      );
      this.#tell(runId, "run.finished", { state: end.state, code: end.code, reason: end.reason });
    });
    this.#pending.write(runId);
    this.#rows.delete(runId);
    this.feed.close(runId);
    await this.#durable();
  }

  unfinished(): readonly JournaledRun[] {
    this.#pending.writeAll();
    return keeping(() => {
      const rows = this.#sql.unfinished.all() as unknown as RunRow[];
      for (const row of rows) this.#rows.set(row.run_id, row.id);
      return rows.flatMap((row) => this.#unfinished(row) ?? []);
    });
  }

  /** One whose inputs cannot be read any more (their key is gone) ends here: the others go on. */
  #unfinished(row: RunRow): JournaledRun | null {
    try {
      return journaledRun(row, (text) => this.#read(text));
    } catch (cause) {
      this.#deps.logger.log("error", "what an unfinished run was given cannot be read: it does not go on", {
        run_id: row.run_id,
        error: String(cause),
      });
      const reason = "what it was given cannot be read any more";
      const at = isoTime(this.#deps.now());
      this.#sql.endRun.run("failed", "state.corrupt", reason, null, 0, "[]", "[]", null, row.active_ms, at, row.id);
      this.#tell(row.run_id, "run.finished", { state: "failed", code: "state.corrupt", reason });
      this.#rows.delete(row.run_id);
      return null;
    }
  }

  /** Adds a line or a chunk of a block to the run's events; a run that is not going on takes none. */
  tell(runId: string, type: "log" | "chunk", data: JsonObject): void {
    if (this.#rows.has(runId)) this.#tellLater(runId, type, data);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#pending[Symbol.dispose]();
    this.feed.end();
    await this.#file[Symbol.asyncDispose]();
  }

  /** Inside a transaction. */
  #start(runId: RunId, step: StepStart): void {
    const { path, step_id: id, type, flow_id: flowId, attempt, child_digest: child, started_at: startedAt } = step;
    const origin = step.origin?.modifier_id == null ? null : JSON.stringify(step.origin);
    this.#sql.startStep.run(this.#rowOf(runId), path, id, type, flowId, attempt, child, origin, startedAt);
    this.#tell(runId, "step.started", { path, step_id: id, type, attempt });
  }

  #tellLater(runId: string, type: RunEvent["type"], data: JsonObject): void {
    const at = this.#deps.now();
    this.#pending.add(runId, () => this.#tell(runId, type, data, at));
  }

  #tell(runId: string, type: RunEvent["type"], data: JsonObject, at = this.#deps.now()): void {
    try {
      this.feed.add(runId, type, this.#masked(data), at);
    } catch (cause) {
      this.#deps.logger.log("warn", "an event of a run could not be kept", { run_id: runId, error: journalFailure(cause).message });
    }
  }

  #rowOf(runId: string): number {
    const known = this.#rows.get(runId);
    if (known !== undefined) return known;
    const row = this.#sql.rowOfRun.get(runId) as { readonly id: number } | undefined;
    return row?.id ?? -1;
  }

  async #durable(): Promise<void> {
    try {
      await this.#file.sync();
    } catch (cause) {
      throw journalFailure(cause);
    }
  }

  /** JSON of one line; of a value that holds a live secret its sealed form, and in a second line what is shown of it. */
  #text(value: JsonValue): string {
    const text = JSON.stringify(value);
    const { seal } = this.#deps;
    if (seal === undefined) return text;
    // JSON escapes once more what a pack had escaped already: such texts are looked at as they are, too.
    const escaped = text.includes("\\\\") ? escapedTexts(value) : [];
    if (!seal.holds(text) && !escaped.some((part) => seal.holds(part))) return text;
    return `${seal.seal(text)}\n${this.#shown(text, seal, escaped.length > 0)}`;
  }

  /** The JSON text without secrets. Masked as a whole, for it may be large; where that leaves no JSON (digits of a number), nothing of it. */
  #shown(text: string, seal: ValueSeal, isEscaped: boolean): string {
    const masked = seal.mask(text);
    try {
      const value = JSON.parse(masked) as JsonValue;
      return isEscaped ? JSON.stringify(maskValue(value, (part) => (part.includes("\\") ? seal.mask(part) : part))) : masked;
    } catch {
      return JSON.stringify("[REDACTED]");
    }
  }

  #masked<Value extends JsonValue>(value: Value): Value {
    const { seal } = this.#deps;
    return seal === undefined ? value : (maskValue(value, (text) => seal.mask(text)) as Value);
  }

  /** The value itself, for the next life of its run. @throws when it is sealed and its key is gone */
  #read(text: string | null): JsonValue {
    if (text === null) return null;
    const [kept = ""] = text.split("\n", 1);
    return JSON.parse(this.#deps.seal?.open(kept) ?? kept) as JsonValue;
  }

  #maintain(): void {
    try {
      prune(this.#file, this.#sql, this.#retention, this.#deps.now());
      this.#file.checkpoint();
    } catch (cause) {
      this.#deps.logger.log("warn", "the run history could not be tidied", { error: journalFailure(cause).message });
    }
  }
}

/** What anybody is shown of a kept value: never what is sealed, whatever is still a secret by now. */
function shownOf(text: string | null): JsonValue {
  return text === null ? null : (JSON.parse(text.slice(text.indexOf("\n") + 1)) as JsonValue);
}
