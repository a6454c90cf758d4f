import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { CODES, createApi } from "@rumi/api";
import type { ApiDeps } from "@rumi/api";
import { FakeHouse } from "@rumi/api/testing";
import { HostPrivileges } from "@rumi/capability";
import { openTestGrants } from "@rumi/capability/testing";
import type { TestGrants } from "@rumi/capability/testing";
import { systemRandom } from "@rumi/core";
import type { JsonObject, PackId, PermissionId } from "@rumi/core";
import { ManualClock } from "@rumi/core/testing";
import { EgressReports } from "@rumi/egress";
import { LiveSecrets, SecretStore } from "@rumi/secrets";
import { MemoryKvStore, StoreCursors, StoreRegistry } from "@rumi/store";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { bindRights } from "./bind-rights.ts";
import { packsWithRights } from "./packs-with-rights.ts";

const VALUE = "sk-live-9f83hd7Q2k";

type Wishes = Readonly<Record<string, JsonObject>>;

interface House extends AsyncDisposable {
  readonly test: TestGrants;
  readonly clock: ManualClock;
  readonly live: LiveSecrets;
  readonly fake: FakeHouse;
  readonly deps: ApiDeps;
  readonly reported: string[];
  ask(method: string, path: string, body?: unknown): Promise<{ status: number; code: string | null; data: never; text: string }>;
}

/** The real parts of rights behind a real API; packs are the fake house's. */
async function open(folder: string, wishes: Readonly<Record<string, Wishes>> = { my_pack: {} }): Promise<House> {
  const clock = new ManualClock();
  const opened = await openTestGrants(folder, { clock, declared: wishes });
  const { audit, diagnostics, gate, grants, network, signed, userData } = opened;
  const shared = { signed, userData, audit, diagnostics, clock };
  await mkdir(join(userData, "settings"), { recursive: true });
  const live = new LiveSecrets();
  const key = { kind: "settings", path: join(userData, "settings", ".secrets_key") } as const;
  const secrets = await SecretStore.open({ ...shared, key, random: systemRandom, live });
  const kv = new MemoryKvStore();
  const stores = new StoreRegistry({ ...shared, kv });
  await stores.load();
  const privileges = new HostPrivileges({ ...shared, forbiddenSources: [folder] });
  await privileges.load();
  const reported: string[] = [];
  const declared = {
    declared: (id: PackId) =>
      Object.hasOwn(wishes, id) ? new Map(Object.entries(wishes[id] ?? {}) as [PermissionId, JsonObject][]) : null,
  };
  const rights = bindRights({
    grants,
    declared,
    clock,
    verdicts: network,
    gate,
    reports: new EgressReports({ clock }),
    audit,
    onReport: (id) => reported.push(id),
    secrets,
    privileges,
    stores,
    kv,
    cursors: new StoreCursors(new Uint8Array(32)),
  });
  const fake = new FakeHouse();
  for (const id of Object.keys(wishes)) fake.addPack(id, "v1", "approved");
  const manifest = { stores: [{ store_id: "cache" }] };
  const withStores = { gate: (id: PackId) => ({ ...gate.gate(id), pack: { manifest } }) };
  const packs = packsWithRights(fake.deps.packs, { gate: withStores as never, grants, verdicts: network, stores, clock });
  const deps: ApiDeps = { ...fake.deps, ...rights, packs, redact: (text) => live.redact(text) };
  const api = createApi(deps);
  const token = await fake.token("admin");
  return {
    test: opened,
    clock,
    live,
    fake,
    deps,
    reported,
    async ask(method, path, body) {
      const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
      const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
      const response = await api.app.request(`http://127.0.0.1:8765${path}`, init);
      const text = await response.text();
      const { code, data } = JSON.parse(text) as { code: string | null; data: never };
      return { status: response.status, code, data, text };
    },
    [Symbol.asyncDispose]: () => secrets[Symbol.asyncDispose](),
  };
}

