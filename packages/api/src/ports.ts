import type { JsonObject, JsonValue, PackId, PermissionId, SecretKey, StoreId } from "@rumi/core";
import type { EngineStatus, ImagePin, InstanceView } from "./schemas/containers.ts";
import type { AuditFilterQuery, AuditVerdict, DaemonStatus, DiagnosticsAnswer, DiagnosticsQuery, HealthAnswer } from "./schemas/daemon.ts";
import type {
  DictionaryProposal,
  DictionaryProposed,
  DictionaryRemoval,
  DictionaryRemoved,
  DictionaryRuleView,
} from "./schemas/dictionary.ts";
import type { LibEnd, LibRecordView } from "./schemas/libs.ts";
import type { StreamEvent } from "./event-stream.ts";
import type { FlowDiff, FlowPlan, FlowsLoaded, LoadProblem, ModifierChange, ModifierRecord, ScheduleStatus } from "./schemas/flow-work.ts";
import type { EffectiveFlow, FlowDetail, FlowSummary, Run, RunLogLine, RunRecord, RunState } from "./schemas/flows.ts";
import type { NetworkAsk, NetworkGranted, NetworkListing, NetworkReport, NetworkVerdict } from "./schemas/network.ts";
import type { ApproveAnswer, PackReview, PackState, PackSummary, RejectAnswer, ScanAnswer } from "./schemas/packs.ts";
import type {
  BatchAnswer,
  DeclaredAnswer,
  GrantAnswer,
  GrantAsk,
  GrantRecord,
  PackPrivileges,
  PrivilegeAnswer,
  PrivilegeId,
  ResetAnswer,
} from "./schemas/rights.ts";
import type { SecretKeyRotated, SecretListing, SecretSetAnswer } from "./schemas/secrets.ts";
import type { ShareAsk, ShareMode, ShareView, StoreAsk, StoreImported, StoreKeysPage, StoreView } from "./schemas/stores.ts";
import type { TokenRecord } from "./schemas/tokens.ts";

/** A value now or soon: in-memory answers need no promise. */
export type Soon<T> = T | Promise<T>;

/**
 * Packs and the decisions on them. Every method that names a pack first looks at its folder, so none needs a scan before it.
 * All @throws RumiError, e.g. `approval.pack_not_found`, `approval.digest_moved`, `approval.blocked`.
 */
export interface PacksPort {
  list(): Soon<readonly PackSummary[]>;
  /** Looks at every folder first; installed and modified packs. */
  pending(): Soon<readonly PackSummary[]>;
  status(packId: string): Soon<PackState>;
  review(packId: string): Soon<PackReview>;
  scan(): Soon<ScanAnswer>;
  /** Without `expected_digest` the live tree is approved. */
  approve(
    packId: string,
    options: { readonly expected_digest?: string; readonly unblock?: boolean; readonly notes?: string; readonly actor: string },
  ): Soon<ApproveAnswer>;
  reject(packId: string, options: { readonly reason?: string; readonly actor: string }): Soon<RejectAnswer>;
  /** The pack's bytes are untouched; a disabled pack's calls are refused. */
  enable(packId: string, actor: string): Soon<unknown>;
  disable(packId: string, actor: string): Soon<unknown>;
}

/** The flows that could run now. Null for an unknown id. */
export interface FlowsPort {
  list(): Soon<readonly FlowSummary[]>;
  get(flowId: string): Soon<FlowDetail | null>;
  effective(flowId: string): Soon<EffectiveFlow | null>;
}

/**
 * Flows before they run, and the operator's own flow files. Null for an unknown flow or file. A file with an error is refused with
 * all its problems as issues, and nothing is changed. @throws RumiError `flow.*` `modifier.*` `approval.pack_not_found`
 */
