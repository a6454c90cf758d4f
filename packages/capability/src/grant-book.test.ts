import type { JsonObject, PackId, PermissionId } from "@rumi/core";
import { ManualClock } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import type { GrantChange } from "./grant.ts";
import { openTestGrants } from "./testing/open-test-grants.ts";

const A = "a" as PackId;
const CHILD = "a__b" as PackId;
const STORE_GET = "store.get" as PermissionId;
const SECRETS_GET = "secrets.get" as PermissionId;
const OPERATOR = "operator";

test("a grant holds, is listed, survives a restart, and is gone after revoke", async () => {
  await using home = await temporaryFolder();
  const { grants } = await openTestGrants(home.path);
  const answer = await grants.grant({
    principal_id: "a",
    permission_id: "store.get",
    config: { allowed_store_ids: ["s", "s"] },
    notes: "why",
    actor: OPERATOR,
  });
  expect(answer).toMatchObject({ principal_id: "a", permission_id: "store.get", granted: true, config: { allowed_store_ids: ["s"] } });
  const again = await openTestGrants(home.path);
  expect(again.grants.effective(A, STORE_GET)).toMatchObject({ allowed: true, config: { allowed_store_ids: ["s"] } });
  expect(again.grants.list()).toEqual({
    a: [
      {
        permission_id: "store.get",
        config: { allowed_store_ids: ["s"] },
        granted_at: "2026-01-01T00:00:00.000Z",
        granted_by: OPERATOR,
        notes: "why",
        undeclared: ["store.get"],
        last_used_at: null,
      },
    ],
  });
  expect(await again.grants.revoke({ principal_id: "a", permission_id: "store.get", actor: OPERATOR })).toEqual({ revoked: 1 });
  expect(again.grants.effective(A, STORE_GET)).toMatchObject({ allowed: false, code: "capability.permission_denied" });
  expect((await openTestGrants(home.path)).grants.list()).toEqual({});
});

test("a grant replaces the config and keeps the first granted_at; an alias is the permission itself", async () => {
  await using home = await temporaryFolder();
  const clock = new ManualClock();
  const { grants } = await openTestGrants(home.path, { clock });
  const config = { allowed_target_packs: ["b"], allowed_kinds: ["*"] };
  await grants.grant({ principal_id: "a", permission_id: "inbox.send", config, actor: OPERATOR });
  clock.advance(1000);
  const { grant } = await grants.grant({ principal_id: "a", permission_id: "pack.inbox.send", config: {}, actor: "other" });
  expect(grant).toMatchObject({
    permission_id: "pack.inbox.send",
    config: {},
    granted_at: "2026-01-01T00:00:00.000Z",
    granted_by: "other",
  });
  expect(grants.list("a")).toHaveProperty("a.length", 1);
  expect(await grants.revoke({ principal_id: "a", permission_id: "inbox.send", actor: OPERATOR })).toEqual({ revoked: 1 });
});

test("revoke * takes everything, network too; what is absent is not found", async () => {
  await using home = await temporaryFolder();
  const { grants, give, events } = await openTestGrants(home.path);
  await give("a", "store.get", { allowed_store_ids: ["s"] });
  await give("a", "network.egress", { allowed_domains: ["x.com"], allowed_ports: [443] });
  expect(await grants.revoke({ principal_id: "a", permission_id: "*", reason: "gone", actor: OPERATOR })).toEqual({ revoked: 2 });
  expect(grants.list()).toEqual({});
  expect(events("permission").filter((event) => event.action === "revoke_all")).toHaveLength(2);
  for (const permission_id of ["*", "store.get"]) {
    await expect(grants.revoke({ principal_id: "a", permission_id, actor: OPERATOR })).rejects.toMatchObject({
      code: "capability.grant_not_found",
    });
  }
});

test("revoking revives nothing: a grant that was replaced stays replaced", async () => {
  await using home = await temporaryFolder();
  const { grants, give } = await openTestGrants(home.path);
  await give("a", "store.get", { allowed_store_ids: ["wide"] });
  await give("a", "store.get", { allowed_store_ids: ["narrow"] });
  await grants.revoke({ principal_id: "a", permission_id: "store.get", actor: OPERATOR });
  expect(grants.effective(A, STORE_GET).allowed).toBe(false);
});

