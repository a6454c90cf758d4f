import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { PackId } from "@rumi/core";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { SqliteKvStore } from "./sqlite-kv-store.ts";
import { openTestRegistry } from "./testing/index.ts";

const id = (text: string): PackId => text as PackId;
const actor = "token:1";

test("an operator's store is made, listed with its usage, used by whoever holds a grant, and deleted", async () => {
  await using home = await temporaryFolder();
  const { registry, kv, acts, lastEvent } = await openTestRegistry(home.path);
  expect(await registry.create({ store_id: "weather_cache", root_path: "user_data/stores/weather_cache", actor })).toEqual({
    store_id: "weather_cache",
  });
  expect(registry.owner("weather_cache")).toBeNull();
  expect(registry.owner("other")).toBeUndefined();
  await kv.set("weather_cache" as never, "k", 1);
  expect(await registry.list()).toEqual([
    {
      store_id: "weather_cache",
      owner: null,
      root_path: "user_data/stores/weather_cache",
      created_at: "2026-01-01T00:00:00.000Z",
      max_bytes: 268_435_456,
      max_keys: 100_000,
      keys: 1,
      bytes: 2,
    },
  ]);
  expect(registry.access(id("any"), "weather_cache", "write")).toEqual({ allowed: true, owner: null });
  await expect(registry.delete("weather_cache", {}, actor)).rejects.toMatchObject({
    code: "store.conflict",
    remedy: "rumi store delete weather_cache --force",
  });
  await registry.delete("weather_cache", { force: true }, actor);
  expect(await registry.list()).toEqual([]);
  expect(acts()).toEqual(["system store_create", "system store_delete", "security store.conflict", "system store_delete"]);
  expect(lastEvent()).toMatchObject({ success: true, details: { store_id: "weather_cache", keys: 1, actor } });
  expect(registry.access(id("any"), "weather_cache", "read")).toMatchObject({ allowed: false, code: "store.not_found" });
});

test("a second store of one name, a bad name and a delete of nothing are refused and audited", async () => {
  await using home = await temporaryFolder();
  const { registry, acts } = await openTestRegistry(home.path);
  await registry.create({ store_id: "a", actor });
  await expect(registry.create({ store_id: "a", actor })).rejects.toMatchObject({ code: "store.exists" });
  for (const store_id of ["", "a b", "a/b", "..", "a\n", "x".repeat(129)]) {
    await expect(registry.create({ store_id, actor })).rejects.toMatchObject({ code: "store.invalid_id" });
  }
  await expect(registry.delete("b", { force: true }, actor)).rejects.toMatchObject({ code: "store.not_found" });
  expect(acts().filter((act) => act === "security store.invalid_id")).toHaveLength(6);
});

test("T74 a root that is not one name below user_data/stores is refused", async () => {
  await using home = await temporaryFolder();
  const { registry } = await openTestRegistry(home.path);
  const roots = [
    "user_data/stores",
    "user_data/stores/",
    "user_data/stores/a/b",
    "user_data/stores/..",
    "user_data/stores/.",
    "user_data/stores/../secrets",
    "user_data/stores/stores.db",
    "user_data/stores/a\0",
    "user_data/stores/a\n",
    "user_data/secrets",
    "/user_data/stores/a",
    "./user_data/stores/a",
    "user_data/stores/a/",
    "user_data\\stores\\a",
    "",
  ];
  for (const root_path of roots) {
    await expect(registry.create({ store_id: "a", root_path, actor }), root_path).rejects.toMatchObject({ code: "store.invalid_root" });
  }
  expect(await registry.list()).toEqual([]);
});

test("a pack's declared stores are made as its own, with the quotas it names", async () => {
  await using home = await temporaryFolder();
  const { registry, lastEvent } = await openTestRegistry(home.path);
  const answer = await registry.declare(id("weather"), [
    { store_id: "cache" },
    { store_id: "weather__log", max_keys: 5, max_bytes: 1e300 },
  ]);
  expect(answer).toEqual({ created: ["weather__cache", "weather__log"], kept: [], refused: [] });
  expect(registry.owner("weather__cache")).toBe("weather");
  expect(lastEvent()).toMatchObject({ action: "store_create", owner_pack: "weather" });
  const again = await registry.declare(id("weather"), [{ store_id: "cache", max_keys: 7 }, { store_id: "new" }]);
  expect(again).toMatchObject({ created: ["weather__new"], kept: ["weather__cache"], refused: [] });
  expect((await registry.list()).map(({ store_id, max_keys }) => [store_id, max_keys])).toEqual([
    ["weather__cache", 7],
    ["weather__log", 5],
    ["weather__new", 100_000],
  ]);
});

