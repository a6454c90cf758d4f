import type { AuditSink, Clock, Logger, Random } from "@rumi/core";
import type { AuditReadPort, DaemonPort, FlowsPort, InstancesPort, PacksPort, RunsPort, SandboxStatusPort } from "./ports.ts";
import type { TokenRegistry } from "./token-registry.ts";

/** Everything the API asks of the house. */
export interface ApiDeps {
  readonly packs: PacksPort;
  readonly flows: FlowsPort;
  readonly runs: RunsPort;
  readonly sandbox: SandboxStatusPort;
  readonly instances: InstancesPort;
  readonly daemon: DaemonPort;
  readonly audit: AuditReadPort;
  readonly auditSink: AuditSink;
  readonly tokens: TokenRegistry;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}
