export { PackBlockRunner } from "./block-runner.ts";
export type { PackBlockRunnerDeps, PackBlockRunnerOptions } from "./block-runner.ts";
export { HOST_WARNING } from "./block-outcome.ts";

export { RunLogs } from "./run-logs.ts";
export type { RunLogLine } from "./run-logs.ts";
export { SnapshotChecks } from "./snapshot-checks.ts";

export { InstancePool } from "./instance-pool.ts";
export type { InstancePoolDeps } from "./instance-pool.ts";
export type { InstancePoolOptions } from "./pool-options.ts";
export type { InstanceFilter, InstanceView } from "./instance-view.ts";
export { BlockInstanceSpecs } from "./instance-specs.ts";
export type { BlockInstanceSpecsDeps, BlockInstanceSpecsOptions } from "./instance-specs.ts";
export { DOCKER_REQUIRED_TEXT, refuseRuntime, SandboxWatch } from "./sandbox-watch.ts";
export type { SandboxWatchDeps, SecurityMode } from "./sandbox-watch.ts";

export { InstanceGateway } from "./gateway/instance-gateway.ts";
export type { InstanceGatewayDeps, InstanceGatewayOptions, SocketPlace } from "./gateway/instance-gateway.ts";
export type { CallOrigin, CapabilityService, EgressService, Gateway, OpenGateway, SocketName } from "./gateway/ports.ts";

export { FlowCatalog, LEGACY_PATH_WARNING } from "./flow-catalog.ts";
export type { FlowCatalogDeps, FlowCatalogOptions, FlowChange, FlowLoad } from "./flow-catalog.ts";
export { openKernelHandlers, operatorKernelHandlers } from "./kernel-handlers.ts";
export type { OperatorHandlerDeps } from "./kernel-handlers.ts";
export { PendingExport } from "./pending-export.ts";
export type { PendingExportDeps } from "./pending-export.ts";
export { runtimesOf } from "./pack-runtimes.ts";
export { SnapshotBlockResolver } from "./snapshot-block-resolver.ts";
export { PackReviewReader } from "./review-reader.ts";
export type { KnownFlow } from "./review-modifiers.ts";

export { FunctionCatalog } from "./functions/function-catalog.ts";
export type { CatalogFunction, FunctionCatalogDeps } from "./functions/function-catalog.ts";
export { PackFunctions } from "./functions/pack-functions.ts";
export type { FunctionCallAsk, FunctionCallEnd, PackFunctionsDeps } from "./functions/pack-functions.ts";

export { EventBus } from "./interfaces/event-bus.ts";
export type { BusEvent, BusListener } from "./interfaces/event-bus.ts";
export { interfaceKernelHandlers } from "./interfaces/interface-handlers.ts";
export type { InterfaceHandlerDeps } from "./interfaces/interface-handlers.ts";
export type { ComponentPlace } from "./interfaces/interface-keys.ts";
export { InterfaceRegistry } from "./interfaces/interface-registry.ts";
export type { ComponentInterfaces, InterfaceRegistryDeps } from "./interfaces/interface-registry.ts";
export { rightsKernelHandlers } from "./rights-handlers.ts";
export type { RightsHandlerDeps } from "./rights-handlers.ts";

export { dictionaryKernelHandlers } from "./vocabulary/dictionary-handlers.ts";
export type { DictionaryHandlerDeps } from "./vocabulary/dictionary-handlers.ts";
export { PackConverters } from "./vocabulary/pack-converters.ts";
export type { ConvertAsk, Converted, PackConvertersDeps } from "./vocabulary/pack-converters.ts";
export { VocabularyCatalog } from "./vocabulary/vocabulary-catalog.ts";
export type { PackConverter, PackVocabFacts, VocabularyCatalogDeps } from "./vocabulary/vocabulary-catalog.ts";
export { vocabularyKernelHandlers } from "./vocabulary/vocabulary-handlers.ts";
export type { VocabularyHandlerDeps } from "./vocabulary/vocabulary-handlers.ts";

export { systemTimers } from "./timers.ts";
export { PackRuntimeError } from "./errors.ts";
export type { PackRuntimeErrorCode } from "./errors.ts";
export type { ApprovalGate, ApprovedSnapshot, InstanceSeed, InstanceSpecs, Timers } from "./ports.ts";
