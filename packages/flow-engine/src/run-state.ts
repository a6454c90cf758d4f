import type { AuditSink, Clock, ExecutionMode, FlowId, JsonObject, JsonValue, Logger, PackId, RunId } from "@rumi/core";
import { ContextBudget } from "./context.ts";
import type { ContextScope } from "./context.ts";
import type { Step } from "./definition.ts";
import type { ComposedFlow, FlowTable } from "./flow-table.ts";
import { MAX_FAILED_STEPS, MAX_PARALLEL_BLOCK_CALLS, MAX_RUN_WARNINGS, MAX_STEP_EXECUTIONS } from "./limits.ts";
import type { RunJournal } from "./journal.ts";
import type { BlockRunner, FunctionRunner, KernelHandler, Sleep, StepConsent, SubFlowRights, Vocabulary } from "./ports.ts";
import type { FailedStep } from "./run-answer.ts";
import { Semaphore } from "./semaphore.ts";
import type { Failure, StepStatus } from "./step-status.ts";
import { StopScope } from "./stop-scope.ts";

/** Collaborators of every run. */
export interface RunCollaborators {
  readonly blocks: BlockRunner;
  readonly handlers: ReadonlyMap<string, KernelHandler>;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly sleep: Sleep;
  readonly rights: SubFlowRights | null;
  readonly vocabulary: Vocabulary | null;
  readonly functions: FunctionRunner | null;
  readonly journal: RunJournal | null;
  readonly consent: StepConsent | null;
}

/** What all flows of one run share. */
export class RunState {
  readonly runId: RunId;
  readonly table: FlowTable;
  readonly stop = new StopScope();
  readonly budget = new ContextBudget();
  readonly blockSlots = new Semaphore(MAX_PARALLEL_BLOCK_CALLS);
  /** Monotonic ms. */
  deadline: number;
  /** The run goes on after a crash: the journal is asked before each step. */
  readonly resumed: boolean;
  #activeSince: number;
  #begunAt: number;
  readonly warnings: string[] = [];
  failedSteps: FailedStep[] = [];
  mode: ExecutionMode | null = null;
  /** Packs whose code this run has called: the gate was open to them at the digest it is bound to. */
  readonly calledPacks = new Set<PackId>();
  executions = 0;
  #refusing = false;
  #failuresCut = false;

  /** `activeMs`: how long earlier lives of the run took; `now`: monotonic. */
  constructor(
    runId: RunId,
    table: FlowTable,
    time: { readonly now: number; readonly timeoutMs: number; readonly activeMs: number },
    resumed: boolean,
  ) {
    this.runId = runId;
    this.table = table;
    this.#begunAt = time.now;
    this.deadline = time.now + time.timeoutMs - time.activeMs;
    this.#activeSince = time.now - time.activeMs;
    this.resumed = resumed;
  }

  /** The run begins now: what it waited does not count. */
  startClock(now: number): void {
    const waited = now - this.#begunAt;
    this.deadline += waited;
    this.#activeSince += waited;
    this.#begunAt = now;
  }

  /** Milliseconds the run has been going on, over all its lives. */
  activeMs(now: number): number {
    return Math.max(0, Math.round(now - this.#activeSince));
  }

  warn(message: string): void {
    if (this.warnings.length < MAX_RUN_WARNINGS) this.warnings.push(message);
  }

  /** Lists a failed step; past the limit a warning says that there are more. */
  noteFailure(step: FailedStep): void {
    if (this.failedSteps.length < MAX_FAILED_STEPS) this.failedSteps.push(step);
    else if (!this.#failuresCut) {
      this.#failuresCut = true;
      this.warn(`more than ${MAX_FAILED_STEPS} steps failed; the audit log names the rest`);
    }
  }

  /** The daemon is stopping: what runs may end, nothing new begins. */
  refuseSteps(): void {
    this.#refusing = true;
  }

  /** Counts one step execution; false once the run may begin no more. */
  countExecution(): boolean {
    if (this.#refusing) this.stop.stop({ kind: "cancelled", code: "daemon.stopping", reason: "the daemon is stopping" });
    if (this.stop.stopped !== null) return false;
    this.executions += 1;
    if (this.executions <= MAX_STEP_EXECUTIONS) return true;
    this.stop.stop({ kind: "failed", code: "flow.loop_limit", reason: `a run executes at most ${MAX_STEP_EXECUTIONS} steps` });
    return false;
  }

  /** Notes where a block ran; the least isolated mode stays. */
  noteMode(mode: ExecutionMode): void {
    const rank = { rejected: 1, container: 2, host_permissive: 3 } as const;
    if (this.mode === null || rank[mode] > rank[this.mode]) this.mode = mode;
  }

  /** Forgets the failures below a container that starts over. */
  forgetFailuresBelow(path: string): void {
    this.failedSteps = this.failedSteps.filter((step) => !step.step_path.startsWith(`${path}/`));
  }
}

/** One flow of a run: the root, or a child. */
export interface Frame {
  readonly composed: ComposedFlow;
  readonly chain: readonly FlowId[];
  /** The flow's inputs, for block contexts. */
  readonly inputs: JsonObject;
  readonly stop: StopScope;
  /** Of top-level steps, by id. */
  readonly statuses: Map<string, StepStatus>;
}

/** Where a step runs. */
export interface Place {
  readonly frame: Frame;
  readonly scope: ContextScope;
  readonly stop: StopScope;
  /** Before the step's id: empty, or ending in `/`. */
  readonly path: string;
  /** The same without attempt marks, for idempotency keys. */
  readonly key: string;
  /** Phase of the enclosing top-level step, for nested ones. */
  readonly phase: string;
}

/** How one attempt of a step ended. */
export type StepResult =
  /** `abort`: the reason, when the value asks to end the flow. */
  | { readonly status: "done"; readonly value: JsonValue; readonly abort?: string }
  | { readonly status: "failed" | "missing"; readonly failure: Failure }
  | { readonly status: "stopped" };

/** How a list of steps ended: all went by, one failed and aborts, or it was stopped from outside. */
export type Ending = null | Failure | "stopped";

/** What the single step types need of the whole: the run, its collaborators, and running the steps inside a step. */
export interface StepExecutor {
  readonly run: RunState;
  readonly collaborators: RunCollaborators;
  /** Runs `steps` in order until one aborts or `place` is stopped. Never throws. */
  runSteps(steps: readonly Step[], place: Place): Ending | Promise<Ending>;
}
