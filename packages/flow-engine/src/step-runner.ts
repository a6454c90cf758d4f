import type { AuditEvent, JsonValue } from "@rumi/core";
import type { Step } from "./definition.ts";
import { evaluateCondition } from "./evaluate-condition.ts";
import { failureOf } from "./failure.ts";
import { MAX_RETRY_DELAY_SECONDS, MS_PER_TURN, STEPS_PER_TURN } from "./limits.ts";
import { performStep } from "./perform-step.ts";
import type { Ending, Failure, Place, RunCollaborators, RunState, StepExecutor, StepResult, StepStatus } from "./run-state.ts";
import { nextTurn } from "./waiting.ts";

/** What a step that was begun still needs to end. */
interface Begun {
  readonly step: Step;
  readonly place: Place;
  readonly path: string;
  readonly startedAt: number;
}

const STOPPED = { status: "stopped" } as const satisfies StepResult;

/**
 * Runs steps one after another, for the top level and every container alike. Steps that have their value at once run
 * without waiting; a run still gives way to other work every few hundred steps or milliseconds, so it can always be stopped.
 */
export class StepRunner implements StepExecutor {
  readonly run: RunState;
  readonly collaborators: RunCollaborators;
  #sinceTurn = 0;
  #turnStarted: number;

  constructor(run: RunState, collaborators: RunCollaborators) {
    this.run = run;
    this.collaborators = collaborators;
    this.#turnStarted = collaborators.clock.monotonic();
  }

  runSteps(steps: readonly Step[], place: Place): Ending | Promise<Ending> {
    for (const [index, step] of steps.entries()) {
      if (this.#isTurnOver())
        return this.#continue(
          nextTurn().then(() => null),
          steps,
          place,
          index,
        );
      const ending = this.#step(step, place);
      if (ending instanceof Promise) return this.#continue(ending, steps, place, index + 1);
      if (ending !== null) return ending;
    }
    return null;
  }

  async #continue(pending: Promise<Ending>, steps: readonly Step[], place: Place, from: number): Promise<Ending> {
    let ending = await pending;
    for (const step of steps.slice(from)) {
      if (ending !== null) return ending;
      if (this.#isTurnOver()) await nextTurn();
      const next = this.#step(step, place);
      ending = next instanceof Promise ? await next : next;
    }
    return ending;
  }

  #isTurnOver(): boolean {
    this.#sinceTurn += 1;
    const now = this.collaborators.clock.monotonic();
    if (this.#sinceTurn < STEPS_PER_TURN && now - this.#turnStarted < MS_PER_TURN) return false;
    this.#sinceTurn = 0;
    this.#turnStarted = now;
    return true;
  }