test("the operations guide's requests about rights and secrets do what they say", async () => {
  await using folder = await temporaryFolder();
  await using house = await open(folder.path);
  const network = { pack_id: "my_pack", allowed_domains: ["api.openai.com", "*.anthropic.com"], allowed_ports: [443] };
  expect((await house.ask("POST", "/api/network/grant", network)).status).toBe(200);
  const check = { pack_id: "my_pack", domain: "api.openai.com", port: 443 };
  expect((await house.ask("POST", "/api/network/check", check)).data).toEqual({ ...check, allowed: true, reason: "Access granted" });
  const list = await house.ask("GET", "/api/network/list");
  expect(list.data).toMatchObject({
    grants: { my_pack: { ...network, granted_by: expect.stringMatching(/^token:/u) } },
    grant_count: 1,
    disabled_count: 0,
  });
  expect((await house.ask("POST", "/api/network/revoke", { pack_id: "my_pack", reason: "不要になった" })).data).toEqual({
    pack_id: "my_pack",
    revoked: true,
  });
  expect((await house.ask("POST", "/api/network/check", check)).data).toMatchObject({
    allowed: false,
    reason: "No network grant for this pack",
  });
  const right = { principal_id: "my_pack", permission_id: "fs.read" };
  expect((await house.ask("POST", "/api/capability/grants/grant", right)).data).toMatchObject({ granted: true, config: {} });
  expect((await house.ask("GET", "/api/capability/grants?principal_id=my_pack")).data).toMatchObject({
    grants: { my_pack: { status: "ok", rights: [{ permission_id: "fs.read", undeclared: ["fs.read"], last_used_at: null }] } },
    count: 1,
  });
  expect((await house.ask("POST", "/api/capability/grants/revoke", right)).data).toEqual({ revoked: 1 });
  expect((await house.ask("POST", "/api/secrets/set", { key: "OPENAI_API_KEY", value: VALUE })).data).toMatchObject({ created: true });
  expect((await house.ask("GET", "/api/secrets")).data).toMatchObject({
    secrets: [{ key: "OPENAI_API_KEY", masked: "********" }],
    state: "open",
  });
  expect((await house.ask("POST", "/api/secrets/delete", { key: "OPENAI_API_KEY" })).data).toMatchObject({ deleted: true });
});

test("H30 H31 an absent pack is warned about, its grant sleeps, and what is undeclared is marked everywhere", async () => {
  await using folder = await temporaryFolder();
  await using house = await open(folder.path, { my_pack: { "network.egress": { allowed_domains: ["a.example"], allowed_ports: [443] } } });
  house.test.gate.closed.add("absent");
  const given = await house.ask("POST", "/api/network/grant", { pack_id: "absent", allowed_domains: ["a.example"], allowed_ports: [443] });
  expect(given.data).toMatchObject({ warnings: [expect.stringContaining("absent"), expect.anything()], undeclared: ["network.egress"] });
  const wide = { pack_id: "my_pack", allowed_domains: ["a.example", "b.example"], allowed_ports: [443, 80] };
  expect((await house.ask("POST", "/api/network/grant", wide)).data).toMatchObject({
    undeclared: ["allowed_domains: b.example", "allowed_ports: 80"],
  });
  const list = await house.ask("GET", "/api/network/list");
  expect(list.data).toMatchObject({
    grants: { my_pack: { undeclared: ["allowed_domains: b.example", "allowed_ports: 80"] } },
    disabled_packs: { absent: "absent was modified" },
    disabled_count: 1,
  });
});

