export { BubblewrapSandbox } from "./bubblewrap-sandbox.ts";
export type { BubblewrapSandboxDeps, BubblewrapSandboxOptions } from "./bubblewrap-sandbox.ts";