  #step(step: Step, place: Place): Ending | Promise<Ending> {
    if (place.stop.stopped !== null || !this.run.countExecution()) return "stopped";
    const begun: Begun = { step, place, path: place.path + step.id, startedAt: this.collaborators.clock.monotonic() };
    if (step.depends_on.some((id) => place.frame.statuses.get(id) !== "done")) return this.#skip(begun, "dependency");
    if (step.when !== null) {
      try {
        if (!evaluateCondition(step.when, place.scope)) return this.#skip(begun, "when");
      } catch (error) {
        return this.#failed(begun, 1, failureOf(error));
      }
    }
    return this.#attempt(begun, 1);
  }

  #skip(begun: Begun, reason: "dependency" | "when"): null {
    this.#finish(begun, "skipped", 0, { reason });
    return null;
  }

  #attempt(begun: Begun, attempt: number): Ending | Promise<Ending> {
    let result: StepResult | Promise<StepResult>;
    try {
      result = performStep(this, begun.step, begun.place, attempt);
    } catch (error) {
      result = { status: "failed", failure: failureOf(error) };
    }
    if (!(result instanceof Promise)) return this.#settle(begun, attempt, result);
    return result
      .catch((error: unknown): StepResult => ({ status: "failed", failure: failureOf(error) }))
      .then((value) => this.#settle(begun, attempt, value));
  }

  #settle(begun: Begun, attempt: number, result: StepResult): Ending | Promise<Ending> {
    if (result.status === "done") return this.#done(begun, attempt, result.value, result.abort);
    if (result.status === "stopped" || begun.place.stop.stopped !== null) return this.#stopped(begun, attempt);
    if (result.status === "missing") return this.#missing(begun, attempt, result.failure);
    if (result.failure.retryable && attempt < begun.step.retry.max_attempts) return this.#retry(begun, attempt);
    return this.#failed(begun, attempt, result.failure);
  }

  #done(begun: Begun, attempt: number, value: JsonValue, abort: string | undefined): Ending {
    const { step, place } = begun;
    if (step.output !== null) {
      try {
        place.scope.set(step.output, value);
      } catch (error) {
        return this.#failed(begun, attempt, failureOf(error));
      }
    }
    this.#finish(begun, "done", attempt);
    if (abort === undefined) return null;
    place.frame.stop.stop({ kind: "aborted", code: "flow.aborted", reason: abort });
    return "stopped";
  }

  #stopped(begun: Begun, attempt: number): Ending {
    const stop = begun.place.stop.stopped;
    this.#finish(begun, "failed", attempt, { code: "sandbox.cancelled", reason: stop?.code ?? "flow.cancelled" });
    return "stopped";
  }

  #missing(begun: Begun, attempt: number, failure: Failure): Ending {
    if (begun.place.frame.composed.definition.defaults.on_missing_step === "fail") return this.#failed(begun, attempt, failure, "missing");
    this.run.warn(`step ${begun.path} was skipped: ${failure.message}`);
    this.#finish(begun, "missing", attempt, { code: failure.code });
    return null;
  }

  #failed(begun: Begun, attempts: number, failure: Failure, status: "failed" | "missing" = "failed"): Ending {
    const { step, path } = begun;
    const { retryable: _retryable, ...told } = failure;
    this.run.noteFailure({ step_id: step.id, step_path: path, attempts, ...told });
    this.#finish(begun, status, attempts, { code: failure.code }, failure);
    return step.on_error === "continue" ? null : failure;
  }

  async #retry(begun: Begun, attempt: number): Promise<Ending> {
    const { retry } = begun.step;
    const factor = retry.backoff === "exponential" ? 2 ** (attempt - 1) : 1;
    const seconds = Math.min(retry.delay_seconds * factor, MAX_RETRY_DELAY_SECONDS);
    if (seconds > 0) await this.collaborators.sleep(seconds * 1000, begun.place.stop.signal);
    if (begun.place.stop.stopped !== null || !this.run.countExecution()) return this.#settle(begun, attempt, STOPPED);
    this.run.forgetFailuresBelow(begun.path);
    return this.#attempt(begun, attempt + 1);
  }

  #finish(begun: Begun, status: StepStatus, attempts: number, details: { readonly [key: string]: string } = {}, failure?: Failure): void {
    const { step, place, path, startedAt } = begun;
    if (step.phase !== null) place.frame.statuses.set(step.id, status);
    this.record({
      category: "flow_execution",
      ...(failure === undefined ? {} : { severity: "warning", error: failure.message, error_type: failure.error_type }),
      action: "step",
      success: status === "done" || status === "skipped",
      flow_id: place.frame.composed.definition.flow_id,
      step_id: step.id,
      phase: step.phase ?? place.phase,
      run_id: this.run.runId,
      details: {
        path,
        type: step.type,
        status,
        attempts,
        ms: Math.round((this.collaborators.clock.monotonic() - startedAt) * 1000) / 1000,
        ...details,
      },
    });
  }

  /** Records without waiting: flow entries need not be on disk before the next step. */
  record(event: AuditEvent): void {
    this.collaborators.audit.record(event).catch((error: unknown) => {
      this.collaborators.logger.log("error", "an audit entry of a run could not be written", {
        run_id: this.run.runId,
        error: String(error),
      });
    });
  }
}