test("T72 eleven stores, a name with __ and another owner's store are refused", async () => {
  await using home = await temporaryFolder();
  const { registry, acts } = await openTestRegistry(home.path);
  const eleven = Array.from({ length: 11 }, (_, n) => ({ store_id: `s${n}` }));
  expect((await registry.declare(id("a"), eleven)).refused).toHaveLength(11);
  expect(await registry.list()).toEqual([]);
  await registry.declare(id("a__b"), [{ store_id: "c" }]);
  await registry.create({ store_id: "a__mine", actor });
  const { created, refused } = await registry.declare(id("a"), [
    { store_id: "b__c" },
    { store_id: "a__b__c" },
    { store_id: "other__x" },
    { store_id: "mine" },
    { store_id: "a__" },
    { store_id: "no way" },
    { store_id: "x".repeat(126) },
    { store_id: "fine" },
  ]);
  expect(created).toEqual(["a__fine"]);
  expect(refused.map(({ code }) => code)).toEqual([
    "store.invalid_id",
    "store.invalid_id",
    "store.invalid_id",
    "store.owner_mismatch",
    "store.invalid_id",
    "store.invalid_id",
    "store.invalid_id",
  ]);
  expect(registry.owner("a__b__c")).toBe("a__b");
  expect(registry.owner("a__mine")).toBeNull();
  expect(acts()).toContain("security store.owner_mismatch");
});

test("T73 another's store is open only by a share, and for writing only by one of read_write", async () => {
  await using home = await temporaryFolder();
  const { registry, audit, userData } = await openTestRegistry(home.path);
  await registry.declare(id("a"), [{ store_id: "s" }, { store_id: "t" }]);
  const may = (pack: string, store: string, want: "read" | "write"): boolean => registry.access(id(pack), store, want).allowed;
  expect(may("a", "a__s", "write")).toBe(true);
  expect(registry.access(id("b"), "a__s", "read")).toEqual({
    allowed: false,
    code: "store.share_required",
    reason: "the store a__s belongs to a, and no share lets b read it",
    remedy: "rumi store share a__s b",
  });
  const sides = { provider_pack_id: "a", consumer_pack_id: "b", store_id: "a__s", actor };
  expect(await registry.share(sides)).toMatchObject({ mode: "read", approved_by: actor });
  expect(audit.events.at(-1)).toMatchObject({
    category: "permission",
    action: "grant",
    owner_pack: "a",
    details: { permission_type: "store_share", principal_id: "b", config: { provider_pack_id: "a", store_id: "a__s", mode: "read" } },
  });
  expect((await stat(join(userData, "stores", "sharing.json"))).mode & 0o777).toBe(0o600);
  expect([may("b", "a__s", "read"), may("b", "a__s", "write"), may("b", "a__t", "read"), may("c", "a__s", "read")]).toEqual([
    true,
    false,
    false,
    false,
  ]);
  expect(registry.access(id("b"), "a__s", "write")).toMatchObject({ remedy: "rumi store share a__s b --mode read_write" });
  await registry.share({ ...sides, mode: "read_write" });
  expect(registry.shares()).toHaveLength(1);
  expect(may("b", "a__s", "write")).toBe(true);
  await registry.unshare(sides);
  expect(audit.events.at(-1)).toMatchObject({ category: "permission", action: "revoke", details: { principal_id: "b" } });
  expect(may("b", "a__s", "read")).toBe(false);
  await expect(registry.unshare(sides)).rejects.toMatchObject({ code: "store.not_found" });
});

test("a share is given only by the owner, to another, of a store that is there", async () => {
  await using home = await temporaryFolder();
  const { registry } = await openTestRegistry(home.path);
  await registry.declare(id("a"), [{ store_id: "s" }]);
  await registry.create({ store_id: "op", actor });
  const share = (provider_pack_id: string, consumer_pack_id: string, store_id: string): Promise<unknown> =>
    registry.share({ provider_pack_id, consumer_pack_id, store_id, actor });
  await expect(share("b", "c", "a__s")).rejects.toMatchObject({ code: "store.owner_mismatch" });
  await expect(share("a", "a", "a__s")).rejects.toMatchObject({ code: "store.conflict" });
  await expect(share("a", "b", "op")).rejects.toMatchObject({ code: "store.owner_mismatch" });
  await expect(share("a", "b", "gone")).rejects.toMatchObject({ code: "store.not_found" });
  for (const bad of ["*", "", "../x", "a\n"]) await expect(share("a", bad, "a__s")).rejects.toMatchObject({ code: "store.invalid_id" });
  expect(registry.shares()).toEqual([]);
});