test("T45 an ancestor without a grant, or with an expired one, denies; with one, the levels are folded", async () => {
  await using home = await temporaryFolder();
  const clock = new ManualClock();
  const { grants, give } = await openTestGrants(home.path, { clock });
  await give("a__b", "store.get", { allowed_store_ids: ["x", "y"] });
  expect(grants.effective(CHILD, STORE_GET)).toMatchObject({ allowed: false, remedy: "rumi grant add a store.get" });
  await give("a", "store.get", { allowed_store_ids: ["y", "z"] }, "2026-01-01T00:01:00Z");
  expect(grants.effective(CHILD, STORE_GET)).toMatchObject({ allowed: true, config: { allowed_store_ids: ["y"] } });
  clock.advance(59_999);
  expect(grants.effective(CHILD, STORE_GET).allowed).toBe(true);
  clock.advance(1);
  expect(grants.effective(CHILD, STORE_GET)).toMatchObject({ allowed: false, code: "capability.grant_expired" });
  await give("a", "store.get", { allowed_store_ids: ["y", "z"] });
  expect(grants.effective(CHILD, STORE_GET).allowed).toBe(true);
  await grants.revoke({ principal_id: "a", permission_id: "store.get", actor: OPERATOR });
  expect(grants.effective(CHILD, STORE_GET).allowed).toBe(false);
});

test("levels that disagree on a text deny, and say on which", async () => {
  await using home = await temporaryFolder();
  const { grants, give } = await openTestGrants(home.path);
  await give("a", "fs.read", { mode: "x" });
  await give("a__b", "fs.read", { mode: "y" });
  const decision = grants.effective(CHILD, "fs.read" as PermissionId);
  expect(decision).toMatchObject({ allowed: false, code: "capability.config_conflict" });
  expect(decision).toHaveProperty("reason", expect.stringContaining("mode"));
});

test("the end of a grant is told once, in the audit log and to listeners", async () => {
  await using home = await temporaryFolder();
  const clock = new ManualClock();
  const { grants, give, events } = await openTestGrants(home.path, { clock });
  await give("a", "store.get", { allowed_store_ids: ["x"] }, "2026-01-01T00:01:00Z");
  const changes: GrantChange[] = [];
  const stop = grants.onChange((change) => changes.push(change));
  clock.advance(60_000);
  for (let asked = 0; asked < 3; asked++) grants.effective(A, STORE_GET);
  expect(events("permission").filter((event) => event.action === "expire")).toHaveLength(1);
  expect(changes).toEqual([{ principal_id: "a", permission_id: "store.get" }]);
  stop();
  await give("a", "store.get", { allowed_store_ids: ["x"] });
  expect(changes).toHaveLength(1);
});

test("a change is told after it holds", async () => {
  await using home = await temporaryFolder();
  const { grants, give } = await openTestGrants(home.path);
  const held: boolean[] = [];
  grants.onChange(({ principal_id, permission_id }) => held.push(grants.effective(principal_id, permission_id).allowed));
  await give("a", "store.get", { allowed_store_ids: ["x"] });
  await grants.revoke({ principal_id: "a", permission_id: "store.get", actor: OPERATOR });
  expect(held).toEqual([true, false]);
});

test("T46 a batch of 51 grants nothing; one bad of three is counted and the others are granted", async () => {
  await using home = await temporaryFolder();
  const { grants, events } = await openTestGrants(home.path);
  const good = { principal_id: "a", permission_id: "store.get", config: { allowed_store_ids: ["s"] } };
  await expect(
    grants.batch(
      Array.from({ length: 51 }, () => good),
      OPERATOR,
    ),
  ).rejects.toMatchObject({ code: "capability.batch_too_large" });
  expect(grants.list()).toEqual({});
  const bad = { ...good, config: { allowed_store_ids: null } };
  const answer = await grants.batch([good, bad, { ...good, principal_id: "b" }], OPERATOR);
  expect(answer).toMatchObject({ total: 3, succeeded: 2, failed: 1 });
  expect(answer.results.map((result) => [result.principal_id, result.granted, result.code])).toEqual([
    ["a", true, null],
    ["a", false, "capability.invalid_config"],
    ["b", true, null],
  ]);
  expect(events("permission").at(-1)).toMatchObject({ action: "batch", success: false, details: { total: 3, succeeded: 2, failed: 1 } });
  for (const odd of [null, 5, [], "x", { principal_id: 5 }, { ...good, actor: "root", extra: 1 }]) {
    expect(await grants.batch([odd], OPERATOR)).toMatchObject({ succeeded: 0, results: [{ code: "capability.invalid_config" }] });
  }
  expect(
    await grants.batch(
      Array.from({ length: 50 }, () => good),
      OPERATOR,
    ),
  ).toMatchObject({ succeeded: 50 });
});

