import type { AuditEvent, JsonValue, PackId } from "@rumi/core";
import { isoTime, SYSTEM_PRINCIPAL } from "@rumi/core";
import type { Step } from "./definition.ts";
import { FlowError } from "./errors.ts";
import { evaluateCondition } from "./evaluate-condition.ts";
import { failure, failureOf } from "./failure.ts";
import type { JournaledStep } from "./journal.ts";
import { MAX_RETRY_DELAY_SECONDS, MS_PER_TURN, STEPS_PER_TURN } from "./limits.ts";
import { childFlow, performStep } from "./perform-step.ts";
import type { Ending, Place, RunCollaborators, RunState, StepExecutor, StepResult } from "./run-state.ts";
import type { Failure, StepStatus } from "./step-status.ts";
import { nextTurn } from "./waiting.ts";

/** What a step that was begun still needs to end. */
interface Begun {
  readonly step: Step;
  readonly place: Place;
  readonly path: string;
  readonly startedAt: number;
  /** What an earlier life of the run left of it. */
  readonly known: JournaledStep | undefined;
  /** Keys that a handler writes by itself, for the journal. */
  readonly writes: Map<string, JsonValue>;
}

/** Steps made of steps: what is inside them is journaled by itself, so they are entered again instead of being taken as a whole. */
function isContainer(step: Step): boolean {
  return step.type === "if" || step.type === "foreach" || step.type === "repeat" || step.type === "parallel" || step.type === "flow";
}

/** Steps that may have an effect outside the run; all others only change its own values, and come out the same again. */
function isNoticed(step: Step): boolean {
  return step.type !== "set" && (step.type === "flow" || !isContainer(step));
}

/** Codes with which the engine itself says no. */
const REFUSALS: ReadonlySet<string> = new Set([
  "flow.run_denied",
  "flow.not_runnable",
  "flow.recursive",
  "flow.depth_exceeded",
  "flow.pack_changed",
  "flow.handler_not_allowed",
]);

/** Who runs files records what it refuses by itself. */
function isOwnRefusal({ type }: Step, { code }: Failure): boolean {
  return REFUSALS.has(code) && type !== "file_call" && type !== "python_file_call" && type !== "node_file_call";
}

const STOPPED = { status: "stopped" } as const satisfies StepResult;

/**
 * Runs steps one after another, for the top level and every container alike. Steps that have their value at once run
 * without waiting; a run still gives way to other work every few hundred steps or milliseconds, so it can always be stopped.
 */