test("every level of a nested pack needs the share, up to the owner's own line", async () => {
  await using home = await temporaryFolder();
  const { registry } = await openTestRegistry(home.path);
  await registry.declare(id("a"), [{ store_id: "s" }]);
  await registry.declare(id("x__y"), [{ store_id: "s" }]);
  const share = (provider: string, consumer: string): Promise<unknown> =>
    registry.share({ provider_pack_id: provider, consumer_pack_id: consumer, store_id: `${provider}__s`, actor });
  const missing = (pack: string, store: string): string | null => {
    const access = registry.access(id(pack), store, "read");
    return access.allowed ? null : access.reason;
  };
  // A child is another pack than its parent.
  expect(missing("a__b", "a__s")).toContain("lets a__b read");
  await share("a", "a__b");
  expect(missing("a__b", "a__s")).toBeNull();
  // A stranger's parent needs it as well.
  await share("a", "p__q");
  expect(missing("p__q", "a__s")).toContain("lets p read");
  await share("a", "p");
  expect(missing("p__q", "a__s")).toBeNull();
  // The owner's parent does not own; the owner's line does not need.
  expect(missing("x__y", "x__y__s")).toBeNull();
  expect(missing("x", "x__y__s")).toContain("lets x read");
  await share("x__y", "x__z");
  expect(missing("x__z", "x__y__s")).toBeNull();
});

test("a deleted store leaves no share that a later store of its name would inherit", async () => {
  await using home = await temporaryFolder();
  const { registry, acts } = await openTestRegistry(home.path);
  await registry.declare(id("a"), [{ store_id: "s" }]);
  await registry.share({ provider_pack_id: "a", consumer_pack_id: "b", store_id: "a__s", actor });
  await registry.delete("a__s", {}, actor);
  await registry.declare(id("a"), [{ store_id: "s" }]);
  expect(registry.shares()).toEqual([]);
  expect(registry.access(id("b"), "a__s", "read").allowed).toBe(false);
  expect(acts()).toContain("permission revoke");
});

test("without audit no share is given or taken", async () => {
  await using home = await temporaryFolder();
  const { registry, audit } = await openTestRegistry(home.path);
  await registry.declare(id("a"), [{ store_id: "s" }]);
  const sides = { provider_pack_id: "a", consumer_pack_id: "b", store_id: "a__s", actor };
  const record = audit.record.bind(audit);
  audit.record = () => Promise.reject(new Error("disk full"));
  await expect(registry.share(sides)).rejects.toThrow("disk full");
  expect(registry.shares()).toEqual([]);
  audit.record = record;
  await registry.share(sides);
  audit.record = () => Promise.reject(new Error("disk full"));
  await expect(registry.unshare(sides)).rejects.toThrow("disk full");
  expect(registry.access(id("b"), "a__s", "read").allowed).toBe(true);
});

test("owners and shares are there again after a restart", async () => {
  await using home = await temporaryFolder();
  const path = join(home.path, "user_data", "stores", "stores.db");
  {
    await using kv = new SqliteKvStore(path);
    const { registry } = await openTestRegistry(home.path, kv);
    await registry.declare(id("a"), [{ store_id: "s" }]);
    await registry.share({ provider_pack_id: "a", consumer_pack_id: "b", store_id: "a__s", mode: "read_write", actor });
  }
  await using kv = new SqliteKvStore(path);
  const { registry } = await openTestRegistry(home.path, kv);
  expect(registry.owner("a__s")).toBe("a");
  expect(registry.access(id("b"), "a__s", "write").allowed).toBe(true);
});

test("acts at once come one after the other", async () => {
  await using home = await temporaryFolder();
  const { registry } = await openTestRegistry(home.path);
  const made = await Promise.allSettled(Array.from({ length: 10 }, () => registry.create({ store_id: "one", actor })));
  expect(made.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  await registry.declare(id("a"), [{ store_id: "s" }]);
  const consumers = Array.from({ length: 20 }, (_, n) => `c${n}`);
  await Promise.all(
    consumers.map((consumer_pack_id) => registry.share({ provider_pack_id: "a", consumer_pack_id, store_id: "a__s", actor })),
  );
  expect(registry.shares().map(({ consumer_pack_id }) => consumer_pack_id)).toEqual(consumers);
});
