import type { Api, DaemonPort } from "@rumi/api";
import type { TokenRegistry } from "@rumi/api";
import type { PackApprovals } from "@rumi/approval";
import type { CapabilityBroker, GrantBook, HostPrivileges, NetworkGrants, SqliteUseCounters, TrustStore } from "@rumi/capability";
import type { CapabilityTable, GrantedSecretBroker, PackHandlers } from "@rumi/core-capabilities";
import type { EgressProxy, EgressReports } from "@rumi/egress";
import type { FlowRunner, KernelHandler, Scheduler } from "@rumi/flow-engine";
import type { LibRuns } from "@rumi/pack-lifecycle";
import type {
  FlowCatalog,
  EventBus,
  FunctionCatalog,
  InstanceGateway,
  InstancePool,
  InterfaceRegistry,
  PackBlockRunner,
  PackFunctions,
  PendingExport,
  RunLogs,
  SandboxWatch,
  SnapshotChecks,
  VocabularyCatalog,
} from "@rumi/pack-runtime";
import type { Sandbox } from "@rumi/sandbox";
import type { DockerContainers } from "@rumi/sandbox-docker";
import type { StoreCursors, StoreRegistry } from "@rumi/store";
import type { SharedDictionary } from "@rumi/vocabulary";
import type { InjectionToken } from "tsyringe";
import type { Foundations } from "./foundations.ts";
import type { FileImagePins } from "./state-files.ts";

/** Every part of the daemon by the type it answers with. */
export const PART = {
  foundations: part<Foundations>("foundations"),
  sandbox: part<Sandbox>("sandbox"),
  pins: part<FileImagePins>("pins"),
  daemon: part<DaemonPort>("daemon"),
  sandboxWatch: part<SandboxWatch>("sandboxWatch"),
  pool: part<InstancePool>("pool"),
  approvals: part<PackApprovals>("approvals"),
  checks: part<SnapshotChecks>("checks"),
  logs: part<RunLogs>("logs"),
  blocks: part<PackBlockRunner>("blocks"),
  handlers: part<readonly KernelHandler[]>("handlers"),
  catalog: part<FlowCatalog>("catalog"),
  runner: part<FlowRunner>("runner"),
  pending: part<PendingExport>("pending"),
  scheduler: part<Scheduler>("scheduler"),
  vocabulary: part<VocabularyCatalog>("vocabulary"),
  libs: part<LibRuns>("libs"),
  dictionary: part<SharedDictionary>("dictionary"),
  interfaces: part<InterfaceRegistry>("interfaces"),
  bus: part<EventBus>("bus"),
  tokens: part<TokenRegistry>("tokens"),
  api: part<Api>("api"),

  stores: part<StoreRegistry>("stores"),
  cursors: part<StoreCursors>("cursors"),
  uses: part<SqliteUseCounters>("uses"),
  grants: part<GrantBook>("grants"),
  network: part<NetworkGrants>("network"),
  privileges: part<HostPrivileges>("privileges"),
  trust: part<TrustStore>("trust"),
  reports: part<EgressReports>("reports"),
  secretBroker: part<GrantedSecretBroker>("secretBroker"),
  egress: part<EgressProxy>("egress"),
  containers: part<DockerContainers | null>("containers"),
  functionCatalog: part<FunctionCatalog>("functionCatalog"),
  functions: part<PackFunctions>("functions"),
  packHandlers: part<PackHandlers>("packHandlers"),
  capabilities: part<CapabilityTable>("capabilities"),
  broker: part<CapabilityBroker>("broker"),
  gateway: part<InstanceGateway>("gateway"),
} as const;

/** A typed token of the container. */
export type Part<T> = InjectionToken<T>;

function part<T>(name: string): Part<T> {
  return Symbol(name);
}

/** Gives any part, making it when it is first asked for. */
export type Get = <T>(token: Part<T>) => T;
/** Says how a part is made. */
export type Make = <T>(token: Part<T>, factory: (get: Get) => T) => void;
