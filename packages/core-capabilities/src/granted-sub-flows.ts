import { isListed } from "@rumi/capability";
import type { GrantBook } from "@rumi/capability";
import type { FlowId, PackId, PermissionId } from "@rumi/core";
import type { SubFlowRights } from "@rumi/flow-engine";

const FLOW_RUN = "flow.run" as PermissionId;

/** Whether a pack's flow may start another pack's or a shared flow: the grant that its blocks would need, too. */
export class GrantedSubFlows implements SubFlowRights {
  readonly #grants: Pick<GrantBook, "effective" | "take">;

  constructor(deps: { readonly grants: Pick<GrantBook, "effective" | "take"> }) {
    this.#grants = deps.grants;
  }

  /** A yes takes one use of the grant. */
  mayRunFlow(principal: string, flowId: FlowId): boolean {
    const pack = principal as PackId;
    const held = this.#grants.effective(pack, FLOW_RUN);
    return held.allowed && isListed(held.config, "allowed_flow_ids", flowId) && this.#grants.take(pack, held);
  }
}
