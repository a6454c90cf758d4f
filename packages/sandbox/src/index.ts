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
  FORWARD_PROXY_ENV,
  instanceEnvironment,
  isRunnerReadable,
  MAX_OPEN_FILES,
  RUNNER_COMMAND,
  RUNNER_TARGET,
  RUNNER_UNREADABLE,
  SANDBOX_ID,
  SANDBOX_PATH,
  SHM_BYTES,
  TMP_INODES,
  withEnvironment,
} from "./inside.ts";
export { clipUtf8, failedRun, failureOfEnd, isAlive, isRunOk, noFacts, outcomeCode } from "./run-result.ts";

export { InstanceSockets, RUNNER_SOCKET } from "./instance-sockets.ts";
export { SocketFolder } from "./socket-folder.ts";
export type { SocketRights } from "./socket-folder.ts";
export { CANCEL_GRACE_MS, PING_TIMEOUT_MS, READY_TIMEOUT_MS, RESULT_GRACE_MS, RunnerSession } from "./runner-session.ts";
export type { RunnerSessionOptions, SessionFault } from "./runner-session.ts";
export { ownInstance, VesselInstance } from "./vessel-instance.ts";
export type { Vessel, VesselInstanceDeps } from "./vessel-instance.ts";
