import type { Capability } from "@rumi/capability";
import type { Clock, Random } from "@rumi/core";
import type { FlowRunner } from "@rumi/flow-engine";
import type { SignedFiles } from "@rumi/safe-files";
import type { KvStore } from "@rumi/store";
import { dockerCapabilities } from "./docker-capabilities.ts";
import { flowRun } from "./flow-run.ts";
import { functionCall } from "./function-call.ts";
import { inboxSend } from "./inbox-send.ts";
import { proposePatch } from "./propose-patch.ts";
import { secretsGet } from "./secrets-get.ts";
import { storeCapabilities } from "./store-capabilities.ts";
import type { ApprovedPacks, ContainerHouse, FunctionHouse, HeldRights, ListCursors, SecretReader, StoreAccess } from "./ports.ts";

export interface CoreCapabilitiesDeps {
  readonly rights: HeldRights;
  readonly approvals: ApprovedPacks;
  readonly secrets: SecretReader;
  readonly kv: KvStore;
  readonly stores: StoreAccess;
  readonly cursors: ListCursors;
  readonly flows: Pick<FlowRunner, "run">;
  readonly functions: FunctionHouse;
  /** Null where no engine gives containers: every docker.* call is then `docker_required`. */
  readonly containers: ContainerHouse | null;
  readonly signed: SignedFiles;
  readonly clock: Clock;
  readonly random: Random;
}

export interface CoreCapabilitiesOptions {
  /** The daemon's `user_data`. */
  readonly userData: string;
}

/** Every host power that ships in the box. */
export function createCoreCapabilities(deps: CoreCapabilitiesDeps, options: CoreCapabilitiesOptions): readonly Capability[] {
  return [
    secretsGet(deps),
    ...storeCapabilities(deps),
    flowRun(deps),
    functionCall(deps),
    ...dockerCapabilities(deps),
    inboxSend(deps, options.userData),
    proposePatch(deps, options.userData),
  ];
}
