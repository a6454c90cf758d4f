export { kvStoreContract } from "./kv-store-contract.ts";