export interface FlowWorkPort {
  plan(flowId: string, inputs: JsonObject): Soon<FlowPlan | null>;
  /** Exactly one of `source` and `pack_id` is there. */
  diff(flowId: string, change: { readonly source?: string | undefined; readonly pack_id?: PackId | undefined }): Soon<FlowDiff | null>;
  reload(): Soon<FlowsLoaded>;
  putFlow(id: string, source: string, actor: string): Soon<FlowsLoaded>;
  removeFlow(id: string, actor: string): Soon<FlowsLoaded | null>;
  /** Of one pack, or all. Of a dry run also `problems` and `effective`; nothing is published. */
  modifiers(filter: { readonly pack_id?: PackId; readonly dry_run: boolean }): Soon<{
    readonly modifiers: readonly ModifierRecord[];
    readonly problems?: readonly LoadProblem[];
    readonly effective?: readonly EffectiveFlow[];
  }>;
  putModifier(id: string, source: string, options: { readonly dry_run: boolean }, actor: string): Soon<ModifierChange>;
  removeModifier(id: string, options: { readonly dry_run: boolean }, actor: string): Soon<ModifierChange | null>;
}

/** Flows that start by themselves. @throws RumiError `schedule.not_found` */
export interface SchedulesPort {
  list(): Soon<readonly ScheduleStatus[]>;
  setEnabled(flowId: string, enabled: boolean, actor: string): Soon<ScheduleStatus>;
  /** @throws RumiError what starting a run throws */
  trigger(flowId: string, actor: string): Soon<{ readonly run_id: string }>;
}

/** One run asked for. Inputs are data; nothing here carries code, steps or a principal. */
export interface RunRequest {
  readonly flow_id: string;
  readonly inputs: JsonObject;
  readonly timeout_ms: number;
  /** The token's actor, `token:<id>`; runs are shown to it alone when it may only run. */
  readonly caller: string;
  /** The effective digest the caller expects; another one is refused. */
  readonly digest?: string;
  /** Called once when the run has its id. A runner that cannot say it answers an `async` request at the end instead. */
  readonly on_started?: (runId: string) => void;
}

/** Runs of flows. @throws RumiError `flow.not_found` `flow.not_runnable` `flow.too_many_runs` `flow.invalid_input` `flow.input_type` `storage.full` */
export interface RunsPort {
  /** Resolves when the run has ended, however it ended. A client that leaves does not reach here. */
  run(request: RunRequest): Promise<Run>;
  /** Newest first, at most `limit`. @throws RumiError `request.invalid` when there is no run `before` */
  list(filter: {
    readonly flow_id?: string;
    readonly state?: RunState;
    readonly caller?: string;
    /** Only runs older than this one. */
    readonly before?: string;
    readonly limit: number;
  }): Soon<readonly RunRecord[]>;
  get(runId: string): Soon<RunRecord | null>;
  /** What blocks printed, of one step or of all, oldest first. */
  logs(runId: string, stepId?: string): Soon<readonly RunLogLine[]>;
  /** Events after number `after`: those that were, then those that come, each once. Ends with the run, at once for one that has ended, and when `signal` aborts. */
  events(runId: string, after: number, signal: AbortSignal): AsyncIterable<StreamEvent>;
  /** @throws RumiError `flow.run_not_found` `flow.run_finished` */
  cancel(runId: string, reason: string | undefined, actor: string): Soon<{ readonly state: string }>;
}

/** The sandbox as an operator sees it. */
export interface SandboxStatusPort {
  status(options?: { readonly fresh?: boolean }): Soon<EngineStatus>;
  /** Pins the images that the configured names mean now; all runtimes without one. @throws RumiError `sandbox.image_missing` `sandbox.docker_required` */
  pin(runtime: "python" | "node" | undefined, actor: string): Soon<readonly ImagePin[]>;
}