test("T95 the audit log finds a grant, a refused grant, and a revoke by the operations guide's queries", async () => {
  await using home = await temporaryFolder();
  const { grants, give, events } = await openTestGrants(home.path);
  await give("a", "fs.read");
  await give("a", "secrets.get", { allowed_keys: ["K"] });
  await give("a", "network.egress", { allowed_domains: ["x.com"], allowed_ports: [443] });
  await grants.revoke({ principal_id: "a", permission_id: "fs.read", reason: "no more", actor: OPERATOR });
  await expect(grants.grant({ principal_id: "a", permission_id: "store.get", config: { nope: 1 }, actor: OPERATOR })).rejects.toMatchObject(
    { code: "capability.invalid_config" },
  );
  expect(events("permission").map(({ action, success, details }) => [action, success, details?.permission_type])).toEqual([
    ["grant", true, "capability_grant"],
    ["grant", true, "secret_grant"],
    ["grant", true, "network_grant"],
    ["revoke", true, "capability_grant"],
    ["grant", false, "capability_grant"],
  ]);
  expect(events("permission")[1]?.details).toMatchObject({
    principal_id: "a",
    permission_id: "secrets.get",
    config: { allowed_keys: ["K"] },
    undeclared: ["secrets.get"],
    actor: OPERATOR,
  });
  expect(events("permission")[3]?.details).toMatchObject({ reason: "no more" });
  expect(events("security").map((event) => [event.action, event.success])).toEqual([["capability.invalid_config", false]]);
});

test("what a pack did not ask for is marked, in the answer, the listing and the log, as the pack asks now", async () => {
  await using home = await temporaryFolder();
  const declared = {
    a: {
      "store.get": { allowed_store_ids: ["s", "t*"] },
      "network.egress": { allowed_domains: ["*.FOO.com"], allowed_ports: [443] },
      "fs.read": { deep: { n: 3, on: true }, mode: "x" },
    },
  } satisfies Record<string, Record<string, JsonObject>>;
  const { grants } = await openTestGrants(home.path, { declared, handlers: ["fs.read"] });
  const undeclaredOf = async (permission_id: string, config: JsonObject): Promise<readonly string[]> =>
    (await grants.grant({ principal_id: "a", permission_id, config, actor: OPERATOR })).undeclared;
  expect(await undeclaredOf("store.get", { allowed_store_ids: ["s", "t1", "t2*"] })).toEqual([]);
  expect(await undeclaredOf("store.get", { allowed_store_ids: ["s", "u"] })).toEqual(["allowed_store_ids: u"]);
  expect(
    await undeclaredOf("network.egress", { allowed_domains: ["api.foo.com"], allowed_ports: [443], allowed_methods: ["GET"] }),
  ).toEqual([]);
  expect(
    await undeclaredOf("network.egress", {
      allowed_domains: ["*"],
      allowed_ports: [443, 80],
      allow_private: ["nas:1"],
      requests_per_minute: 99,
    }),
  ).toEqual(["allow_private: nas:1", "allowed_domains: *", "allowed_ports: 80", "requests_per_minute: 99"]);
  expect(await undeclaredOf("fs.read", { deep: { n: 4, on: true, off: false, more: true }, mode: "y" })).toEqual([
    "deep.more: true",
    "deep.n: 4",
    "mode: y",
  ]);
  expect(await undeclaredOf("docker.run", { allowed_images: ["x"] })).toEqual(["docker.run"]);
  const listed = grants.list("a").a?.map((grant) => [grant.permission_id, grant.undeclared.length]) ?? [];
  expect(Object.fromEntries(listed)).toEqual({ "store.get": 1, "network.egress": 4, "fs.read": 3, "docker.run": 1 });
});

