import type { JsonValue } from "@rumi/core";
import { isJsonObject } from "@rumi/core";
import type { ContextScope } from "./context.ts";
import type { ForeachStep, IfStep, ParallelStep, RepeatStep, Step } from "./definition.ts";
import { evaluateCondition } from "./evaluate-condition.ts";
import { expand } from "./expression.ts";
import { failure } from "./failure.ts";
import { FlowError } from "./errors.ts";
import { MAX_FOREACH_ITEMS, MAX_VALUE_BYTES } from "./limits.ts";
import type { Ending, Place, StepResult, StepExecutor } from "./run-state.ts";

/** The place of steps inside a container: `name` is what stands between the container's id and theirs. */
function inside(step: Step, place: Place, attempt: number, name: string, scope: ContextScope): Place {
  const marked = attempt === 1 ? step.id : `${step.id}@${attempt}`;
  return {
    ...place,
    scope,
    path: `${place.path}${marked}/${name}/`,
    key: `${place.key}${step.id}/${name}/`,
    phase: step.phase ?? place.phase,
  };
}

function endingResult(ending: Ending): StepResult {
  if (ending === null) return { status: "done", value: null };
  return ending === "stopped" ? { status: "stopped" } : { status: "failed", failure: ending };
}

/** Runs one branch in the enclosing scope. */
export function performIf(runner: StepExecutor, step: IfStep, place: Place, attempt: number): StepResult | Promise<StepResult> {
  const holds = evaluateCondition(step.condition, place.scope);
  const steps = holds ? step.then_steps : step.else_steps;
  const ending = runner.runSteps(steps, inside(step, place, attempt, holds ? "then" : "else", place.scope));
  return ending instanceof Promise ? ending.then(endingResult) : endingResult(ending);
}

/** Runs the body per item; its writes end with each pass. The value is what `collect` gave per item, in order. */
export async function performForeach(runner: StepExecutor, step: ForeachStep, place: Place, attempt: number): Promise<StepResult> {
  const items = iterable(expand(step.items, place.scope, runner.run.budget.sizer));
  const { sizer } = runner.run.budget;
  const collected: JsonValue[] = items.map(() => null);
  let collectedBytes = 2;
  let next = 0;
  let failedAt = Number.POSITIVE_INFINITY;
  let ending: Ending = null;
  const pass = async (index: number): Promise<void> => {
    using scope = place.scope.isolated();
    scope.define(step.as, items[index] ?? null);
    scope.define(step.index_as, index);
    const ended = await runner.runSteps(step.steps, inside(step, place, attempt, String(index), scope));
    if (ended !== null) {
      if (index < failedAt) ending = ended;
      failedAt = Math.min(failedAt, index);
    } else if (step.collect !== null) {
      const value = expand(step.collect, scope, sizer);
      collectedBytes += sizer.bytes(value) + 1;
      if (collectedBytes > MAX_VALUE_BYTES) throw new FlowError("flow.context_too_large", "the collected list is over its limit");
      collected[index] = value;
    }
  };
  const worker = async (): Promise<void> => {
    while (next < items.length && failedAt === Number.POSITIVE_INFINITY && place.stop.stopped === null) {
      next += 1;
      await pass(next - 1);
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: Math.min(step.concurrency, items.length) }, worker));
  const broken = ended.find((each) => each.status === "rejected");
  if (broken !== undefined) throw broken.reason;
  if (ending === null && next < items.length && place.stop.stopped !== null) return { status: "stopped" };
  return ending === null ? { status: "done", value: collected } : endingResult(ending);
}

function iterable(value: JsonValue): readonly JsonValue[] {
  if (value === null) return [];
  const items = Array.isArray(value)
    ? (value as readonly JsonValue[])
    : isJsonObject(value)
      ? Object.entries(value).map(([key, member]) => ({ key, value: member }))
      : null;
  if (items === null) throw new FlowError("flow.not_iterable", `items must be a list, a map or null, got ${typeof value}`);
  if (items.length > MAX_FOREACH_ITEMS)
    throw new FlowError("flow.loop_limit", `items must be at most ${MAX_FOREACH_ITEMS}, got ${items.length}`);
  return items;
}

/** Runs the body until `until` holds after a pass, in the enclosing scope. */
export async function performRepeat(runner: StepExecutor, step: RepeatStep, place: Place, attempt: number): Promise<StepResult> {
  for (let index = 0; index < step.max_iterations; index += 1) {
    if (index > 0 && step.delay_seconds > 0) await runner.collaborators.sleep(step.delay_seconds * 1000, place.stop.signal);
    if (place.stop.stopped !== null) return { status: "stopped" };
    using scope = place.scope.overlay();
    scope.define(step.index_as, index);
    const ending = await runner.runSteps(step.steps, inside(step, place, attempt, String(index), scope));
    if (ending !== null) return endingResult(ending);
    if (step.until !== null && evaluateCondition(step.until, scope)) return { status: "done", value: null };
  }
  if (step.until === null) return { status: "done", value: null };
  return { status: "failed", failure: failure("flow.repeat_exhausted", `until did not hold within ${step.max_iterations} passes`) };
}

/** Runs all branches at once, each on its own writes; when all are done their writes merge. */
export async function performParallel(runner: StepExecutor, step: ParallelStep, place: Place, attempt: number): Promise<StepResult> {
  const scopes = step.branches.map(() => place.scope.isolated());
  try {
    const endings = await Promise.all(
      step.branches.map(async (branch, index) =>
        runner.runSteps(branch.steps, inside(step, place, attempt, branch.name, scopes[index] ?? place.scope)),
      ),
    );
    const failed = endings.find((ending) => ending !== null && ending !== "stopped") ?? endings.find((ending) => ending !== null) ?? null;
    if (failed !== null) return endingResult(failed);
    for (const scope of scopes) {
      const writes = [...scope.own()];
      scope[Symbol.dispose]();
      for (const [key, value] of writes) place.scope.set(key, value);
    }
    return { status: "done", value: null };
  } finally {
    for (const scope of scopes) scope[Symbol.dispose]();
  }
}