/** Warm instances of packs. @throws RumiError `approval.*` `sandbox.*` */
export interface InstancesPort {
  list(): Soon<readonly InstanceView[]>;
  /** Starts an instance of the approved digest, for each runtime the pack uses when none is named. */
  start(packId: string, runtime: "python" | "node" | undefined, actor: string): Soon<readonly InstanceView[]>;
  /** Stops after the calls in flight; answers what was stopped. */
  stop(packId: string, runtime: "python" | "node" | undefined, actor: string): Soon<readonly InstanceView[]>;
  /** Removes at once, calls in flight end `cancelled`; answers what was removed. */
  remove(packId: string, runtime: "python" | "node" | undefined, actor: string): Soon<readonly InstanceView[]>;
}

/** Rights of packs. Every change is audited before it counts. @throws RumiError `capability.*` `audit.unavailable` */
export interface GrantsPort {
  /** Of one principal, or of every one that has a record. */
  list(principalId?: PackId): Soon<readonly GrantRecord[]>;
  /** Replaces the config of a right that is held. Beyond what is declared: warned about, and marked `undeclared` from then on. */
  grant(ask: GrantAsk, actor: string): Soon<GrantAnswer>;
  /** `"*"` takes every right. @throws RumiError `capability.grant_not_found` */
  revoke(
    ask: { readonly principal_id: PackId; readonly permission_id: PermissionId | "*"; readonly reason?: string },
    actor: string,
  ): Soon<{ readonly revoked: number }>;
  /** Each for itself, in order, as it was sent. @throws RumiError `capability.batch_too_large`: nothing is granted */
  batch(grants: readonly JsonObject[], actor: string): Soon<BatchAnswer>;
  /** Drops the record of a principal whose file was changed by something else. @throws RumiError `capability.grant_not_found` */
  reset(principalId: PackId, actor: string): Soon<ResetAnswer>;
  /** Gives what an approved pack declares, but no `"*"` and no private address. What cannot be given is a warning. */
  grantDeclared(packId: PackId, actor: string): Soon<DeclaredAnswer>;
  /**
   * Takes one key out of the `secrets.use` and `secrets.get` rights of a pack; a right that would be left without a key goes.
   * @throws RumiError `capability.grant_not_found` when neither names it
   */
  withdrawSecret(
    ask: { readonly pack_id: PackId; readonly key: SecretKey; readonly reason?: string },
    actor: string,
  ): Soon<{ readonly revoked: number }>;
}

/** What packs may reach of the outside. @throws RumiError `capability.*` `egress.*` */
export interface NetworkPort {
  list(): Soon<NetworkListing>;
  /** Replaces the grant there is and keeps its first `granted_at`. */
  grant(ask: NetworkAsk, actor: string): Soon<NetworkGranted>;
  /** @throws RumiError `capability.grant_not_found` */
  revoke(packId: PackId, reason: string | undefined, actor: string): Soon<{ readonly pack_id: string; readonly revoked: boolean }>;
  /** No name is resolved, nothing is sent. */
  check(packId: PackId, domain: string, port: number): Soon<NetworkVerdict>;
  /** Lets a pack reach global hosts without a grant for so long, and notes them; 0 ends it. */
  startReport(packId: PackId, seconds: number, actor: string): Soon<{ readonly until: string | null }>;
  report(packId: PackId): Soon<NetworkReport>;
}

/** Secrets: what goes in never comes out here. @throws RumiError `secrets.*` */
export interface SecretsPort {
  list(): Soon<SecretListing>;
  /** `value` stands in no answer, error, log or audit entry. */
  set(key: SecretKey, value: string, actor: string): Soon<SecretSetAnswer>;
  /** @throws RumiError `secrets.not_found` when it never existed */
  delete(key: SecretKey, actor: string): Soon<unknown>;
  /** Seals every secret under a new key. */
  rotateKey(actor: string): Soon<SecretKeyRotated>;
}

