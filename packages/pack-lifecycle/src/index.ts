export { LibRuns } from "./lib-runs.ts";
export type { LibOutcome, LibRunsDeps, LibRunsOptions } from "./lib-runs.ts";
export { libKernelHandlers } from "./lib-handlers.ts";
export type { LibHandlerDeps } from "./lib-handlers.ts";
export type { LibFile, LibType, PackLib } from "./lib-files.ts";
export type { LibRecord } from "./lib-records.ts";
export type { LibGate } from "./ports.ts";
export type { PackLifecycleErrorCode } from "./errors.ts";
