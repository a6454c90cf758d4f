import type { DiagnosticsSink, JsonObject, RunId } from "@rumi/core";
import { isoTime } from "@rumi/core";
import { ContextScope } from "./context.ts";
import type { ComposedFlow, FlowTable } from "./flow-table.ts";
import type { AcceptedInputs } from "./inputs.ts";
import type { RunOptions } from "./run-options.ts";
import { failureOf } from "./failure.ts";
import type { JournaledRun, ScheduleFire } from "./journal.ts";
import { resultOf } from "./run-answer.ts";
import type { RunAnswer, RunState as State, RunSummary, RunTrigger } from "./run-answer.ts";
import { RunState } from "./run-state.ts";
import type { Ending, RunCollaborators } from "./run-state.ts";
import { StepRunner } from "./step-runner.ts";

export interface FlowRunDeps {
  readonly collaborators: RunCollaborators;
  readonly table: FlowTable;
  readonly composed: ComposedFlow;
  readonly diagnostics?: DiagnosticsSink;
}

export interface FlowRunPlan {
  readonly runId: RunId;
  readonly inputs: AcceptedInputs;
  readonly timeoutMs: number;
  readonly maxResponseBytes: number;
  readonly run: RunOptions;
  /** Of a run that goes on after its process ended: what the journal keeps of it. */
  readonly earlier?: JournaledRun;
}

/** One root run from its start to its answer. */
export class FlowRun {
  readonly runId: RunId;
  /** Resolves when the run has ended. */
  readonly ended: Promise<void>;
  readonly #deps: FlowRunDeps;
  readonly #plan: FlowRunPlan;
  readonly #state: RunState;
  readonly #scope: ContextScope;
  readonly #startedAt: number;
  readonly #end = Promise.withResolvers<void>();
  #outcome: { readonly state: State; readonly code: string | null; readonly reason: string | null; readonly seconds: number } | null = null;
  #queued = false;

  /** @throws FlowError `flow.context_too_large` when the inputs alone pass the limits. */
  constructor(deps: FlowRunDeps, plan: FlowRunPlan) {
    const { clock } = deps.collaborators;
    this.runId = plan.runId;
    this.ended = this.#end.promise;
    this.#deps = deps;
    this.#plan = plan;
    this.#startedAt = plan.earlier === undefined ? clock.now() : Date.parse(plan.earlier.started_at);
    const now = clock.monotonic();
    const activeMs = plan.earlier?.active_ms ?? 0;
    this.#state = new RunState(plan.runId, deps.table, { now, timeoutMs: plan.timeoutMs, activeMs }, plan.earlier !== undefined);
    this.#scope = ContextScope.root(this.#state.budget);
    for (const [key, value] of plan.inputs.values) this.#scope.define(key, value);
    for (const [key, value] of Object.entries(plan.run.daemonInputs ?? {})) if (key.startsWith("_")) this.#scope.define(key, value);
    for (const warning of plan.inputs.warnings) this.#state.warn(warning);
  }