test("warnings: unknown principal, unknown permission, parent without the grant, wide lists, private hosts, nothing allowed", async () => {
  await using home = await temporaryFolder();
  const { grants } = await openTestGrants(home.path, { declared: { known: {} }, handlers: ["fs.read"] });
  const warningsOf = async (principal_id: string, permission_id: string, config: JsonObject = {}): Promise<string> =>
    (await grants.grant({ principal_id, permission_id, config, actor: OPERATOR })).warnings.join("\n");
  expect(await warningsOf("stranger", "fs.read")).toContain("no pack stranger");
  expect(await warningsOf("known", "fs.write")).toContain("nothing provides fs.write");
  expect(await warningsOf("known", "fs.read")).not.toContain("nothing provides");
  expect(await warningsOf("known__x", "fs.read2")).toContain("known holds no grant of fs.read2");
  expect(await warningsOf("known", "store.get")).toContain("allowed_store_ids is empty");
  expect(await warningsOf("known", "store.get", { allowed_store_ids: ["*"] })).toContain('allowed_store_ids "*"');
  const wide = await warningsOf("known", "network.egress", { allowed_domains: ["*"], allowed_ports: ["*"], allow_private: ["nas:80"] });
  expect(wide).toContain("every host of the internet");
  expect(wide).toContain("private addresses: nas:80");
  expect(await warningsOf("known", "secrets.use", { allowed_bindings: ["K@x.com"] })).toContain("changes a value on purpose");
  expect(await warningsOf("known", "docker.run", { allowed_images: ["x"], max_memory: "2g" })).toContain("1073741824 was granted");
  expect(await warningsOf("system", "store.get", { allowed_store_ids: ["s"] })).toBe("");
});

test("expires_at: in the past or not a time is refused; with an offset it is kept in UTC", async () => {
  await using home = await temporaryFolder();
  const { grants } = await openTestGrants(home.path);
  const until = (expires_at: string | null) => grants.grant({ principal_id: "a", permission_id: "fs.read", expires_at, actor: OPERATOR });
  for (const wrong of ["2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z", "tomorrow", "2027", "2027-13-01T00:00:00Z", "", "1e9"]) {
    await expect(until(wrong)).rejects.toMatchObject({ code: "capability.invalid_config" });
  }
  expect((await until("2027-01-01T02:00+02:00")).grant.expires_at).toBe("2027-01-01T00:00:00.000Z");
  expect((await until(null)).grant.expires_at).toBeUndefined();
});

test("limits: each level counts its own uses; the last use is listed; revoke and grant start anew", async () => {
  await using home = await temporaryFolder();
  const { grants, give } = await openTestGrants(home.path);
  await give("a", "secrets.get", { allowed_keys: ["K"], max_uses: 3 });
  await give("a__b", "secrets.get", { allowed_keys: ["K"], max_uses: 2 });
  const use = (principal: PackId): boolean => {
    const grant = grants.effective(principal, SECRETS_GET);
    return grant.allowed && grants.take(principal, grant);
  };
  expect([use(CHILD), use(CHILD), use(CHILD), use(A), use(A)]).toEqual([true, true, false, true, false]);
  expect(grants.list("a").a?.[0]?.last_used_at).toBe("2026-01-01T00:00:00.000Z");
  await give("a", "secrets.get", { allowed_keys: ["K"], max_uses: 3 });
  expect(use(A)).toBe(false);
  await grants.revoke({ principal_id: "a", permission_id: "secrets.get", actor: OPERATOR });
  await give("a", "secrets.get", { allowed_keys: ["K"], max_uses: 1 });
  expect([use(A), use(A)]).toEqual([true, false]);
});

test("folded configs carry their defaults and cannot be changed by who reads them", async () => {
  await using home = await temporaryFolder();
  const { grants, give } = await openTestGrants(home.path);
  await give("a", "store.set", { allowed_store_ids: ["s"] });
  const grant = grants.effective(A, "store.set" as PermissionId);
  if (!grant.allowed) throw new Error(grant.reason);
  expect(grant.config).toEqual({ allowed_store_ids: ["s"], max_value_bytes: 1_048_576 });
  expect(() => (grant.config.allowed_store_ids as string[]).push("t")).toThrow(TypeError);
});