test("grant rules of the book reach the operator as 400, 404 and 409, each with a known code", async () => {
  await using folder = await temporaryFolder();
  await using house = await open(folder.path);
  for (const [path, body, status, code] of [
    ["network/grant", { pack_id: "my_pack", allowed_domains: ["*.com"], allowed_ports: [443] }, 400, "capability.invalid_config"],
    ["network/grant", { pack_id: "my_pack", allowed_domains: ["127.0.0.1"], allowed_ports: [443] }, 400, "capability.invalid_config"],
    [
      "capability/grants/grant",
      { principal_id: "my_pack", permission_id: "store.get", config: { what: 1 } },
      400,
      "capability.invalid_config",
    ],
    ["capability/grants/grant", { principal_id: "my_pack", permission_id: "host.execute" }, 400, "capability.invalid_config"],
    [
      "capability/grants/grant",
      { principal_id: "my_pack", permission_id: "a.b", expires_at: "2001-01-01T00:00:00.000Z" },
      400,
      "capability.invalid_config",
    ],
    ["capability/grants/revoke", { principal_id: "my_pack", permission_id: "*" }, 404, "capability.grant_not_found"],
    ["capability/grants/reset", { principal_id: "my_pack" }, 404, "capability.grant_not_found"],
    ["secrets/grants/my_pack", { mode: "use", bindings: ["A@*"] }, 400, "capability.invalid_config"],
    ["privileges/my_pack/grant/host.execute", { config: ["*"] }, 400, "capability.invalid_config"],
    ["privileges/my_pack/revoke/host.mount", {}, 404, "capability.grant_not_found"],
    ["secrets/set", { key: "A", value: "abc" }, 400, "secrets.too_short"],
    ["secrets/delete", { key: "NONE" }, 404, "secrets.not_found"],
    ["stores/create", { store_id: "a", root_path: "/etc" }, 400, "store.invalid_root"],
    ["stores/none/import", { path: "/none" }, 404, "store.not_found"],
    ["stores/shared/approve", { owner_pack: "a", target_pack: "b", store_id: "none" }, 404, "store.not_found"],
  ] as const) {
    const answer = await house.ask("POST", `/api/${path}`, body);
    expect([path, answer.status, answer.code]).toEqual([path, status, code]);
    expect(Object.keys(CODES)).toContain(answer.code);
  }
  const batch = await house.ask("POST", "/api/capability/grants/batch", {
    grants: [
      { principal_id: "my_pack", permission_id: "store.get", config: { allowed_store_ids: ["a"] } },
      { principal_id: "my_pack" },
      {},
    ],
  });
  expect(batch.data).toMatchObject({ total: 3, succeeded: 1, failed: 2 });
  const many = Array.from({ length: 51 }, () => ({ principal_id: "my_pack", permission_id: "store.get" }));
  expect((await house.ask("POST", "/api/capability/grants/batch", { grants: many })).code).toBe("capability.batch_too_large");
});

test("one secret is taken out of both rights; the rest, its end and its notes stay; concurrent ones lose nothing", async () => {
  await using folder = await temporaryFolder();
  await using house = await open(folder.path);
  const terms = { expires_at: "2099-01-01T00:00:00.000Z", notes: "why" };
  await house.ask("POST", "/api/secrets/grants/my_pack", {
    mode: "use",
    bindings: ["A@a.example", "B@a.example", "C@c.example"],
    slots: ["query"],
    ...terms,
  });
  await house.ask("POST", "/api/secrets/grants/my_pack", { mode: "get", keys: ["A", "B", "C"] });
  const gone = await Promise.all(["A", "B"].map((key) => house.ask("DELETE", `/api/secrets/grants/my_pack/${key}`)));
  expect(gone.map((answer) => answer.data)).toEqual([{ revoked: 2 }, { revoked: 2 }]);
  expect((await house.ask("GET", "/api/secrets/grants/my_pack")).data).toMatchObject({
    use: { config: { allowed_bindings: ["C@c.example"], allowed_slots: ["query"] }, ...terms },
    get: { config: { allowed_keys: ["C"] } },
  });
  expect((await house.ask("DELETE", "/api/secrets/grants/my_pack/A")).status).toBe(404);
  house.clock.advance(Date.parse(terms.expires_at));
  expect((await house.ask("DELETE", "/api/secrets/grants/my_pack/C")).data).toEqual({ revoked: 2 });
  expect((await house.ask("GET", "/api/secrets/grants")).data).toEqual({ grants: {}, count: 0 });
});

