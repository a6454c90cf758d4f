import type { Clock, Random } from "@rumi/core";
import type { Capability } from "@rumi/capability";
import type { FlowRunner } from "@rumi/flow-engine";
import type { SignedFiles } from "@rumi/safe-files";
import type { KvStore } from "@rumi/store";
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
  /** `RUMI_SECRET_GET_RATE_LIMIT`. */
  readonly secretGetPerMinute?: number;
}

/** Every host power that ships in the box. */
export function createCoreCapabilities(_deps: CoreCapabilitiesDeps, _options: CoreCapabilitiesOptions): readonly Capability[] {
  return [];
}
