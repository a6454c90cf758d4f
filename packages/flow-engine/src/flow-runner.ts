import type { AuditSink, Clock, DiagnosticsSink, Logger, Random, Refusal, RunId } from "@rumi/core";
import { createRunId, isoTime, MAX_RESPONSE_BYTES, RumiError, systemRandom } from "@rumi/core";
import { FlowError } from "./errors.ts";
import { failure } from "./failure.ts";
import { FlowRun, mayResume } from "./flow-run.ts";
import type { FlowRunPlan } from "./flow-run.ts";
import type { ComposedFlow, FlowTable } from "./flow-table.ts";
import { acceptInputs } from "./inputs.ts";
import type { JournaledRun, RunJournal } from "./journal.ts";
import { DEFAULT_CONCURRENT_RUNS, MAX_CHAIN, MAX_RESUMES, REMEMBERED_RUNS } from "./limits.ts";
import type { BlockRunner, ClosedFlows, FunctionRunner, KernelHandler, Sleep, StepConsent, SubFlowRights, Vocabulary } from "./ports.ts";
import type { RunAnswer, RunSummary } from "./run-answer.ts";
import { clampRunTimeout } from "./run-options.ts";
import type { RunOptions } from "./run-options.ts";
import type { RunCollaborators } from "./run-state.ts";
import { timerSleep } from "./waiting.ts";

export interface FlowRunnerDeps {
  /** The table in force now; each run keeps the one it began with. */
  readonly table: () => FlowTable;
  readonly blocks: BlockRunner;
  readonly handlers: readonly KernelHandler[];
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly diagnostics?: DiagnosticsSink;
  readonly random?: Random;
  readonly sleep?: Sleep;
  readonly rights?: SubFlowRights;
  readonly vocabulary?: Vocabulary;
  /** Absent: there are no functions. */
  readonly functions?: FunctionRunner;
  /** Asked about flows the table does not hold. */
  readonly closed?: ClosedFlows;
  /** Absent: nothing is remembered beyond this process. */
  readonly journal?: RunJournal;
  readonly consent?: StepConsent;
}

export interface FlowRunnerOptions {
  /** `RUMI_MAX_CONCURRENT_FLOWS`. */
  readonly maxConcurrentRuns?: number;
  /** `RUMI_MAX_RESPONSE_BYTES`. */
  readonly maxResponseBytes?: number;
}

/** Starts runs by flow id, at most so many at once, and ends them in order. */
export class FlowRunner {
  readonly #deps: FlowRunnerDeps;
  readonly #collaborators: RunCollaborators;
  readonly #maxConcurrentRuns: number;
  readonly #maxResponseBytes: number;
  readonly #running = new Map<string, FlowRun>();
  readonly #ended = new Map<string, RunSummary>();
  #slotsTaken = 0;
  /** Runs that wait for a slot, first come first served. */
  readonly #waiting: (() => void)[] = [];
  #draining = false;

