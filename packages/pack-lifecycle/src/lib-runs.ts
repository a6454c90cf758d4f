import { isoTime, RumiError } from "@rumi/core";
import type { AuditSink, Clock, DiagnosticsSink, Digest, ErrorCode, ExecutionMode, Logger, PackId } from "@rumi/core";
import type { PackLifecycleErrorCode } from "./errors.ts";
import { LibCaller } from "./lib-call.ts";
import type { LibCallDeps, LibCallEnd, LibCallOptions } from "./lib-call.ts";
import { findLib } from "./lib-files.ts";
import type { LibFile, LibType, PackLib } from "./lib-files.ts";
import { givenUp, planLib } from "./lib-plan.ts";
import type { LibPlan } from "./lib-plan.ts";
import { readRecords, withEnding, writeRecords } from "./lib-records.ts";
import type { LibRecord } from "./lib-records.ts";

/** What was, or would be, done with a pack's lib. Texts are redacted. */
export interface LibOutcome {
  readonly pack_id: string;
  /** Null: there is nothing to run. */
  readonly lib_type: LibType | null;
  readonly lib_digest: Digest | null;
  /** `due`: it would run (only `check`). `refused`: nothing of the pack ran, `code` says why, and nothing is counted. */
  readonly result: "due" | "done" | "failed" | "skipped" | "none" | "gave_up" | "refused";
  readonly code: PackLifecycleErrorCode | ErrorCode | null;
  readonly error: string | null;
  /** What the run gave, as JSON text, at most 4 Ki characters. */
  readonly output: string | null;
  /** The last 100 lines that the run printed. */
  readonly log: readonly string[];
  readonly duration_ms: number | null;
}

export interface LibRunsDeps extends LibCallDeps {
  readonly approvals: { approved(): readonly { readonly pack_id: PackId }[] };
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly diagnostics: DiagnosticsSink;
  readonly logger: Logger;
}

export interface LibRunsOptions extends LibCallOptions {
  /** `user_data/settings/lib_execution_records.json`. */
  readonly recordsFile: string;
}

/** A pack's lib as the gate gives it now. */
interface Found {
  readonly pack_id: PackId;
  readonly digest: Digest;
  readonly lib: PackLib | null;
}

/**
 * Runs the `lib/install.*` and `lib/update.*` of approved packs, each once for its bytes, one after the other. What a lib does wrong is an
 * outcome, a record and a diagnostic; nothing here throws for it.
 */
export class LibRuns implements AsyncDisposable {
  readonly #deps: LibRunsDeps;
  readonly #file: string;
  readonly #caller: LibCaller;
  readonly #stop = new AbortController();
  readonly #unwell = new Set<string>();
  #running: { readonly pack_id: PackId; readonly digest: Digest; readonly abort: AbortController } | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  #problem: string | null = null;

  constructor(deps: LibRunsDeps, options: LibRunsOptions) {
    this.#deps = deps;
    this.#file = options.recordsFile;
    this.#caller = new LibCaller(deps, options);
  }

  /** Runs what is due of every pack that may run, in load order. */
  async processAll(signal?: AbortSignal): Promise<LibOutcome[]> {
    const outcomes: LibOutcome[] = [];
    for (const { pack_id: id } of this.#deps.approvals.approved()) {
      if (signal?.aborted === true) break;
      outcomes.push(await this.process(id, signal));
    }
    return outcomes;
  }

