import { host } from "./host.mjs";

/** Uses a host power under the pack's grant for `permissionId`. Never throws. */
export function call(permissionId, args = {}, options = {}) {
  return host().call(permissionId, args, options.timeoutSeconds, options.requestId);
}

/** The secret's text, or null when it may not be read or is not there. */
export async function getSecret(key) {
  const answer = await call("secrets.get", { key });
  const output = answer.output;
  const value = answer.success ? output?.value : null;
  return typeof value === "string" ? value : null;
}

/** Data kept and shared by packs. Each function is one capability call. */
export const store = {
  get: (storeId, key) => call("store.get", { store_id: storeId, key }),
  set: (storeId, key, value) => call("store.set", { store_id: storeId, key, value }),
  delete: (storeId, key) => call("store.delete", { store_id: storeId, key }),
  list: (storeId, options = {}) => call("store.list", { store_id: storeId, ...options }),
  batchGet: (storeId, keys) => call("store.batch_get", { store_id: storeId, keys }),
  /** `expected` left out: the key must not exist. Null: its value must be null. */
  cas: (storeId, key, value, expected) =>
    call("store.cas", { store_id: storeId, key, value, ...(expected === undefined ? {} : { expected_value: expected }) }),
};
