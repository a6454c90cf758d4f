import { SYSTEM_PRINCIPAL } from "@rumi/core";
import type { Digest, FlowId, JsonValue, PackId, Refusal } from "@rumi/core";
import type { Step } from "./definition.ts";
import { FlowError } from "./errors.ts";
import type { ComposedFlow, FlowTable } from "./flow-table.ts";
import { acceptInputs } from "./inputs.ts";
import { isOwnFlow } from "./names.ts";
import { allSteps } from "./walk-steps.ts";

/** What only the rest of the house knows. Null: nothing stands in the way. Memory only. */
export interface PlanFacts {
  /** May this pack run, from these bytes? */
  pack(pack: PackId, digest: Digest): Refusal | null;
  /** Is there such a function for this principal? */
  callable(name: string, principal: string): Refusal | null;
  /** May this principal's flow start that one? */
  mayRunFlow(principal: string, flowId: FlowId): boolean;
  /** Does a sandbox answer for this runtime? */
  runtime(runtime: "python" | "node"): Refusal | null;
}

/** Something that a run would stumble over. `step` is null for the flow as a whole. */
export interface MissingPart {
  readonly step: string | null;
  readonly code: string;
  readonly message: string;
  readonly remedy: string | null;
}

/** Whether a flow could run now. Nothing was run. */
export interface FlowPlan {
  readonly digest: Digest;
  /** Ids of the top-level steps in the order they run. */
  readonly order: readonly string[];
  readonly missing: readonly MissingPart[];
}

/** Looks at everything that a run of `composed` would need. Pure. */
export function planFlow(composed: ComposedFlow, inputs: JsonValue, table: FlowTable, facts: PlanFacts): FlowPlan {
  const missing: MissingPart[] = [];
  try {
    acceptInputs(composed.definition, inputs);
  } catch (error) {
    if (!(error instanceof FlowError)) throw error;
    missing.push({ step: null, code: error.code, message: error.message, remedy: `rumi flow show ${composed.definition.flow_id}` });
  }
  for (const step of allSteps(composed.order)) {
    const found = missingOf(step, composed, table, facts);
    if (found !== null) missing.push({ step: step.id, ...found });
  }
  return { digest: composed.digest, order: composed.order.map((step) => step.id), missing };
}

type Found = Omit<MissingPart, "step">;

function missingOf(step: Step, composed: ComposedFlow, table: FlowTable, facts: PlanFacts): Found | null {
  switch (step.type) {
    case "python_file_call":
    case "node_file_call":
    case "file_call": {
      const target = composed.targets.get(step.id);
      if (target?.found !== true) {
        const message = target?.message ?? `there is no ${step.file} in pack ${step.owner_pack}`;
        return { code: "flow.missing_target", message, remedy: `rumi pack review ${step.owner_pack}` };
      }
      return told(facts.pack(step.owner_pack, target.digest)) ?? told(facts.runtime(step.runtime));
    }
    case "function":
      return told(facts.callable(step.function, step.principal));
    case "flow": {
      if (table.get(step.flow) === undefined)
        return { code: "flow.missing_target", message: `there is no flow ${step.flow}`, remedy: "rumi flow list" };
      const isFree = step.principal === SYSTEM_PRINCIPAL || isOwnFlow(step.principal, step.flow);
      if (isFree || facts.mayRunFlow(step.principal, step.flow)) return null;
      const remedy = `rumi grant add ${step.principal} flow.run --config '{"allowed_flow_ids":["${step.flow}"]}'`;
      return { code: "flow.run_denied", message: `${step.principal} may not run ${step.flow}`, remedy };
    }
    default:
      return null;
  }
}

function told(refusal: Refusal | null): Found | null {
  return refusal === null ? null : { code: refusal.code, message: refusal.reason, remedy: refusal.remedy ?? null };
}
