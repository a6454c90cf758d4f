import type { CapabilityOutcome } from "@rumi/capability";
import type { Decision, JsonObject, PackId, StoreId } from "@rumi/core";
import { MemoryKvStore, StoreCursors } from "@rumi/store";
import type { StoreErrorCode } from "@rumi/store";
import { beforeEach, expect, test } from "vitest";
import { storeCapabilities } from "./store-capabilities.ts";
import { ask, caller, FakeRights } from "./testing/ask.ts";

const NOTES = "notes" as StoreId;
const GRANT = { allowed_store_ids: ["notes", "absent"] };
let kv: MemoryKvStore;
let rights: FakeRights;
/** What others share with `alpha`: the store `notes`. */
let shared: "none" | "read" | "read_write";

beforeEach(async () => {
  kv = new MemoryKvStore();
  rights = new FakeRights();
  shared = "read_write";
  await kv.create(NOTES, { max_bytes: 4 * 1024 * 1024, max_keys: 20_000 });
});

const stores = {
  access: (_principal: PackId, store: string, mode: "read" | "write"): Decision<object, StoreErrorCode> => {
    if (store !== NOTES) return { allowed: false, code: "store.not_found", reason: "absent" };
    const may = shared === "read_write" || (shared === "read" && mode === "read");
    return may ? { allowed: true } : { allowed: false, code: "store.share_required", reason: "not shared" };
  },
};

function use(id: string, args: JsonObject, grant: JsonObject | null = GRANT, principal = "alpha"): Promise<CapabilityOutcome> {
  const all = storeCapabilities({ kv, stores, rights, cursors: new StoreCursors(new Uint8Array(32).fill(7)) });
  const capability = all.find((one) => one.permission_id === id);
  if (capability === undefined) throw new Error(`no ${id}`);
  return ask(capability, args, { grant, caller: caller(principal) });
}

const at = (key: string, more: JsonObject = {}): JsonObject => ({ store_id: NOTES, key, ...more });

test("T92 what was set is read back as it was", async () => {
  expect(await use("store.set", at("a/b", { value: { n: 1, list: [null, "日"] } }))).toEqual({ ok: true, output: {} });
  expect(await use("store.get", at("a/b"))).toEqual({ ok: true, output: { value: { n: 1, list: [null, "日"] } } });
  expect(await use("store.set", at("n", { value: null }))).toMatchObject({ ok: true });
  expect(await use("store.get", at("n"))).toEqual({ ok: true, output: { value: null } });
});

test("a key or store that is not there has its own answer", async () => {
  expect(await use("store.get", at("x"))).toMatchObject({ ok: false, error_type: "key_not_found" });
  expect(await use("store.delete", at("x"))).toMatchObject({ ok: false, error_type: "key_not_found" });
  await use("store.set", at("x", { value: 1 }));
  expect(await use("store.delete", at("x"))).toEqual({ ok: true, output: {} });
  expect(await use("store.get", { store_id: "absent", key: "x" })).toMatchObject({ ok: false, error_type: "store_not_found" });
});

test("T44 an empty or absent list of stores allows none", async () => {
  for (const grant of [{}, { allowed_store_ids: [] }, { allowed_store_ids: ["other"] }]) {
    expect(await use("store.get", at("x"), grant)).toMatchObject({ error_type: "permission_denied" });
    expect(await use("store.batch_get", { store_id: NOTES, keys: ["x"] }, grant)).toMatchObject({ error_type: "permission_denied" });
  }
});

test("T69 cas: omitted means absent, null means null, and the value is shown to readers only", async () => {
  expect(await use("store.cas", at("k", { new_value: 1 }))).toEqual({ ok: true, output: {} });
  expect(await use("store.cas", at("k", { new_value: 2 }))).toEqual({
    ok: false,
    error_type: "conflict",
    error: "The stored value is not the expected one",
    output: { conflict: true },
  });
  rights.grant("alpha", "store.get", GRANT);
  expect(await use("store.cas", at("k", { new_value: 2 }))).toMatchObject({ output: { conflict: true, current_value: 1 } });
  expect(await use("store.cas", at("new", { expected_value: null, new_value: 1 }))).toMatchObject({
    error_type: "conflict",
    output: { conflict: true },
  });
  expect(await use("store.cas", at("k", { expected_value: 1, new_value: 2 }))).toMatchObject({ ok: true });
});

test("T69 a reader of other stores is not shown the value of this one", async () => {
  await use("store.set", at("k", { value: "seen" }));
  rights.grant("alpha", "store.get", { allowed_store_ids: ["other"] });
  expect(JSON.stringify(await use("store.cas", at("k", { new_value: 2 })))).not.toContain("seen");
});

test.each(["..", "a//b", "/a", "a b", "x".repeat(513), "", "a/../b"])("T70 the key %j is refused", async (key) => {
  expect(await use("store.get", at(key))).toMatchObject({ error_type: "validation_error" });
  expect(await use("store.batch_get", { store_id: NOTES, keys: [key] })).toMatchObject({ error_type: "validation_error" });
});

