import { call } from "./capability.mjs";

/** One value. */

/** One page of keys, in binary order. */

/** Several values; null for a key that is not there. */

/** Which keys a list shows. */

/** Data kept and shared by packs. Each function is one capability call, under the grant of its name. */
export const store = {
  /** Fails with `key_not_found`. */
  get: (storeId, key) => call("store.get", { store_id: storeId, key }),
  set: (storeId, key, value) => call("store.set", { store_id: storeId, key, value }),
  /** Fails with `key_not_found`. */
  delete: (storeId, key) => call("store.delete", { store_id: storeId, key }),
  list: (storeId, options = {}) => call("store.list", { store_id: storeId, ...options }),
  batchGet: (storeId, keys) => call("store.batch_get", { store_id: storeId, keys }),
  /**
   * Sets `value` if the stored one is `expected`; else fails with `conflict`, and shows `current_value` to who may read it.
   * `expected` left out: the key must not exist. Null: its value must be null.
   */
  cas: (storeId, key, value, expected) =>
    call("store.cas", {
      store_id: storeId,
      key,
      new_value: value,
      ...(expected === undefined ? {} : { expected_value: expected }),
    }),
};