/** Powers of packs over the host. @throws RumiError `capability.invalid_config` `capability.grant_not_found` */
export interface PrivilegesPort {
  list(): Soon<readonly PackPrivileges[]>;
  grant(packId: PackId, privilege: PrivilegeId, config: JsonValue | undefined, actor: string): Soon<PrivilegeAnswer>;
  revoke(packId: PackId, privilege: PrivilegeId, actor: string): Soon<unknown>;
}

/** Stores of packs, and who may use another's. @throws RumiError `store.*` */
export interface StoresPort {
  list(): Soon<readonly StoreView[]>;
  keys(storeId: StoreId, range: { readonly prefix: string; readonly limit: number; readonly cursor?: string }): Soon<StoreKeysPage>;
  /** Undefined when the key is absent. */
  value(storeId: StoreId, key: string): Soon<JsonValue | undefined>;
  create(ask: StoreAsk, actor: string): Soon<unknown>;
  /** A store that holds keys goes only with `force`. */
  delete(storeId: StoreId, options: { readonly force: boolean }, actor: string): Soon<unknown>;
  /** `path` is a folder on the daemon's disk. */
  import(storeId: StoreId, options: { readonly path: string; readonly overwrite: boolean }, actor: string): Soon<StoreImported>;
  shares(): Soon<readonly ShareView[]>;
  share(ask: ShareAsk & { readonly mode: ShareMode }, actor: string): Soon<unknown>;
  /** @throws RumiError `store.not_found` */
  unshare(ask: ShareAsk, actor: string): Soon<unknown>;
}

/** The words that operators agree on. @throws RumiError `dict.unavailable` */
export interface DictionaryPort {
  /** Of all namespaces or one, by namespace, then token. */
  list(namespace?: string): Soon<readonly DictionaryRuleView[]>;
  /** The same rule again is accepted. @throws RumiError `dict.rejected` `dict.conflict` `dict.cycle_detected` */
  propose(rule: DictionaryProposal, actor: string): Soon<DictionaryProposed>;
  /** @throws RumiError `dict.not_found` */
  remove(ask: DictionaryRemoval, actor: string): Soon<DictionaryRemoved>;
}

/** What packs do once before they serve. */
export interface LibsPort {
  /** The last success of each pack and the failure after it, by pack. */
  list(): Soon<readonly LibRecordView[]>;
  /** True when there was something to forget. */
  clear(packId: string, actor: string): Soon<boolean>;
  /** Runs what is due of one pack, or of every pack that may run. What a lib does wrong is told, not thrown. */
  process(packId?: string): Soon<readonly LibEnd[]>;
}

/** The daemon itself. */
export interface DaemonPort {
  /** Memory only: asked on every request. */
  phase(): "starting" | "running" | "stopping";
  /** Why no right of this home holds, and what to do; null when its rights hold. Memory only. */
  locked(): { readonly reason: string; readonly remedy: string } | null;
  health(): Soon<HealthAnswer>;
  status(): Soon<DaemonStatus>;
  /** The counts of `pending/summary.json`. */
  pending(): Soon<unknown>;
  diagnostics(filter: DiagnosticsQuery): Soon<DiagnosticsAnswer>;
}

/** Reading the audit log. */
export interface AuditReadPort {
  query(
    filter: AuditFilterQuery & { readonly limit: number; readonly cursor?: string },
  ): Soon<{ readonly items: readonly unknown[]; readonly next_cursor: string | null }>;
  summary(): Soon<unknown>;
  verify(): Soon<AuditVerdict>;
}

/** Where token records are kept, signed. `tampered`: no token holds. */
export interface TokenStore {
  load(): Promise<
    | { readonly state: "absent" }
    | { readonly state: "ok"; readonly tokens: readonly TokenRecord[] }
    | { readonly state: "tampered"; readonly reason: string }
  >;
  /** Replaces all records in one atomic write. */
  save(tokens: readonly TokenRecord[]): Promise<void>;
}

/** Texts of one language: message key to template with `{name}` holes. */
export type Messages = ReadonlyMap<string, string>;