test("T71 12,000 keys are paged through, each once; a forged cursor and 101 keys are refused", async () => {
  for (let n = 0; n < 12_000; n += 1) await kv.set(NOTES, `k/${n}`, n);
  const seen: unknown[] = [];
  let cursor: string | null = null;
  do {
    const page: CapabilityOutcome = await use("store.list", { store_id: NOTES, prefix: "k/", cursor, limit: 99_999 });
    if (!page.ok) throw new Error(page.error);
    seen.push(...(page.output["keys"] as string[]));
    cursor = page.output["next_cursor"] as string | null;
    expect(page.output["has_more"]).toBe(cursor !== null);
  } while (cursor !== null);
  expect(seen).toHaveLength(12_000);
  expect(new Set(seen).size).toBe(12_000);
  const first = await use("store.list", { store_id: NOTES, limit: -1 });
  const real = first.ok ? (first.output["next_cursor"] as string) : "";
  expect(first.ok ? first.output["keys"] : []).toHaveLength(1);
  for (const forged of ["x", `${real}A`, real.slice(1)]) {
    expect(await use("store.list", { store_id: NOTES, cursor: forged })).toMatchObject({ error_type: "validation_error" });
  }
  expect(await use("store.list", { store_id: NOTES, cursor: real, prefix: "k" })).toMatchObject({ error_type: "validation_error" });
  expect(await use("store.list", { store_id: NOTES, cursor: real }, GRANT, "beta")).toMatchObject({ error_type: "validation_error" });
  const keys = Array.from({ length: 101 }, (_, n) => `k/${n}`);
  expect(await use("store.batch_get", { store_id: NOTES, keys })).toMatchObject({ error_type: "validation_error" });
  expect(await use("store.batch_get", { store_id: NOTES, keys: [] })).toMatchObject({ error_type: "validation_error" });
});

test("batch_get counts what it found, keeps __proto__ a key like any, and cuts at 900 KiB", async () => {
  await kv.set(NOTES, "__proto__", 1);
  await kv.set(NOTES, "n", null);
  const small = await use("store.batch_get", { store_id: NOTES, keys: ["__proto__", "n", "gone"] });
  expect(JSON.stringify(small)).toBe(
    '{"ok":true,"output":{"results":{"__proto__":1,"n":null,"gone":null},"found":2,"not_found":1,"truncated":false,"warnings":[]}}',
  );
  for (const key of ["a", "b", "c"]) await kv.set(NOTES, key, "x".repeat(400 * 1024));
  const cut = await use("store.batch_get", { store_id: NOTES, keys: ["a", "b", "c", "n"] });
  expect(cut).toMatchObject({ ok: true, output: { found: 2, not_found: 0, truncated: true } });
  expect(cut.ok ? Object.keys(cut.output["results"] as object) : []).toEqual(["a", "b"]);
});

test("T73 another's store without a share, and a write on a read share, are denied", async () => {
  shared = "none";
  expect(await use("store.get", at("x"))).toMatchObject({ error_type: "permission_denied" });
  shared = "read";
  expect(await use("store.list", { store_id: NOTES })).toMatchObject({ ok: true });
  for (const [id, more] of [
    ["store.set", { value: 1 }],
    ["store.delete", {}],
    ["store.cas", { new_value: 1 }],
  ] as const) {
    expect(await use(id, at("x", more))).toMatchObject({ error_type: "permission_denied" });
  }
});

test("values over the grant's size, too deep ones and full stores are told apart", async () => {
  const grant = { ...GRANT, max_value_bytes: 10 };
  expect(await use("store.set", at("x", { value: "12345678" }), grant)).toMatchObject({ ok: true });
  expect(await use("store.set", at("x", { value: "123456789" }), grant)).toMatchObject({ error_type: "payload_too_large" });
  expect(await use("store.cas", at("y", { new_value: "123456789" }), grant)).toMatchObject({ error_type: "payload_too_large" });
  const deep = JSON.parse(`${"[".repeat(100_000)}${"]".repeat(100_000)}`) as JsonObject;
  expect(await use("store.set", at("x", { value: deep }))).toMatchObject({ error_type: "payload_too_large" });
  for (let n = 0; n < 3; n += 1) await use("store.set", at(`big/${n}`, { value: "x".repeat(1024 * 1024 - 2) }));
  expect(await use("store.set", at("big/3", { value: "x".repeat(1024 * 1024 - 2) }))).toMatchObject({ error_type: "quota_exceeded" });
});

test("an unknown argument and a missing value are refused", async () => {
  expect(await use("store.get", at("x", { principal_id: "beta" }))).toMatchObject({ error_type: "validation_error" });
  expect(await use("store.set", at("x"))).toMatchObject({ error_type: "validation_error" });
});
