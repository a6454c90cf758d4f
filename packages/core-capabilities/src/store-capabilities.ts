import { isListed } from "@rumi/capability";
import type { Capability } from "@rumi/capability";
import { jsonDepth, StoreId } from "@rumi/core";
import type { InstanceCaller, JsonObject, JsonValue, PermissionId } from "@rumi/core";
import type { CapabilityOutcome } from "@rumi/capability";
import { checkStoreKey, checkStorePrefix, MAX_BATCH_KEYS, MAX_LIST_KEYS, StoreError } from "@rumi/store";
import type { Expected, KvStore } from "@rumi/store";
import * as v from "valibot";
import { numberOf } from "./allow-list.ts";
import { defineCapability } from "./define-capability.ts";
import { done, failed } from "./outcome.ts";
import type { HeldRights, ListCursors, StoreAccess } from "./ports.ts";

/** Largest value where the grant says nothing. Source: page "Trust", section 8. */
const MAX_VALUE_BYTES = 1024 * 1024;
/** Bytes of values in one `batch_get`. Source: page "Trust", section 8. */
const BATCH_BYTES = 900 * 1024;
/** Deepest value that is kept: what a block could get back. Source: page "Execution", section 7. */
const MAX_VALUE_DEPTH = 200;

export interface StoreCapabilitiesDeps {
  readonly kv: KvStore;
  readonly stores: StoreAccess;
  readonly cursors: ListCursors;
  readonly rights: HeldRights;
}

const Key = ruled(checkStoreKey);
const Prefix = ruled(checkStorePrefix);
const Value = v.custom<JsonValue>((value) => value !== undefined, "a value is required");
const Place = { store_id: StoreId };
const Entry = { ...Place, key: Key };

/** `store.*`: values in stores that the grant names and, where another pack owns them, that were shared. */
export function storeCapabilities(deps: StoreCapabilitiesDeps): readonly Capability[] {
  const { kv, cursors } = deps;
  const reads = outsideStore(deps, "read");
  const writes = outsideStore(deps, "write");
  return [
    defineCapability("store.get", {
      args: v.strictObject(Entry),
      outside: reads,
      run: ({ args }) =>
        mapped(async () => {
          const value = await kv.get(args.store_id, args.key);
          return value === undefined ? keyNotFound() : done({ value });
        }),
    }),
    defineCapability("store.set", {
      args: v.strictObject({ ...Entry, value: Value }),
      outside: writes,
      run: ({ args, config }) =>
        mapped(async () => {
          const refusal = tooLarge(args.value, config);
          if (refusal !== null) return refusal;
          await kv.set(args.store_id, args.key, args.value);
          return done();
        }),
    }),
    defineCapability("store.delete", {
      args: v.strictObject(Entry),
      outside: writes,
      run: ({ args }) => mapped(async () => ((await kv.delete(args.store_id, args.key)) ? done() : keyNotFound())),
    }),
    defineCapability("store.cas", {
      args: v.strictObject({ ...Entry, expected_value: v.optional(Value), new_value: Value }),
      outside: writes,
      run: ({ args, config, caller }) =>
        mapped(async () => {
          const refusal = tooLarge(args.new_value, config);
          if (refusal !== null) return refusal;
          const { expected_value: value } = args;
          const expected: Expected = value === undefined ? { kind: "absent" } : { kind: "value", value };
          const outcome = await kv.cas(args.store_id, args.key, expected, args.new_value);
          if (outcome.swapped) return done();
          const shown = outcome.current !== undefined && mayRead(deps, caller, args.store_id);
          return failed("conflict", "The stored value is not the expected one", {
            output: { conflict: true, ...(shown ? { current_value: outcome.current } : {}) },
          });
        }),
    }),
    defineCapability("store.list", {
      args: v.strictObject({
        ...Place,
        prefix: v.nullish(Prefix),
        limit: v.nullish(v.pipe(v.number(), v.integer("limit is a whole number"))),
        cursor: v.nullish(v.pipe(v.string(), v.maxLength(2048))),
      }),
      outside: reads,
      run: ({ args, caller }) =>
        mapped(async () => {
          const prefix = args.prefix ?? "";
          const limit = Math.min(MAX_LIST_KEYS, Math.max(1, args.limit ?? MAX_LIST_KEYS));
          const cursor = args.cursor ?? null;
          const after = cursor === null ? null : cursors.decode(caller.principal, args.store_id, prefix, cursor);
          if (cursor !== null && after === null) return failed("validation_error", "cursor: not one of this list");
          const page = await kv.list(args.store_id, { prefix, after, limit });
          const last = page.keys.at(-1);
          const next = page.has_more && last !== undefined ? cursors.encode(caller.principal, args.store_id, prefix, last) : null;
          return done({ keys: page.keys, next_cursor: next, has_more: page.has_more, total_estimate: page.total_estimate });
        }),
    }),
    defineCapability("store.batch_get", {
      args: v.strictObject({
        ...Place,
        keys: v.pipe(v.array(Key), v.minLength(1, "keys: 1 to 100"), v.maxLength(MAX_BATCH_KEYS, "keys: 1 to 100")),
      }),
      outside: reads,
      run: ({ args }) =>
        mapped(async () => {
          const keys = [...new Set(args.keys)];
          return batch(keys, await kv.batchGet(args.store_id, keys, { max_bytes: BATCH_BYTES }));
        }),
    }),
  ];
}

