export { contractFakes, contractFile, contractFiles } from "./contract-pack.ts";
export type { Difference } from "./differences.ts";
export { escapeContract } from "./escape-contract.ts";
export { FakeFailure, FakeSandbox } from "./fake-sandbox.ts";
export type { FakeBlock, FakeCall, FakeSandboxOptions } from "./fake-sandbox.ts";
export { collectLog, inScene, SandboxScene, testId } from "./harness.ts";
export type { MakeHarness, SandboxHarness, SuiteOptions } from "./harness.ts";
export { sandboxContract } from "./sandbox-contract.ts";