  /** Runs what is due of one pack, if anything is. */
  process(pack: PackId, signal?: AbortSignal): Promise<LibOutcome> {
    return this.#guarded(pack, async (found, records) => {
      const plan = planLib(found.lib, records);
      if (plan.action === "run" && found.lib !== null) return await this.#run(found, found.lib, plan.lib_type, plan.file, signal);
      this.#report(pack, plan.action === "gave_up" ? { code: "lib.gave_up", error: plan.error } : null);
      return outcomeOf(pack, plan);
    });
  }

  /** Says what the next start would do; runs nothing. */
  check(pack: PackId): Promise<LibOutcome> {
    return this.#guarded(pack, (found, records) => outcomeOf(pack, planLib(found.lib, records)));
  }

  /**
   * Runs a lib whether or not it is due; without `type`, what `check` says. One that failed too often stays so until its record is cleared.
   * A pack or file that is not there is `refused` with `lib.not_found`.
   */
  execute(pack: PackId, type: LibType | null = null, signal?: AbortSignal): Promise<LibOutcome> {
    if (type === null) return this.process(pack, signal);
    return this.#guarded(pack, async ({ lib, ...found }, records) => {
      const file = lib?.[type] ?? null;
      if (lib === null || file === null) return refusal(pack, "lib.not_found", `pack "${pack}" has no lib/${type} file`);
      const failed = givenUp(records, lib.digest);
      if (failed !== undefined) {
        return outcomeOf(pack, { action: "gave_up", lib_type: type, lib_digest: lib.digest, error: failed.error });
      }
      return await this.#run({ ...found, lib }, lib, type, file, signal);
    });
  }

  /** Forgets the runs of a pack: the next start installs it anew. True when there was something to forget. */
  clearRecord(pack: PackId): Promise<boolean> {
    return this.#inTurn(async () => {
      const records = await this.#records();
      const kept = records.filter((record) => record.pack_id !== pack);
      if (kept.length === records.length) return false;
      await writeRecords(this.#file, kept);
      this.#report(pack, null);
      return true;
    });
  }

  /** The last success of each pack and the failure after it, by pack. */
  listRecords(): Promise<readonly LibRecord[]> {
    return this.#inTurn(() => this.#records());
  }

  /** The pack was approved, closed or changed: a run of bytes that may not run any more ends. */
  packChanged(pack: PackId): void {
    const running = this.#running;
    if (running?.pack_id === pack && !this.#deps.gate.gate(pack, running.digest).allowed) running.abort.abort();
  }

  /** The snapshot that a run of the pack needs now. */
  digestsInUse(pack: string): readonly Digest[] {
    return this.#running?.pack_id === pack ? [this.#running.digest] : [];
  }

  /** Ends the run in flight; it is not counted against its pack. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#inTurn(() => Promise.resolve());
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** Work on a pack that may run, in its turn. A refusal, also of the disk, is an outcome. */
  #guarded(pack: PackId, work: (found: Found, records: readonly LibRecord[]) => Promise<LibOutcome> | LibOutcome): Promise<LibOutcome> {
    return this.#inTurn(async () => {
      if (this.#stop.signal.aborted) return refusal(pack, "daemon.stopping", "the daemon is stopping");
      try {
        const passed = this.#deps.gate.gate(pack);
        if (!passed.allowed) return refusal(pack, passed.code, passed.reason);
        const own = (await this.#records()).filter((record) => record.pack_id === pack);
        return await work({ pack_id: pack, digest: passed.digest, lib: findLib(passed) }, own);
      } catch (cause) {
        this.#deps.logger.log("error", "a lib could not be dealt with", { pack_id: pack, error: String(cause) });
        const outcome = refusal(pack, "lib.failed", "its records or its data folder cannot be used");
        this.#report(pack, outcome);
        return outcome;
      }
    });
  }

  async #run(found: Found, lib: PackLib, type: LibType, file: LibFile, signal?: AbortSignal): Promise<LibOutcome> {
    const { pack_id: pack, digest } = found;
    const call = { pack_id: pack, digest, lib, lib_type: type, file };
    const facts = { pack_id: pack, lib_type: type, lib_digest: lib.digest };
    const abort = new AbortController();
    const ended = AbortSignal.any([this.#stop.signal, abort.signal, ...(signal === undefined ? [] : [signal])]);
    let end: LibCallEnd;
    try {
      this.#running = { pack_id: pack, digest, abort };
      end = await this.#caller.run(call, ended);
    } catch (cause) {
      if (!(cause instanceof RumiError)) throw cause;
      const outcome = { ...refusal(pack, cause.code, cause.message), ...facts };
      await this.#audit(found, outcome, "rejected", null);
      this.#report(pack, outcome);
      return outcome;
    } finally {
      this.#running = null;
    }
    const { error, output, log, duration_ms } = end;
    const failed = error !== null;
    const outcome: LibOutcome = {
      ...facts,
      result: failed ? "failed" : "done",
      code: failed ? "lib.failed" : null,
      error,
      output,
      log,
      duration_ms,
    };
    await this.#audit(found, outcome, end.execution_mode, end.data_bytes);
    await this.#remember({ ...facts, executed_at: isoTime(this.#deps.clock.now()), error, counts: end.counts });
    this.#report(pack, failed ? outcome : null);
    return outcome;
  }

  async #remember(ending: Parameters<typeof withEnding>[1]): Promise<void> {
    await writeRecords(this.#file, withEnding(await this.#records(), ending));
  }

  async #records(): Promise<readonly LibRecord[]> {
    const { records, problem } = await readRecords(this.#file);
    if (problem !== this.#problem) {
      this.#problem = problem;
      this.#deps.diagnostics.report({
        kind: "lib",
        id: "records",
        status: problem === null ? "ok" : "degraded",
        message: problem === null ? "in order" : `lib_execution_records.json: ${problem}; no lib counts as run`,
      });
    }
    return records;
  }

  #report(pack: string, bad: { readonly code: ErrorCode | null; readonly error: string | null } | null): void {
    if (bad === null) {
      if (this.#unwell.delete(pack)) this.#deps.diagnostics.report({ kind: "lib", id: pack, status: "ok", message: "in order" });
      return;
    }
    this.#unwell.add(pack);
    this.#deps.diagnostics.report({
      kind: "lib",
      id: pack,
      status: "degraded",
      ...(bad.code === null ? {} : { code: bad.code }),
      message: bad.error ?? "its lib failed",
    });
  }

  async #audit({ digest }: Found, outcome: LibOutcome, mode: ExecutionMode, dataBytes: number | null): Promise<void> {
    const action = `lib_${outcome.lib_type ?? "install"}`;
    const success = outcome.result === "done";
    try {
      await this.#deps.audit.record({
        category: "system",
        action,
        success,
        ...(success ? {} : { severity: "warning", error: outcome.error ?? "", error_type: outcome.code ?? "lib.failed" }),
        owner_pack: outcome.pack_id,
        digest,
        execution_mode: mode,
        details: { lib_digest: outcome.lib_digest, latency_ms: outcome.duration_ms, data_bytes: dataBytes },
      });
    } catch (cause) {
      this.#deps.logger.log("error", "an audit entry could not be written", { action, error: String(cause) });
    }
  }
}

const NOTHING = { code: null, error: null, output: null, log: [], duration_ms: null } as const;

function refusal(pack: string, code: ErrorCode, error: string): LibOutcome {
  return { ...NOTHING, pack_id: pack, lib_type: null, lib_digest: null, result: "refused", code, error };
}

/** What a plan says, before or instead of a run. */
function outcomeOf(pack: string, { action, lib_type, lib_digest, ...plan }: LibPlan): LibOutcome {
  const facts = { ...NOTHING, pack_id: pack, lib_type, lib_digest };
  switch (action) {
    case "run":
      return { ...facts, result: "due" };
    case "skip":
      return { ...facts, result: "skipped" };
    case "none":
      return { ...facts, result: "none" };
    case "gave_up": {
      const last = "error" in plan && plan.error !== null ? `; the last time: ${plan.error}` : "";
      return {
        ...facts,
        result: "gave_up",
        code: "lib.gave_up",
        error: `it failed too often, and waits for its record to be cleared${last}`,
      };
    }
  }
}