function ruled(problem: (text: unknown) => string | null) {
  return v.pipe(
    v.string(),
    v.check(
      (text) => problem(text) === null,
      (issue) => problem(issue.input) ?? "",
    ),
  );
}

/** Check 6: the grant's list, then the share. A store that is not there is told by the power itself. */
function outsideStore(deps: StoreCapabilitiesDeps, mode: "read" | "write") {
  return (use: { readonly args: { readonly store_id: StoreId }; readonly config: JsonObject; readonly caller: InstanceCaller }) => {
    const { store_id: store } = use.args;
    if (!isListed(use.config, "allowed_store_ids", store)) return `the grant does not name the store ${store}`;
    const access = deps.stores.access(use.caller.principal, store, mode);
    return access.allowed || access.code === "store.not_found" ? null : access.reason;
  };
}

/** Whether the caller could have read the value with `store.get`. */
function mayRead(deps: StoreCapabilitiesDeps, caller: InstanceCaller, store: StoreId): boolean {
  const held = deps.rights.effective(caller.principal, "store.get" as PermissionId);
  return held.allowed && isListed(held.config, "allowed_store_ids", store) && deps.stores.access(caller.principal, store, "read").allowed;
}

/** Values in the order of their keys until their bytes are too many; the keys after that are left out, not null. */
function batch(keys: readonly string[], values: readonly (JsonValue | undefined)[]): CapabilityOutcome {
  const results: [string, JsonValue][] = [];
  let bytes = 0;
  let found = 0;
  for (const [index, key] of keys.entries()) {
    const value = values[index];
    if (value !== undefined) {
      bytes += jsonBytes(value);
      if (bytes > BATCH_BYTES) break;
      found += 1;
    }
    results.push([key, value ?? null]);
  }
  const truncated = results.length < keys.length;
  return done({
    results: Object.fromEntries(results),
    found,
    not_found: results.length - found,
    truncated,
    warnings: truncated ? [`${keys.length - results.length} keys were left out: the values of one answer are at most 900 KiB`] : [],
  });
}

function tooLarge(value: JsonValue, config: JsonObject): CapabilityOutcome | null {
  if (jsonDepth(value, MAX_VALUE_DEPTH) > MAX_VALUE_DEPTH)
    return failed("payload_too_large", `The value is nested deeper than ${MAX_VALUE_DEPTH}`);
  const most = numberOf(config, "max_value_bytes", MAX_VALUE_BYTES);
  return jsonBytes(value) <= most ? null : failed("payload_too_large", `The value is larger than ${most} bytes`);
}

function jsonBytes(value: JsonValue): number {
  return Buffer.byteLength(JSON.stringify(value));
}

function keyNotFound(): CapabilityOutcome {
  return failed("key_not_found", "Key not found");
}

/** The store's refusals in the words of the pack. */
async function mapped(work: () => Promise<CapabilityOutcome>): Promise<CapabilityOutcome> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof StoreError)) throw cause;
    if (cause.code === "store.not_found") return failed("store_not_found", "Store not found");
    if (cause.code === "store.quota_exceeded") return failed("quota_exceeded", "The store is full", { reason: cause.message });
    if (cause.code === "store.payload_too_large") return failed("payload_too_large", "The value is too large", { reason: cause.message });
    throw cause;
  }
}
