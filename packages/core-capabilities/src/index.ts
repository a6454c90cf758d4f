export { createCoreCapabilities } from "./core-capabilities.ts";
export type { CoreCapabilitiesDeps, CoreCapabilitiesOptions } from "./core-capabilities.ts";
export { CapabilityTable } from "./capability-table.ts";
export { PackEgressPolicy } from "./pack-egress-policy.ts";
export type { NetworkVerdicts, PackEgressPolicyDeps } from "./pack-egress-policy.ts";
export { GrantedSecretBroker } from "./granted-secret-broker.ts";
export type { GrantedSecretBrokerDeps } from "./granted-secret-broker.ts";
export { StepFunctions } from "./step-functions.ts";
export type { StepFunctionsDeps } from "./step-functions.ts";
export { GrantedSubFlows } from "./granted-sub-flows.ts";
export { PackHandlers } from "./pack-handlers.ts";
export type { PackHandlersDeps, PackHandlersOptions } from "./pack-handlers.ts";
export type {
  ApprovedPacks,
  CommandOutput,
  ContainerAsk,
  ContainerFault,
  ContainerHouse,
  ContainerRefusal,
  ContainerView,
  FoundFunction,
  FunctionAsk,
  FunctionEnd,
  FunctionHouse,
  HeldRights,
  ListCursors,
  SecretReader,
  StoreAccess,
} from "./ports.ts";