  constructor(deps: FlowRunnerDeps, options: FlowRunnerOptions = {}) {
    this.#deps = deps;
    this.#maxConcurrentRuns = options.maxConcurrentRuns ?? DEFAULT_CONCURRENT_RUNS;
    this.#maxResponseBytes = options.maxResponseBytes ?? MAX_RESPONSE_BYTES;
    this.#collaborators = {
      blocks: deps.blocks,
      handlers: new Map(deps.handlers.map((handler) => [handler.name, handler])),
      audit: deps.audit,
      clock: deps.clock,
      logger: deps.logger,
      sleep: deps.sleep ?? timerSleep,
      rights: deps.rights ?? null,
      vocabulary: deps.vocabulary ?? null,
      functions: deps.functions ?? null,
      journal: deps.journal ?? null,
      consent: deps.consent ?? null,
    };
  }

  /**
   * Runs a flow to its end. How it ended is in the answer; nothing a step does rejects.
   * @throws FlowError `flow.not_found`, `flow.not_runnable`, `flow.too_many_runs`, `flow.invalid_input`, `flow.input_type`,
   * `flow.context_too_large`, `flow.definition_changed`, `flow.recursive`, `flow.depth_exceeded`, `daemon.stopping`
   * @throws RumiError the code of `deps.closed` for a flow whose pack may not run
   */
  async run(flowId: string, inputs: unknown, options: RunOptions): Promise<RunAnswer> {
    return this.start(flowId, inputs, options).done;
  }

  /** Starts a flow and returns at once. @throws as `run`; `done` never rejects. */
  start(flowId: string, inputs: unknown, options: RunOptions): { readonly run_id: RunId; readonly done: Promise<RunAnswer> } {
    const table = this.#deps.table();
    const composed = this.#runnable(table, flowId, options);
    const accepted = acceptInputs(composed.definition, inputs, options.fromText);
    const takesSlot = options.trigger !== "flow.run";
    const waits = takesSlot && this.#slotsTaken >= this.#maxConcurrentRuns;
    if (waits && options.trigger !== "schedule") {
      throw new FlowError("flow.too_many_runs", `${this.#maxConcurrentRuns} runs are going on; try again shortly`, {
        details: { limit: this.#maxConcurrentRuns },
      });
    }
    const run = this.#create(table, composed, {
      runId: createRunId(this.#deps.clock, this.#deps.random ?? systemRandom),
      inputs: accepted,
      timeoutMs: clampRunTimeout(options.timeoutMs, options.trigger, options.async ?? false),
      run: options,
    });
    run.begin(waits, options.fire);
    return { run_id: run.runId, done: this.#admit(run, takesSlot) };
  }

  /**
   * Takes up the runs that an earlier process left, oldest first, each bound to the flow it began with; those that may not go
   * on end with the reason why. Resolves when all have begun or ended; they wait for slots like any other.
   */
  resume(): readonly RunId[] {
    const { journal, logger } = this.#deps;
    const taken: RunId[] = [];
    for (const row of journal?.unfinished() ?? []) {
      if (this.#running.has(row.run_id)) continue;
      try {
        this.#takeUp(row);
        taken.push(row.run_id);
      } catch (error) {
        logger.log("error", "a run could not be taken up again", { run_id: row.run_id, error: String(error) });
      }
    }
    return taken;
  }

  #takeUp(row: JournaledRun): void {
    const table = this.#deps.table();
    const composed = table.get(row.flow_id);
    const refusal = refuseResume(row, composed);
    if (composed === undefined || refusal !== null) {
      const { code, message } = refusal ?? failure("flow.not_found", "its flow is not there any more");
      this.#endWithout(row, code, message);
      return;
    }
    const run = this.#create(table, composed, {
      runId: row.run_id,
      inputs: { values: new Map(Object.entries(row.inputs)), warnings: [] },
      timeoutMs: row.timeout_ms,
      run: { caller: row.caller, trigger: row.trigger, daemonInputs: row.daemon_inputs },
      earlier: row,
    });
    void this.#admit(run, true);
  }

  #endWithout(row: JournaledRun, code: string, reason: string): void {
    const { journal, clock, logger } = this.#deps;
    const state = code === "flow.cancelled" ? "cancelled" : "failed";
    const kept = journal?.ended(row.run_id, {
      state,
      code,
      reason,
      result: null,
      truncated: false,
      failed_steps: [],
      warnings: [],
      execution_mode: null,
      active_ms: row.active_ms,
      finished_at: isoTime(clock.now()),
    });
    kept?.catch((error: unknown) =>
      logger.log("error", "the end of a run could not be kept", { run_id: row.run_id, error: String(error) }),
    );
    this.#remember({
      run_id: row.run_id,
      flow_id: row.flow_id,
      state,
      code,
      reason,
      trigger: row.trigger,
      caller: row.caller,
      started_at: row.started_at,
      execution_time: row.active_ms / 1000,
    });
  }

  #create(table: FlowTable, composed: ComposedFlow, plan: Omit<FlowRunPlan, "maxResponseBytes">): FlowRun {
    const { diagnostics } = this.#deps;
    return new FlowRun(
      { collaborators: this.#collaborators, table, composed, ...(diagnostics === undefined ? {} : { diagnostics }) },
      { ...plan, maxResponseBytes: this.#maxResponseBytes },
    );
  }

  /** Runs it as soon as a slot is free; one that takes none at once. */
  async #admit(run: FlowRun, takesSlot: boolean): Promise<RunAnswer> {
    this.#running.set(run.runId, run);
    let holdsSlot = false;
    try {
      if (takesSlot && this.#slotsTaken >= this.#maxConcurrentRuns) {
        holdsSlot = await this.#slot(run);
        return await (holdsSlot ? run.execute() : run.endUnbegun());
      }
      if (takesSlot) this.#slotsTaken += 1;
      holdsSlot = takesSlot;
      return await run.execute();
    } finally {
      this.#running.delete(run.runId);
      this.#remember(run.summary());
      if (holdsSlot) this.#passSlotOn();
    }
  }

  /** Waits in line for a slot that another run passes on; false when the run was stopped first. */
  #slot(run: FlowRun): Promise<boolean> {
    return new Promise((resolve) => {
      const take = (): void => resolve(true);
      this.#waiting.push(take);
      run.onStop(() => {
        const at = this.#waiting.indexOf(take);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        resolve(false);
      });
    });
  }

  #passSlotOn(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#slotsTaken -= 1;
    else next();
  }

  /** Runs going on, then ended ones, newest first. */
  list(): readonly RunSummary[] {
    return [...[...this.#running.values()].map((run) => run.summary()).toReversed(), ...[...this.#ended.values()].toReversed()];
  }

  get(runId: string): RunSummary | undefined {
    return this.#running.get(runId)?.summary() ?? this.#ended.get(runId);
  }

  /** Ends a run; its calls are killed. @throws FlowError `flow.run_not_found`, `flow.run_finished` */
  cancel(runId: string, reason = "cancelled by the operator"): void {
    const run = this.#running.get(runId);
    if (run !== undefined) run.cancel("flow.cancelled", reason);
    else if (this.#ended.has(runId)) throw new FlowError("flow.run_finished", "the run has already ended");
    else throw new FlowError("flow.run_not_found", "there is no such run");
  }

  /** Shuts down: no new run, no new step; calls get `deadlineMs` to end, then they are killed. */
  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    const runs = [...this.#running.values()];
    for (const run of runs) run.startNoStep();
    const timer = setTimeout(() => {
      for (const run of runs) run.cancel("daemon.stopping", "the daemon is stopping");
    }, deadlineMs);
    await Promise.all(runs.map((run) => run.ended));
    clearTimeout(timer);
  }

  #runnable(table: FlowTable, flowId: string, options: RunOptions): ComposedFlow {
    if (this.#draining) throw new FlowError("daemon.stopping", "the daemon is stopping");
    const composed = table.get(flowId);
    if (composed === undefined) {
      const refusal = this.#deps.closed?.refusal(flowId) ?? null;
      if (refusal === null) throw new FlowError("flow.not_found", "there is no such flow");
      throw this.#refuse(flowId, refusal, options);
    }
    const { source } = composed.definition.source;
    if (source === "official" && options.trigger !== "boot" && options.trigger !== "schedule") {
      throw new FlowError("flow.not_runnable", "an official flow starts only at boot or on schedule");
    }
    if (options.digest !== undefined && options.digest !== composed.digest) {
      throw new FlowError("flow.definition_changed", "the flow is not the one that was asked for", {
        details: { digest: composed.digest },
      });
    }
    const chain = options.chain ?? [];
    const details = { chain: [...chain, composed.definition.flow_id] };
    if (chain.includes(composed.definition.flow_id))
      throw new FlowError("flow.recursive", "the flow is already running in this chain", { details });
    if (chain.length >= MAX_CHAIN)
      throw new FlowError("flow.depth_exceeded", `at most ${MAX_CHAIN} flows may call each other`, { details });
    return composed;
  }

  /** The refusal as an error, written down. */
  #refuse(flowId: string, { code, reason, remedy }: Refusal, { caller, trigger }: RunOptions): RumiError {
    const event = {
      severity: "warning",
      success: false,
      flow_id: flowId,
      error: reason,
      rejection_reason: reason,
      details: { code, caller, trigger },
    } as const;
    for (const [category, action] of [
      ["flow_execution", "flow_run"],
      ["security", code],
    ] as const) {
      this.#deps.audit.record({ ...event, category, action }).catch((cause: unknown) => {
        this.#deps.logger.log("error", "an audit entry could not be written", { action, error: String(cause) });
      });
    }
    return new RumiError(code, reason, remedy === undefined ? {} : { remedy });
  }

  #remember(summary: RunSummary): void {
    this.#ended.set(summary.run_id, summary);
    if (this.#ended.size <= REMEMBERED_RUNS) return;
    const oldest = this.#ended.keys().next().value;
    if (oldest !== undefined) this.#ended.delete(oldest);
  }
}

/** Why a run of an earlier process may not go on, or null. */
function refuseResume(row: JournaledRun, composed: ComposedFlow | undefined): { readonly code: string; readonly message: string } | null {
  if (!mayResume(row.trigger)) return { code: "flow.cancelled", message: "its caller went with the daemon" };
  if (composed === undefined) return null;
  if (composed.digest !== row.digest)
    return { code: "flow.definition_changed", message: "the flow or one of its packs changed while the daemon was down" };
  if (row.resumes < MAX_RESUMES) return null;
  return { code: "flow.resume_limit", message: `it was taken up ${MAX_RESUMES} times and never came to its end` };
}
