export { SandboxError } from "./errors.ts";
export type { SandboxErrorCode, SandboxOutcomeCode } from "./errors.ts";
export { RUN_FAILURES } from "./ports.ts";
export type {
  Convention,
  HeldInstance,
  Instance,
  InstanceEnd,
  InstanceLimits,
  InstancePurpose,
  InstanceSpec,
  Isolation,
  JobResult,
  JobSpec,
  LogLine,
  Mount,
  RunFacts,
  RunFailed,
  RunFailureType,
  RunOk,
  RunResult,
  RunSpec,
  Runtime,
  RuntimeImage,
  Sandbox,
  SandboxProbe,
  Transport,
  Weakness,
} from "./ports.ts";

export { checkMounts, SOCKET_TARGET } from "./check-mounts.ts";
export type { MountRules } from "./check-mounts.ts";
export {
  clipUtf8,
  failedRun,
  failureOfEnd,
  isAlive,
  isRunOk,
  MAX_MESSAGE_BYTES,
  MAX_TRACEBACK_BYTES,
  noFacts,
  outcomeCode,
} from "./run-result.ts";
