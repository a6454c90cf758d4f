export { kvStoreContract } from "./kv-store-contract.ts";
export { openTestRegistry } from "./open-test-registry.ts";
export type { TestRegistry } from "./open-test-registry.ts";
