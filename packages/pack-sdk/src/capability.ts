import type { JsonObject, JsonValue } from "@rumi/core";
import type { CapabilityAnswer } from "./answers.ts";
import { host } from "./host.ts";

export interface CallOptions {
  /** Default 30. */
  readonly timeoutSeconds?: number;
  readonly requestId?: string;
}

/** Uses a host power under the pack's grant for `permissionId`. Never throws. */
export function call(permissionId: string, args: JsonObject = {}, options: CallOptions = {}): Promise<CapabilityAnswer> {
  return host().call(permissionId, args, options.timeoutSeconds, options.requestId);
}

/** The secret's text, or null when it may not be read or is not there. */
export async function getSecret(key: string): Promise<string | null> {
  const answer = await call("secrets.get", { key });
  const output = answer.output as { readonly value?: JsonValue } | null;
  const value = answer.success ? output?.value : null;
  return typeof value === "string" ? value : null;
}

/** Data kept and shared by packs. Each function is one capability call. */
export const store = {
  get: (storeId: string, key: string): Promise<CapabilityAnswer> => call("store.get", { store_id: storeId, key }),
  set: (storeId: string, key: string, value: JsonValue): Promise<CapabilityAnswer> => call("store.set", { store_id: storeId, key, value }),
  delete: (storeId: string, key: string): Promise<CapabilityAnswer> => call("store.delete", { store_id: storeId, key }),
  list: (
    storeId: string,
    options: { readonly prefix?: string; readonly limit?: number; readonly cursor?: string } = {},
  ): Promise<CapabilityAnswer> => call("store.list", { store_id: storeId, ...options }),
  batchGet: (storeId: string, keys: readonly string[]): Promise<CapabilityAnswer> => call("store.batch_get", { store_id: storeId, keys }),
  /** `expected` left out: the key must not exist. Null: its value must be null. */
  cas: (storeId: string, key: string, value: JsonValue, expected?: JsonValue): Promise<CapabilityAnswer> =>
    call("store.cas", { store_id: storeId, key, value, ...(expected === undefined ? {} : { expected_value: expected }) }),
} as const;
