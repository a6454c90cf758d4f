export { CoreError, RumiError } from "./errors.ts";
export type { CoreErrorCode, Decision, ErrorCode, Refusal, RumiErrorOptions } from "./errors.ts";
export {
  Digest,
  digestHex,
  FlowId,
  PackId,
  PermissionId,
  principalChain,
  RunId,
  SecretKey,
  StepId,
  StoreId,
  SYSTEM_PRINCIPAL,
} from "./ids.ts";
export type { InFlightCall, InstanceCaller, SocketOwner } from "./instance-caller.ts";
export { canonicalJson, findForbiddenKey, FORBIDDEN_KEYS, isJsonObject, jsonDepth, jsonDigest, sha256 } from "./json.ts";
export type { JsonObject, JsonValue } from "./json.ts";
export { MAX_INPUT_DEPTH, MAX_PACK_JSON_BYTES, MAX_RESPONSE_BYTES, MIB } from "./limits.ts";
export { AUDIT_CATEGORIES, isoTime, systemClock } from "./ports.ts";
export type {
  AuditCategory,
  AuditEvent,
  AuditSeverity,
  AuditSink,
  Clock,
  DiagnosticsSink,
  ExecutionMode,
  Logger,
  LogLevel,
  PartReport,
  PartStatus,
  Random,
} from "./ports.ts";
export { createRunId, systemRandom } from "./random.ts";
