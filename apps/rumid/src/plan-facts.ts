import type { GrantBook } from "@rumi/capability";
import type { GrantedSubFlows, StepFunctions } from "@rumi/core-capabilities";
import type { PlanFacts } from "@rumi/flow-engine";
import { refuseRuntime } from "@rumi/pack-runtime";
import type { SandboxWatch, SnapshotChecks } from "@rumi/pack-runtime";

/** Grants as they stand, asked without a use being taken: for a look ahead. */
export function untaken(grants: Pick<GrantBook, "effective">): Pick<GrantBook, "effective" | "take"> {
  return { effective: (principal, permission) => grants.effective(principal, permission), take: () => true };
}

/** What a plan of a run asks of the house. `functions` and `subFlows` take no use of a grant. */
export function planFacts(deps: {
  readonly checks: Pick<SnapshotChecks, "gate">;
  readonly watch: Pick<SandboxWatch, "last" | "mode">;
  readonly functions: Pick<StepFunctions, "check">;
  readonly subFlows: GrantedSubFlows;
}): PlanFacts {
  const { checks, watch, functions, subFlows } = deps;
  return {
    pack(pack, digest) {
      const gate = checks.gate(pack, digest);
      return gate.allowed ? null : gate;
    },
    callable: (name, principal) => functions.check(name, principal),
    mayRunFlow: (principal, flowId) => subFlows.mayRunFlow(principal, flowId),
    runtime(runtime) {
      const fault = watch.last === null ? null : refuseRuntime(watch.last, watch.mode, runtime);
      if (fault === null) return null;
      return { allowed: false, code: fault.code, reason: fault.message, ...(fault.remedy === undefined ? {} : { remedy: fault.remedy }) };
    },
  };
}
