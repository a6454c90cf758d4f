export { FakeHouse } from "./fake-house.ts";
export type { FakeHouseOptions } from "./fake-house.ts";
export { MemoryTokenStore } from "./memory-token-store.ts";