test("approve with grant_declared gives what is declared, keeps what was held, and says what it left out", async () => {
  await using folder = await temporaryFolder();
  const wishes: Wishes = {
    "network.egress": { allowed_domains: ["a.example", "127.0.0.1"], allowed_ports: [443] },
    "secrets.use": { allowed_bindings: ["A@a.example"] },
    "flow.run": { allowed_flow_ids: ["*"] },
    "store.get": { allowed_store_ids: ["my_pack__cache"], nonsense: true },
  };
  await using house = await open(folder.path, { my_pack: wishes });
  await house.test.give(
    "my_pack",
    "network.egress",
    { allowed_domains: ["own.example"], allowed_ports: [80], requests_per_minute: 3 },
    "2099-01-01T00:00:00.000Z",
  );
  const answer = await house.ask("POST", "/api/packs/my_pack/approve", { grant_declared: true });
  const network = { allowed_domains: ["own.example", "a.example"], allowed_ports: [80, 443], requests_per_minute: 3 };
  expect(answer.data).toMatchObject({
    status: "approved",
    granted: [
      { permission_id: "network.egress", config: network },
      { permission_id: "secrets.use", config: { allowed_bindings: ["A@a.example"] } },
    ],
    stores_created: ["my_pack__cache"],
  });
  expect((answer.data as { warnings: string[] }).warnings).toEqual(
    expect.arrayContaining([
      "network.egress: allowed_domains 127.0.0.1 is left to you",
      "flow.run: allowed_flow_ids * is left to you",
      expect.stringMatching(/^store\.get was not granted: /u),
    ]),
  );
  const held = house.test.grants.list("my_pack")["my_pack"];
  expect(held?.map((right) => [right.permission_id, right.expires_at])).toEqual([
    ["network.egress", "2099-01-01T00:00:00.000Z"],
    ["secrets.use", undefined],
  ]);
  const again = await house.ask("POST", "/api/packs/my_pack/approve", {});
  expect(again.data).toMatchObject({ granted: [], stores_created: [] });
});

test("a review tells which rights wake, which are undeclared, and what one key would give; a status whether the network is on", async () => {
  await using folder = await temporaryFolder();
  await using house = await open(folder.path, { my_pack: {} });
  const { test: opened, fake } = house;
  await opened.give("my_pack", "network.egress", { allowed_domains: ["a.example"], allowed_ports: [443] });
  await opened.give("my_pack", "old.one", {}, "2026-01-01T00:00:01.000Z");
  house.clock.advance(2000);
  expect((await house.ask("GET", "/api/packs/my_pack/status")).data).toMatchObject({ network_enabled: true });
  opened.gate.closed.add("my_pack");
  expect((await house.ask("GET", "/api/packs/my_pack/status")).data).toMatchObject({ network_enabled: false });
  fake.reviewExtras = {
    declared_rights: { "network.egress": { allowed_domains: ["a.example"], allowed_ports: [443, "*"] }, bad: [] },
    status: "modified",
  } as never;
  const { data } = await house.ask("GET", "/api/packs/my_pack/review");
  expect(data).toMatchObject({
    sleeping_grants: [{ permission_id: "network.egress" }],
    undeclared_grants: [{ permission_id: "network.egress", undeclared: ["network.egress"] }],
    declared_grants: [
      {
        permission_id: "network.egress",
        config: { allowed_domains: ["a.example"], allowed_ports: [443] },
        left_out: ["allowed_ports *"],
        held: true,
      },
    ],
  });
  expect(data).not.toHaveProperty("declared_rights");
});

test("a report is audited before it begins, and ends with 0", async () => {
  await using folder = await temporaryFolder();
  await using house = await open(folder.path);
  const started = await house.ask("POST", "/api/network/report", { pack_id: "my_pack", seconds: 60 });
  expect(started.data).toEqual({ until: "2026-01-01T00:01:00.000Z" });
  expect(house.test.events("network").map(({ action, details }) => [action, details?.["seconds"]])).toEqual([["network_report", 60]]);
  expect((await house.ask("GET", "/api/network/report?pack_id=my_pack")).data).toEqual({
    until: "2026-01-01T00:01:00.000Z",
    observed: [],
    proposed: null,
  });
  expect((await house.ask("POST", "/api/network/report", { pack_id: "my_pack", seconds: 0 })).data).toEqual({ until: null });
  expect(house.reported).toEqual(["my_pack", "my_pack"]);
});

