import type { FlowId, JsonValue } from "@rumi/core";
import { isJsonObject, SYSTEM_PRINCIPAL } from "@rumi/core";
import { ContextScope } from "./context.ts";
import type { Step, SubFlowStep } from "./definition.ts";
import { expand } from "./expression.ts";
import { failure } from "./failure.ts";
import { acceptInputs } from "./inputs.ts";
import { MAX_CHAIN } from "./limits.ts";
import { isOwnFlow } from "./names.ts";
import { resultOf } from "./run-answer.ts";
import type { Place, StepResult, StepExecutor } from "./run-state.ts";
import type { Failure } from "./step-status.ts";
import { StopScope } from "./stop-scope.ts";

/** Runs the flow of a `flow` step. */
export function performSubFlow(runner: StepExecutor, step: SubFlowStep, place: Place, attempt: number): Promise<StepResult> {
  return runSubFlow(
    runner,
    { step, flow: step.flow, input: () => expand(step.input, place.scope, runner.run.budget.sizer) },
    place,
    attempt,
  );
}

/** A flow that a step runs. */
export interface SubFlowCall {
  readonly step: Step;
  readonly flow: string;
  /** Asked once the flow may run. May throw. */
  readonly input: () => JsonValue;
}

/** Runs another flow as a step: it sees only `input`, its result is the value. Takes no slot. */
export async function runSubFlow(runner: StepExecutor, call: SubFlowCall, place: Place, attempt: number): Promise<StepResult> {
  const { run } = runner;
  const { step, flow } = call;
  const composed = run.table.get(flow);
  if (composed === undefined) return { status: "missing", failure: failure("flow.missing_target", `there is no flow ${flow}`) };
  const { flow_id: flowId } = composed.definition;
  const refusal = await refuse(runner, step.principal, flowId, place);
  if (refusal !== null) return { status: "failed", failure: refusal };
  const input = call.input();
  const { values, warnings } = acceptInputs(composed.definition, input);
  for (const warning of warnings) run.warn(`${step.id}: ${warning}`);
  using stop = new StopScope(place.stop);
  using scope = ContextScope.root(run.budget);
  for (const [key, value] of values) scope.define(key, value);
  const marked = attempt === 1 ? step.id : `${step.id}@${attempt}`;
  const inputs = isJsonObject(input) ? Object.fromEntries(values) : {};
  const ending = await runner.runSteps(composed.order, {
    frame: { composed, chain: [...place.frame.chain, flowId], inputs, stop, statuses: new Map() },
    scope,
    stop,
    path: `${place.path}${marked}/`,
    key: `${place.key}${step.id}/`,
    phase: "",
  });
  const own = stop.stoppedItself;
  if (own?.kind === "aborted") return { status: "failed", failure: failure("flow.child_aborted", `flow ${flow} aborted: ${own.reason}`) };
  if (ending === "stopped") return { status: "stopped" };
  if (ending !== null)
    return {
      status: "failed",
      failure: failure("flow.child_failed", `flow ${flow} failed: ${ending.message}`, { flow_id: flow, code: ending.code }),
    };
  return { status: "done", value: resultOf(composed.definition.outputs?.keys() ?? null, scope.own()) };
}

/** Whose step it is decides: one that a modifier brought acts as the modifier's pack, wherever it stands. */
async function refuse(runner: StepExecutor, principal: string, flow: FlowId, place: Place): Promise<Failure | null> {
  const { chain, composed: caller } = place.frame;
  const target = runner.run.table.get(flow);
  if (target?.definition.source.source === "official" && caller.definition.source.source !== "official") {
    return failure("flow.not_runnable", `${flow} is an official flow: it starts only at boot or on schedule`);
  }
  if (principal !== SYSTEM_PRINCIPAL && !isOwnFlow(principal, flow)) {
    const allowed = (await runner.collaborators.rights?.mayRunFlow(principal, flow)) ?? false;
    if (!allowed) return failure("flow.run_denied", `${principal} may not run ${flow}`);
  }
  const chainText = [...chain, flow].join(" -> ");
  if (chain.includes(flow))
    return failure("flow.recursive", `flow ${flow} is already running here: ${chainText}`, { chain: [...chain, flow] });
  if (chain.length >= MAX_CHAIN)
    return failure("flow.depth_exceeded", `at most ${MAX_CHAIN} flows may call each other: ${chainText}`, { chain: [...chain, flow] });
  return null;
}
