import { isJsonObject } from "@rumi/core";
import { ContextScope } from "./context.ts";
import type { SubFlowStep } from "./definition.ts";
import { expand } from "./expression.ts";
import { failure } from "./failure.ts";
import { acceptInputs } from "./inputs.ts";
import { MAX_CHAIN } from "./limits.ts";
import { isOwnFlow } from "./names.ts";
import { resultOf } from "./run-answer.ts";
import type { Place, StepResult, StepExecutor } from "./run-state.ts";
import type { Failure } from "./step-status.ts";
import { StopScope } from "./stop-scope.ts";

/** Runs another flow as a step: it sees only `input`, its result is the value. Takes no slot. */
export async function performSubFlow(runner: StepExecutor, step: SubFlowStep, place: Place, attempt: number): Promise<StepResult> {
  const { run } = runner;
  const composed = run.table.get(step.flow);
  if (composed === undefined) return { status: "missing", failure: failure("flow.missing_target", `there is no flow ${step.flow}`) };
  const refusal = await refuse(runner, step, place);
  if (refusal !== null) return { status: "failed", failure: refusal };
  const input = expand(step.input, place.scope, run.budget.sizer);
  const { values, warnings } = acceptInputs(composed.definition, input);
  for (const warning of warnings) run.warn(`${step.id}: ${warning}`);
  using stop = new StopScope(place.stop);
  using scope = ContextScope.root(run.budget);
  for (const [key, value] of values) scope.define(key, value);
  const marked = attempt === 1 ? step.id : `${step.id}@${attempt}`;
  const inputs = isJsonObject(input) ? Object.fromEntries(values) : {};
  const ending = await runner.runSteps(composed.order, {
    frame: { composed, chain: [...place.frame.chain, step.flow], inputs, stop, statuses: new Map() },
    scope,
    stop,
    path: `${place.path}${marked}/`,
    key: `${place.key}${step.id}/`,
    phase: "",
  });
  const own = stop.stoppedItself;
  if (own?.kind === "aborted")
    return { status: "failed", failure: failure("flow.child_aborted", `flow ${step.flow} aborted: ${own.reason}`) };
  if (ending === "stopped") return { status: "stopped" };
  if (ending !== null)
    return {
      status: "failed",
      failure: failure("flow.child_failed", `flow ${step.flow} failed: ${ending.message}`, { flow_id: step.flow, code: ending.code }),
    };
  return { status: "done", value: resultOf(composed.definition.outputs?.keys() ?? null, scope.own()) };
}

async function refuse(runner: StepExecutor, step: SubFlowStep, place: Place): Promise<Failure | null> {
  const { chain, composed: caller } = place.frame;
  const target = runner.run.table.get(step.flow);
  if (target?.definition.source.source === "official" && caller.definition.source.source !== "official") {
    return failure("flow.not_runnable", `${step.flow} is an official flow: it starts only at boot or on schedule`);
  }
  const { pack_id: pack } = caller.definition.source;
  if (pack !== null && !isOwnFlow(pack, step.flow)) {
    const allowed = (await runner.collaborators.rights?.mayRunFlow(step.principal, step.flow)) ?? false;
    if (!allowed) return failure("flow.run_denied", `${pack} may not run ${step.flow}`);
  }
  const chainText = [...chain, step.flow].join(" -> ");
  if (chain.includes(step.flow))
    return failure("flow.recursive", `flow ${step.flow} is already running here: ${chainText}`, { chain: [...chain, step.flow] });
  if (chain.length >= MAX_CHAIN)
    return failure("flow.depth_exceeded", `at most ${MAX_CHAIN} flows may call each other: ${chainText}`, { chain: [...chain, step.flow] });
  return null;
}
