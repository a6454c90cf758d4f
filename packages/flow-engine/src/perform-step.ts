import type { JsonValue } from "@rumi/core";
import { isJsonObject } from "@rumi/core";
import type { HandlerStep, Step } from "./definition.ts";
import { expand } from "./expression.ts";
import { failure } from "./failure.ts";
import { isContextKey } from "./names.ts";
import { FlowError } from "./errors.ts";
import { performFileCall } from "./perform-file-call.ts";
import { performFunction } from "./perform-function.ts";
import { performForeach, performIf, performParallel, performRepeat } from "./perform-container.ts";
import { performSubFlow, runSubFlow } from "./perform-sub-flow.ts";
import type { HandlerScope } from "./ports.ts";
import type { Place, StepResult, StepExecutor } from "./run-state.ts";
import { withTimeout } from "./with-timeout.ts";

/** One attempt of one step. Keys that a handler writes by itself go into `writes`. May throw what `failureOf` understands. */
export function performStep(
  runner: StepExecutor,
  step: Step,
  place: Place,
  attempt: number,
  writes: Map<string, JsonValue>,
): StepResult | Promise<StepResult> {
  switch (step.type) {
    case "set": {
      const value = expand(step.value, place.scope, runner.run.budget.sizer);
      place.scope.set(step.key, value);
      return { status: "done", value };
    }
    case "python_file_call":
    case "node_file_call":
    case "file_call":
      return performFileCall(runner, step, place, attempt);
    case "function":
      return performFunction(runner, step, place, attempt);
    case "handler":
      return withTimeout(step, place, (inner) => performHandler(runner, step, inner, attempt, writes));
    case "if":
      return withTimeout(step, place, (inner) => performIf(runner, step, inner, attempt));
    case "foreach":
      return withTimeout(step, place, (inner) => performForeach(runner, step, inner, attempt));
    case "repeat":
      return withTimeout(step, place, (inner) => performRepeat(runner, step, inner, attempt));
    case "parallel":
      return withTimeout(step, place, (inner) => performParallel(runner, step, inner, attempt));
    case "flow":
      return withTimeout(step, place, (inner) => performSubFlow(runner, step, inner, attempt));
  }
}

function performHandler(
  runner: StepExecutor,
  step: HandlerStep,
  place: Place,
  attempt: number,
  writes: Map<string, JsonValue>,
): StepResult | Promise<StepResult> {
  const handler = runner.collaborators.handlers.get(step.handler);
  if (handler === undefined) return { status: "failed", failure: failure("flow.unknown_handler", `there is no handler ${step.handler}`) };
  if (handler.kind === "operator" && place.frame.composed.definition.source.source !== "official") {
    return {
      status: "failed",
      failure: failure("flow.handler_not_allowed", `${step.handler} is the operator's: only official flows may call it`),
    };
  }
  const args = expand(step.args, place.scope, runner.run.budget.sizer);
  if (!isJsonObject(args)) return { status: "failed", failure: failure("kernel.invalid_args", "args must be a map") };
  if (handler.flow !== undefined) {
    const { flow_id: flow, inputs, timeout_ms } = handler.flow(args);
    return withTimeout({ id: step.id, timeout_ms }, place, (inner) =>
      runSubFlow(runner, { step, flow, input: () => inputs }, inner, attempt),
    );
  }
  const value = handler.run(args, handlerScope(runner, step, place, writes));
  return value instanceof Promise ? awaitHandler(value, place) : { status: "done", value: value ?? null };
}

/** The flow a step is about to run, which its journal binds it to; null for other steps and where that fails. */
export function childFlow(step: Step, place: Place, runner: StepExecutor): string | null {
  if (step.type === "flow") return step.flow;
  const handler = step.type === "handler" ? runner.collaborators.handlers.get(step.handler) : undefined;
  if (step.type !== "handler" || handler?.flow === undefined) return null;
  try {
    const args = expand(step.args, place.scope, runner.run.budget.sizer);
    return isJsonObject(args) ? handler.flow(args).flow_id : null;
  } catch {
    return null;
  }
}

async function awaitHandler(value: Promise<JsonValue>, place: Place): Promise<StepResult> {
  const stopped = Promise.withResolvers<"stopped">();
  const { signal } = place.stop;
  const onAbort = (): void => stopped.resolve("stopped");
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const first = await Promise.race([value.then((result) => ({ result })), stopped.promise]);
    return first === "stopped" ? { status: "stopped" } : { status: "done", value: first.result ?? null };
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function handlerScope(runner: StepExecutor, step: HandlerStep, place: Place, writes: Map<string, JsonValue>): HandlerScope {
  return {
    run_id: runner.run.runId,
    flow_id: place.frame.composed.definition.flow_id,
    step_id: step.id,
    phase: step.phase ?? place.phase,
    idempotency_key: `${runner.run.runId}:${place.key}${step.id}`,
    chain: place.frame.chain,
    principal: step.principal,
    ctx: {
      get: (key) => place.scope.get(key),
      set: (key, value) => {
        if (!isContextKey(key)) throw new FlowError("kernel.invalid_args", "not a context key");
        place.scope.set(key, value);
        writes.set(key, value);
      },
    },
    get signal() {
      return place.stop.signal;
    },
  };
}
