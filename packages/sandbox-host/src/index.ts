export { HOST_WARNING, HostSandbox } from "./host-sandbox.ts";
export type { HostSandboxDeps, HostSandboxOptions } from "./host-sandbox.ts";
export { hostEnvironment } from "./host-environment.ts";
export type { HostPlace } from "./host-environment.ts";
