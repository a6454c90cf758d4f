export { createApi } from "./api.ts";
export type { Api, ApiOptions } from "./api.ts";
export type { ApiEnv } from "./request-context.ts";
export { serveApi } from "./serve.ts";
export type { ApiServer, ServeOptions } from "./serve.ts";
export { DEFAULT_API_LIMITS, DEFAULT_SERVER_LIMITS } from "./limits.ts";
export type { ApiLimits, ServerLimits } from "./limits.ts";

export { ROUTES } from "./route-table.ts";
export type { RouteName } from "./route-table.ts";
export { openApiDocument } from "./openapi.ts";

export { CODES, codeEntry, fillRemedy } from "./codes.ts";
export type { CodeEntry } from "./codes.ts";
export { ApiError } from "./errors.ts";
export { withoutSecret } from "./secret-grants.ts";
export type { ApiErrorCode, RequestIssue } from "./errors.ts";
export type { Envelope, FailureData } from "./envelope.ts";

export { LANGUAGES, parseMessages } from "./messages.ts";
export type { Language } from "./messages.ts";

export { TokenRegistry } from "./token-registry.ts";
export type { Caller, NewToken, TokenRegistryDeps } from "./token-registry.ts";
export { TokenRecord } from "./schemas/tokens.ts";
export type { IssuedToken, Scope, TokenView } from "./schemas/tokens.ts";

export type { ApiDeps } from "./deps.ts";
export type {
  AuditReadPort,
  DaemonPort,
  DictionaryPort,
  LibsPort,
  FlowsPort,
  FlowWorkPort,
  GrantsPort,
  InstancesPort,
  Messages,
  NetworkPort,
  PacksPort,
  PrivilegesPort,
  RunRequest,
  RunsPort,
  SandboxStatusPort,
  SchedulesPort,
  SecretsPort,
  Soon,
  StoresPort,
  TokenStore,
} from "./ports.ts";
export type { NetworkGrantView } from "./schemas/network.ts";
export type { GrantRecord } from "./schemas/rights.ts";
export type { EngineStatus, ImagePin, InstanceView } from "./schemas/containers.ts";
export type { AuditFilterQuery, AuditVerdict, DaemonStatus, DiagnosticsAnswer, DiagnosticsQuery, HealthAnswer } from "./schemas/daemon.ts";
export type { FlowDiff, FlowPlan, FlowsLoaded, LoadProblem, ModifierChange, ModifierRecord } from "./schemas/flow-work.ts";
export type { EffectiveFlow, FlowDetail, FlowSummary, Run, RunLogLine, RunRecord, RunState } from "./schemas/flows.ts";
export type {
  ApproveAnswer,
  PackFault,
  PackReview,
  PackState,
  PackStatus,
  PackSummary,
  RejectAnswer,
  ReviewChange,
  ReviewFile,
  ScanAnswer,
} from "./schemas/packs.ts";
