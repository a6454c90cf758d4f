import type { AuditSink, Clock, Logger, Random } from "@rumi/core";
import type {
  AuditReadPort,
  DaemonPort,
  DictionaryPort,
  LibsPort,
  FlowsPort,
  FlowWorkPort,
  GrantsPort,
  InstancesPort,
  NetworkPort,
  PacksPort,
  PrivilegesPort,
  RunsPort,
  SandboxStatusPort,
  SchedulesPort,
  SecretsPort,
  StoresPort,
} from "./ports.ts";
import type { TokenRegistry } from "./token-registry.ts";

/** Everything the API asks of the house. */
export interface ApiDeps {
  readonly packs: PacksPort;
  readonly flows: FlowsPort;
  readonly flowWork: FlowWorkPort;
  readonly runs: RunsPort;
  readonly schedules: SchedulesPort;
  readonly sandbox: SandboxStatusPort;
  readonly instances: InstancesPort;
  readonly grants: GrantsPort;
  readonly network: NetworkPort;
  readonly secrets: SecretsPort;
  readonly privileges: PrivilegesPort;
  readonly stores: StoresPort;
  readonly dictionary: DictionaryPort;
  readonly libs: LibsPort;
  readonly daemon: DaemonPort;
  readonly audit: AuditReadPort;
  readonly auditSink: AuditSink;
  readonly tokens: TokenRegistry;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Takes every value of a live secret, in every form, out of one text. Every text of every answer passes it. */
  readonly redact: (text: string) => string;
}
