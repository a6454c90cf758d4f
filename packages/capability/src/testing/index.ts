export { openTestGrants, SwitchGate } from "./open-test-grants.ts";
export type { TestGrants, TestGrantsOptions } from "./open-test-grants.ts";
export { fakeOwner } from "./fake-owner.ts";
export type { FakeOwner } from "./fake-owner.ts";
export { fakeCapability, fakeSource } from "./fake-capability.ts";
export type { FakeCapability } from "./fake-capability.ts";
export { useCountersContract } from "./use-counters-contract.ts";