  /** Keeps the run as begun, waiting for a slot or not. @throws what the journal throws: nothing has run then */
  begin(queued: boolean, fire?: ScheduleFire): void {
    this.#queued = queued;
    const { composed, collaborators } = this.#deps;
    const { run, inputs, timeoutMs, earlier } = this.#plan;
    if (earlier !== undefined) return;
    const row: JournaledRun = {
      run_id: this.runId,
      flow_id: composed.definition.flow_id,
      digest: composed.digest,
      trigger: run.trigger,
      caller: run.caller,
      inputs: Object.fromEntries(inputs.values),
      daemon_inputs: run.daemonInputs ?? {},
      timeout_ms: timeoutMs,
      started_at: isoTime(this.#startedAt),
      state: queued ? "queued" : "running",
      active_ms: 0,
      resumes: 0,
    };
    collaborators.journal?.begin(row, fire);
  }

  /** Runs to the end. Never rejects. */
  async execute(): Promise<RunAnswer> {
    if (this.#queued || this.#plan.earlier !== undefined) {
      this.#queued = false;
      this.#state.startClock(this.#deps.collaborators.clock.monotonic());
      try {
        this.#deps.collaborators.journal?.running(this.runId, this.#plan.earlier?.state === "running");
      } catch (error) {
        return await this.#close(failureOf(error));
      }
    }
    const { composed } = this.#deps;
    const { signal } = this.#plan.run;
    const stop = this.#state.stop;
    const seconds = this.#plan.timeoutMs / 1000;
    const left = Math.max(0, this.#state.deadline - this.#deps.collaborators.clock.monotonic());
    const timer = setTimeout(
      () => stop.stop({ kind: "timed_out", code: "flow.timeout", reason: `the run took longer than ${seconds} s` }),
      left,
    );
    const onAbort = (): void => this.cancel("flow.cancelled", "the caller went away");
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const runner = new StepRunner(this.#state, this.#deps.collaborators);
      const ending = await runner.runSteps(composed.order, {
        frame: {
          composed,
          chain: [...(this.#plan.run.chain ?? []), composed.definition.flow_id],
          inputs: Object.fromEntries(this.#plan.inputs.values),
          stop,
          statuses: new Map(),
        },
        scope: this.#scope,
        stop,
        path: "",
        key: "",
        phase: "",
      });
      return await this.#close(ending);
    } catch (error) {
      return await this.#close(failureOf(error));
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** The answer of a run that was stopped before its first step. */
  endUnbegun(): Promise<RunAnswer> {
    return this.#close("stopped");
  }

  async #close(ending: Ending): Promise<RunAnswer> {
    try {
      return await this.#answer(new StepRunner(this.#state, this.#deps.collaborators), ending);
    } finally {
      this.#scope[Symbol.dispose]();
      this.#end.resolve();
    }
  }

  cancel(code: string, reason: string): void {
    this.#state.stop.stop({ kind: "cancelled", code, reason });
  }

  /** Runs `listener` once when the run is stopped, at once when it already is. */
  onStop(listener: () => void): void {
    const { signal } = this.#state.stop;
    if (signal.aborted) listener();
    else signal.addEventListener("abort", listener, { once: true });
  }

  /** Lets the calls of now end, and starts no further step. */
  startNoStep(): void {
    this.#state.refuseSteps();
  }

  summary(): RunSummary {
    const { clock } = this.#deps.collaborators;
    return {
      run_id: this.runId,
      flow_id: this.#deps.composed.definition.flow_id,
      state: this.#outcome?.state ?? (this.#queued ? "queued" : "running"),
      code: this.#outcome?.code ?? null,
      reason: this.#outcome?.reason ?? null,
      trigger: this.#plan.run.trigger,
      caller: this.#plan.run.caller,
      started_at: isoTime(this.#startedAt),
      execution_time: this.#outcome?.seconds ?? (this.#queued ? 0 : this.#state.activeMs(clock.monotonic()) / 1000),
    };
  }

  async #answer(runner: StepRunner, ending: Ending): Promise<RunAnswer> {
    const { composed, collaborators } = this.#deps;
    const { definition } = composed;
    const outcome = { ...this.#outcomeOf(ending), seconds: this.#state.activeMs(collaborators.clock.monotonic()) / 1000 };
    this.#outcome = outcome;
    const { state, code, reason, seconds } = outcome;
    const gives = state === "completed" || state === "aborted";
    const result = gives ? resultOf(definition.outputs?.keys() ?? null, this.#scope.own()) : null;
    const response = gives ? this.#scope.get("_response") : undefined;
    if (response !== undefined) this.#plan.run.onResponse?.(response);
    const truncated = result !== null && this.#state.budget.sizer.bytes(result, this.#plan.maxResponseBytes) > this.#plan.maxResponseBytes;
    if (state === "aborted") this.#report(reason ?? "");
    runner.record({
      category: "flow_execution",
      ...(state === "completed" ? {} : { severity: "warning", error: reason ?? "" }),
      ...(code === null ? {} : { error_type: code }),
      action: "flow_run",
      success: gives,
      flow_id: definition.flow_id,
      run_id: this.runId,
      digest: composed.digest,
      ...(this.#state.mode === null ? {} : { execution_mode: this.#state.mode }),
      details: {
        state,
        trigger: this.#plan.run.trigger,
        caller: this.#plan.run.caller,
        steps: this.#state.executions,
        failed_steps: this.#state.failedSteps.length,
        seconds,
      },
    });
    await this.#keep(outcome, { result: truncated ? null : result, truncated });
    return {
      run_id: this.runId,
      flow_id: definition.flow_id,
      state,
      code,
      reason,
      result: truncated ? null : result,
      failed_steps: this.#state.failedSteps,
      warnings: this.#state.warnings,
      truncated,
      execution_time: seconds,
      digest: composed.digest,
      execution_mode: this.#state.mode,
      started_at: isoTime(this.#startedAt),
      ...(truncated ? { keys: sortedKeys(result) } : {}),
    };
  }

  #outcomeOf(ending: Ending): { readonly state: State; readonly code: string | null; readonly reason: string | null } {
    if (ending === null) return { state: "completed", code: null, reason: null };
    if (ending !== "stopped") return { state: "failed", code: ending.code, reason: ending.message };
    const stop = this.#state.stop.stopped;
    if (stop === null || stop.kind === "step_timeout") return { state: "failed", code: "flow.cancelled", reason: "the run was stopped" };
    return { state: stop.kind, code: stop.kind === "aborted" ? null : stop.code, reason: stop.reason };
  }

  /** Keeps the end. What the stop of the daemon interrupts stays unfinished, to go on in its next life, unless it never does. */
  async #keep(
    { state, code, reason }: { readonly state: State; readonly code: string | null; readonly reason: string | null },
    gives: { readonly result: JsonObject | null; readonly truncated: boolean },
  ): Promise<void> {
    const { journal, clock, logger } = this.#deps.collaborators;
    if (journal === null || state === "queued" || state === "running") return;
    if (code === "daemon.stopping" && mayResume(this.#plan.run.trigger)) return;
    try {
      await journal.ended(this.runId, {
        state,
        code,
        reason,
        ...gives,
        failed_steps: this.#state.failedSteps.map((step) => ({ ...step })),
        warnings: this.#state.warnings,
        execution_mode: this.#state.mode,
        active_ms: this.#state.activeMs(clock.monotonic()),
        finished_at: isoTime(clock.now()),
      });
    } catch (error) {
      logger.log("error", "the end of a run could not be kept", { run_id: this.runId, error: String(error) });
    }
  }

  #report(reason: string): void {
    const id = this.#deps.composed.definition.flow_id;
    this.#deps.diagnostics?.report({
      kind: "flow",
      id,
      status: "ok",
      code: "flow.aborted",
      message: `run ${this.runId} ended itself: ${reason}`,
    });
  }
}

/** Runs whose caller is gone with the process are not taken up again: boot runs, and those that a block had asked for. */
export function mayResume(trigger: RunTrigger): boolean {
  return trigger === "api" || trigger === "route" || trigger === "schedule";
}

function sortedKeys(result: JsonObject | null): string[] {
  return Object.keys(result ?? {}).sort();
}