test("stores are listed, paged by cursors of their own, shared and deleted", async () => {
  await using folder = await temporaryFolder();
  await using house = await open(folder.path);
  await house.ask("POST", "/api/stores/create", { store_id: "notes", max_keys: 10 });
  await mkdir(join(folder.path, "in", "a"), { recursive: true });
  const { writeFile } = await import("node:fs/promises");
  for (const name of ["a/b", "c", "d"]) await writeFile(join(folder.path, "in", `${name}.json`), JSON.stringify({ of: name }));
  const imported = await house.ask("POST", "/api/stores/notes/import", { path: join(folder.path, "in") });
  expect(imported.data).toMatchObject({ imported: 3, skipped: 0, errors: [] });
  const first = await house.ask("GET", "/api/stores/notes/keys?limit=2");
  expect(first.data).toMatchObject({ keys: ["a/b", "c"], count: 2, total_estimate: 3 });
  const cursor = (first.data as { next_cursor: string }).next_cursor;
  expect((await house.ask("GET", `/api/stores/notes/keys?limit=2&cursor=${cursor}`)).data).toMatchObject({
    keys: ["d"],
    next_cursor: null,
  });
  for (const query of [`cursor=${cursor}x`, `prefix=c&cursor=${cursor}`, "cursor="])
    expect([query, (await house.ask("GET", `/api/stores/notes/keys?${query}`)).code]).toEqual([query, "store.invalid_cursor"]);
  expect((await house.ask("GET", "/api/stores/notes/keys?prefix=%20")).code).toBe("store.invalid_key");
  expect((await house.ask("GET", "/api/stores/notes/value?key=a%2Fb")).data).toEqual({
    store_id: "notes",
    key: "a/b",
    value: { of: "a/b" },
  });
  for (const [key, code] of [
    ["none", "store.not_found"],
    ["..%2Fx", "store.invalid_key"],
  ])
    expect((await house.ask("GET", `/api/stores/notes/value?key=${key}`)).code).toBe(code);
  expect((await house.ask("GET", "/api/stores")).data).toMatchObject({
    stores: [{ store_id: "notes", owner: null, keys: 3, max_keys: 10 }],
  });
  expect((await house.ask("DELETE", "/api/stores/notes")).code).toBe("store.conflict");
  expect((await house.ask("DELETE", "/api/stores/notes?force=true")).data).toEqual({ store_id: "notes", deleted: true });
  await house.ask("POST", "/api/packs/my_pack/approve", {});
  const shared = await house.ask("POST", "/api/stores/shared/approve", {
    owner_pack: "my_pack",
    target_pack: "b",
    store_id: "my_pack__cache",
  });
  expect(shared.data).toMatchObject({ entries: [{ provider_pack_id: "my_pack", consumer_pack_id: "b", mode: "read" }], count: 1 });
});

test("H62 a secret that is set is in no answer, file or audit entry from then on, also when a store holds it", async () => {
  await using folder = await temporaryFolder();
  await using house = await open(folder.path);
  const answers = [await house.ask("POST", "/api/secrets/set", { key: "API_KEY", value: VALUE })];
  await house.ask("POST", "/api/stores/create", { store_id: "notes" });
  await house.deps.stores.create({ store_id: "other" as never }, "test");
  const { writeFile } = await import("node:fs/promises");
  await mkdir(join(folder.path, "in"));
  await writeFile(
    join(folder.path, "in", "leak.json"),
    JSON.stringify({ [VALUE]: `Bearer ${VALUE}`, b64: Buffer.from(VALUE).toString("base64") }),
  );
  await house.ask("POST", "/api/stores/notes/import", { path: join(folder.path, "in") });
  answers.push(
    await house.ask("GET", "/api/stores/notes/value?key=leak"),
    await house.ask("POST", "/api/capability/grants/grant", { principal_id: "my_pack", permission_id: "a.b", config: { note: VALUE } }),
    await house.ask("GET", "/api/capability/grants"),
    await house.ask("POST", "/api/secrets/rotate-key"),
    await house.ask("GET", "/api/secrets"),
  );
  for (const { status, text } of answers) {
    expect(status).toBe(200);
    for (const form of [VALUE, Buffer.from(VALUE).toString("base64").slice(0, 20)]) expect(text).not.toContain(form);
  }
  const told = JSON.stringify(house.test.audit.events.filter((event) => event.category === "security"));
  expect(told).toContain("secret_set");
  expect(told).not.toContain(VALUE);
});
