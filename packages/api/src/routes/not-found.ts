import { RumiError } from "@rumi/core";

/** @throws RumiError `flow.not_found`, always */
export function refuseUnknownFlow(flowId: string): never {
  throw new RumiError("flow.not_found", "there is no such flow", { details: { flow_id: flowId } });
}

/** @throws RumiError `flow.run_not_found`, always */
export function refuseUnknownRun(runId: string): never {
  throw new RumiError("flow.run_not_found", "there is no such run", { details: { run_id: runId } });
}
