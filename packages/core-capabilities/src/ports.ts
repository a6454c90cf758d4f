import type { Decision, ErrorCode, InstanceCaller, JsonObject, JsonValue, PackId, PermissionId, StoreId } from "@rumi/core";
import type { ApprovedPack } from "@rumi/approval";

/** Which bytes of a pack may run now. `PackApprovals` is one. Memory only. */
export interface ApprovedPacks {
  gate(packId: PackId): Decision<ApprovedPack, ErrorCode>;
}

/** The rights of packs, folded over their levels. `GrantBook` is one. Memory only. */
export interface HeldRights {
  effective(principal: PackId, permission: PermissionId): Decision<{ readonly config: JsonObject }, ErrorCode>;
}

/** Who may touch which store. `StoreRegistry` is one. Memory only. */
export interface StoreAccess {
  access(principal: PackId, store: StoreId, mode: "read" | "write"): Decision<object, ErrorCode>;
}

/** Where a list of keys goes on. `StoreCursors` is one. */
export interface ListCursors {
  encode(principal: PackId, store: StoreId, prefix: string, lastKey: string): string;
  /** The last key, or null for a cursor that was not made for exactly this list. */
  decode(principal: PackId, store: StoreId, prefix: string, cursor: unknown): string | null;
}

/** Reads one secret. `SecretStore` is one. */
export interface SecretReader {
  /** Null: absent, deleted or undecryptable. */
  read(key: string): Promise<string | null>;
}

/** A function of an approved pack, as others find it. */
export interface FoundFunction {
  readonly pack_id: PackId;
  /** `<pack_id>:<function_id>`. */
  readonly name: string;
  /** Rights its own pack must hold. */
  readonly requires: readonly string[];
  /** Rights a calling pack must hold. */
  readonly caller_requires: readonly string[];
}

/** One call of a function by a block. */
export interface FunctionAsk {
  /** `<pack_id>:<function_id>`. */
  readonly name: string;
  readonly args: JsonObject;
  readonly caller: InstanceCaller;
  /** Milliseconds the caller has left. */
  readonly timeout_ms: number;
}

/** How it ended. `code` and `message` are for operator and audit. */
export type FunctionEnd =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly error_type: string; readonly code: string; readonly message: string };

/** The functions of approved packs. `PackFunctions` of pack-runtime is one. */
export interface FunctionHouse {
  /** By `<pack_id>:<function_id>` or alias. Memory only. */
  find(name: string): FoundFunction | undefined;
  /** Runs it as its own pack. Never throws; abort means cancel. Rights were judged. */
  call(ask: FunctionAsk, signal: AbortSignal): Promise<FunctionEnd>;
}

/** One command in a container of its own. Everything is checked and within its caps. */
export interface ContainerAsk {
  readonly principal: PackId;
  /** Name or id of an image that must be there already. */
  readonly image: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly working_dir: string;
  readonly memory_bytes: number;
  readonly cpus: number;
  readonly pids: number;
  /** It is killed and removed after this. */
  readonly timeout_ms: number;
  /** Running containers the principal may have, this one included. */
  readonly max_containers: number;
}

/** Why a container was not made, or is not there. */
export type ContainerFault =
  | "docker_required"
  | "image_missing"
  | "container_limit"
  | "container_not_found"
  | "timeout"
  | "cancelled"
  | "failed";

/** A "no" of the engine; `reason` is for operator and audit. */
export interface ContainerRefusal {
  readonly ok: false;
  readonly fault: ContainerFault;
  readonly reason: string;
}

/** What a command printed, the first MiB of each stream. */
export interface CommandOutput {
  readonly exit_code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One container as its owner sees it. */
export interface ContainerView {
  readonly container_name: string;
  readonly image: string;
  readonly status: "running" | "exited";
  readonly exit_code: number | null;
  readonly started_at: string;
}

/** Containers that packs ask for, each owned by one principal. Nothing here ever throws. `DockerContainers` is one. */
export interface ContainerHouse {
  /** Runs to the end; nothing is left of it then. */
  run(
    ask: ContainerAsk,
    signal: AbortSignal,
  ): Promise<({ readonly ok: true; readonly container_name: string } & CommandOutput) | ContainerRefusal>;
  /** Starts it and returns; it ends by itself, by `stop`, or at its time limit. */
  start(ask: ContainerAsk): Promise<{ readonly ok: true; readonly container_name: string } | ContainerRefusal>;
  /** Runs one more command in a running one. Out of time: the whole container goes. */
  exec(
    ask: { readonly principal: PackId; readonly container_name: string; readonly command: readonly string[]; readonly timeout_ms: number },
    signal: AbortSignal,
  ): Promise<({ readonly ok: true } & CommandOutput) | ContainerRefusal>;
  stop(principal: PackId, containerName: string): Promise<{ readonly ok: true; readonly exit_code: number | null } | ContainerRefusal>;
  /** What a started one has printed since `sinceMs` (epoch), the last `tail` lines of each stream. */
  logs(
    principal: PackId,
    containerName: string,
    range: { readonly tail: number; readonly sinceMs: number },
  ): { readonly ok: true; readonly stdout: string; readonly stderr: string } | ContainerRefusal;
  list(principal: PackId): readonly ContainerView[];
}