export class StepRunner implements StepExecutor {
  readonly run: RunState;
  readonly collaborators: RunCollaborators;
  /** The newest audit entry is taken: where too many wait, the run does, too. */
  #told: Promise<void> = Promise.resolve();
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
          this.#turn().then(() => null),
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
      if (this.#isTurnOver()) await this.#turn();
      const next = this.#step(step, place);
      ending = next instanceof Promise ? await next : next;
    }
    return ending;
  }

  async #turn(): Promise<void> {
    await nextTurn();
    await this.#told;
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
    const path = place.path + step.id;
    const known = this.run.resumed ? this.collaborators.journal?.find(this.run.runId, path) : undefined;
    const begun: Begun = { step, place, path, startedAt: this.collaborators.clock.monotonic(), known, writes: new Map() };
    if (known?.finished === true && (!isContainer(step) || known.status === "skipped")) return this.#reuse(begun, known);
    if (step.depends_on.some((id) => place.frame.statuses.get(id) !== "done")) return this.#skip(begun, "dependency");
    if (step.when !== null) {
      try {
        if (!evaluateCondition(step.when, place.scope)) return this.#skip(begun, "when");
      } catch (error) {
        return this.#failed(begun, 1, failureOf(error));
      }
    }
    const origin = step.phase === null ? undefined : place.frame.composed.origins.get(step.id);
    if (origin !== undefined && origin.modifier_id !== null && this.collaborators.consent?.holds(origin) === false)
      return this.#failed(begun, 1, failure("flow.pack_changed", `the pack that brought step ${step.id} may not run any more`));
    // A container starts over from its first attempt: what it finished comes from the journal, and so do its failures.
    return this.#attempt(begun, known?.finished === false && !isContainer(step) ? known.attempt : 1);
  }

  /** Takes the end of a step from an earlier life of the run. */
  #reuse(begun: Begun, known: JournaledStep & { readonly finished: true }): Ending {
    const { step, place } = begun;
    if (known.status === "skipped") return this.#skip(begun, known.reason ?? "when");
    if (known.status === "missing" && known.failure !== null) return this.#missing(begun, known.attempts, known.failure);
    if (known.status !== "done") return this.#failed(begun, known.attempts, known.failure ?? failure("flow.cancelled", "it did not end"));
    try {
      if (step.type === "set") place.scope.set(step.key, known.value);
      for (const [key, value] of Object.entries(known.writes ?? {})) place.scope.set(key, value);
    } catch (error) {
      return this.#failed(begun, known.attempts, failureOf(error));
    }
    return this.#done(begun, known.attempts, known.value, known.abort ?? undefined);
  }

  #skip(begun: Begun, reason: string): null {
    this.#finish(begun, "skipped", 0, { reason });
    return null;
  }

  #attempt(begun: Begun, attempt: number): Ending | Promise<Ending> {
    begun.writes.clear();
    if (this.#isOutdated(begun.step)) {
      const text = `pack "${begun.step.principal}" may not act any more from the bytes that step ${begun.step.id} stands in`;
      return this.#failed(begun, attempt, failure("flow.pack_changed", text));
    }
    let kept: void | Promise<void>;
    try {
      kept = this.#journalStart(begun, attempt);
    } catch (error) {
      return this.#journalLost(error);
    }
    if (!(kept instanceof Promise) || !isNoticed(begun.step)) {
      if (kept instanceof Promise) kept.catch((error: unknown) => this.#journalLost(error));
      return this.#perform(begun, attempt);
    }
    return Promise.all([kept, this.#told]).then(
      () => this.#perform(begun, attempt),
      (error: unknown) => this.#journalLost(error),
    );
  }

  /** A step that acts outside the run does so from the bytes it was read from, or not at all. Files are told by their own gate. */
  #isOutdated({ type, principal, principal_digest: digest }: Step): boolean {
    if (digest === null || (type !== "function" && type !== "handler" && type !== "flow")) return false;
    return this.collaborators.consent?.isCurrent(principal as PackId, digest) === false;
  }

  #perform(begun: Begun, attempt: number): Ending | Promise<Ending> {
    let result: StepResult | Promise<StepResult>;
    try {
      result = performStep(this, begun.step, begun.place, attempt, begun.writes);
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
    const ending = this.#finish(begun, "done", attempt, abort === undefined ? {} : { abort }, undefined, value);
    if (abort === undefined || ending !== null) return ending;
    place.frame.stop.stop({ kind: "aborted", code: "flow.aborted", reason: abort });
    return "stopped";
  }

  #stopped(begun: Begun, attempt: number): Ending {
    const stop = begun.place.stop.stopped;
    const code = stop?.code ?? "flow.cancelled";
    // What the stop of the daemon interrupts goes on in the run's next life: nothing is kept of its end.
    this.#finish(begun, "failed", attempt, { code: "sandbox.cancelled", reason: code }, undefined, null, code !== "daemon.stopping");
    return "stopped";
  }

  #missing(begun: Begun, attempt: number, failure: Failure): Ending {
    if (begun.place.frame.composed.definition.defaults.on_missing_step === "fail") return this.#failed(begun, attempt, failure, "missing");
    this.run.warn(`step ${begun.path} was skipped: ${failure.message}`);
    return this.#finish(begun, "missing", attempt, { code: failure.code }, failure);
  }

  #failed(begun: Begun, attempts: number, failure: Failure, status: "failed" | "missing" = "failed"): Ending {
    const { step, path } = begun;
    const { retryable: _retryable, ...told } = failure;
    this.run.noteFailure({ step_id: step.id, step_path: path, attempts, ...told });
    if (isOwnRefusal(step, failure) && begun.known?.finished !== true) this.#recordRefusal(begun, failure);
    const ending = this.#finish(begun, status, attempts, { code: failure.code }, failure);
    return ending ?? (step.on_error === "continue" ? null : failure);
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

  /** Keeps the end of a step. Null, or "stopped" when it could not be kept: the run ends then. */
  #finish(
    begun: Begun,
    status: StepStatus,
    attempts: number,
    details: { readonly [key: string]: string } = {},
    failure?: Failure,
    value: JsonValue = null,
    kept = true,
  ): "stopped" | null {
    const { step, place, path, startedAt } = begun;
    if (step.phase !== null) place.frame.statuses.set(step.id, status);
    if (begun.known?.finished === true) return null;
    const ms = Math.round((this.collaborators.clock.monotonic() - startedAt) * 1000) / 1000;
    this.record({
      category: "flow_execution",
      ...(failure === undefined || status === "missing"
        ? {}
        : { severity: "warning", error: failure.message, error_type: failure.error_type }),
      action: "step",
      success: status === "done" || status === "skipped",
      flow_id: place.frame.composed.definition.flow_id,
      step_id: step.id,
      phase: step.phase ?? place.phase,
      run_id: this.run.runId,
      details: { path, type: step.type, status, attempts, ms, ...details },
    });
    if (!kept) return null;
    try {
      this.#journalFinish(begun, { status, attempts, details, failure, value, ms });
      return null;
    } catch (error) {
      return this.#journalLost(error);
    }
  }

  #journalStart({ step, place, path, known }: Begun, attempt: number): void | Promise<void> {
    const { journal, clock } = this.collaborators;
    if (journal === null || known?.finished === true) return undefined;
    const { composed } = place.frame;
    const flow = childFlow(step, place, this);
    const child = flow === null ? null : (this.run.table.get(flow)?.digest ?? null);
    if (known !== undefined && known.child_digest !== null && known.child_digest !== child)
      throw new FlowError("flow.definition_changed", `the flow of step ${path} is not the one that the run began with`);
    const origin = step.phase === null ? null : (composed.origins.get(step.id) ?? null);
    const { flow_id: flowId } = composed.definition;
    const startedAt = isoTime(clock.now());
    return journal.started(this.run.runId, {
      path,
      step_id: step.id,
      type: step.type,
      flow_id: flowId,
      attempt,
      child_digest: child,
      origin,
      started_at: startedAt,
    });
  }

  #journalFinish(
    { step, place, path, writes }: Begun,
    end: {
      readonly status: StepStatus;
      readonly attempts: number;
      readonly details: { readonly [key: string]: string };
      readonly failure: Failure | undefined;
      readonly value: JsonValue;
      readonly ms: number;
    },
  ): void {
    const { journal, clock } = this.collaborators;
    journal?.finished(this.run.runId, {
      path,
      step_id: step.id,
      type: step.type,
      flow_id: place.frame.composed.definition.flow_id,
      status: end.status,
      attempts: end.attempts,
      value: end.value,
      writes: writes.size === 0 ? null : Object.fromEntries(writes),
      failure: end.failure ?? null,
      reason: end.details["reason"] ?? null,
      abort: end.details["abort"] ?? null,
      ms: end.ms,
      finished_at: isoTime(clock.now()),
      active_ms: this.run.activeMs(clock.monotonic()),
    });
  }

  /** What cannot be kept must not go on: a later life would not know of it. */
  #journalLost(error: unknown): "stopped" {
    const { code, message } = failureOf(error);
    this.run.stop.stop({ kind: "failed", code, reason: message });
    return "stopped";
  }

  #recordRefusal({ step, place, path }: Begun, { code, message }: Failure): void {
    this.record({
      category: "security",
      severity: "warning",
      action: code,
      success: false,
      flow_id: place.frame.composed.definition.flow_id,
      step_id: step.id,
      phase: step.phase ?? place.phase,
      run_id: this.run.runId,
      ...(step.principal === SYSTEM_PRINCIPAL ? {} : { owner_pack: step.principal }),
      rejection_reason: message,
      details: { path, type: step.type },
    });
  }

  /** Records without waiting: flow entries need not be on disk before the next step, only among those that will be. */
  record(event: AuditEvent): void {
    this.#told = this.collaborators.audit.record(event).catch((error: unknown) => {
      this.collaborators.logger.log("error", "an audit entry of a run could not be written", {
        run_id: this.run.runId,
        error: String(error),
      });
    });
  }
}
