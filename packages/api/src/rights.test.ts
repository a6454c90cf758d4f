import { expect, test } from "vitest";
import { ask } from "./testing/ask.ts";
import type { Answer } from "./testing/ask.ts";
import { FakeHouse } from "./testing/index.ts";

type Post = (path: string, body: unknown) => Promise<Answer>;

async function house(scope: "read" | "approve" | "admin" = "admin"): Promise<{ house: FakeHouse; token: string; post: Post }> {
  const made = new FakeHouse({ limits: { tokenRateLimit: 10_000 } });
  made.addPack("my_pack", "v1", "approved");
  const token = await made.token(scope);
  return { house: made, token, post: (path, body) => ask(made, "POST", path, { token, body: JSON.stringify(body) }) };
}

const NETWORK = { pack_id: "my_pack", allowed_domains: ["api.openai.com", "*.anthropic.com"], allowed_ports: [443] };

test("the requests of the operations guide are answered as they are written there", async () => {
  const { house: made, token, post } = await house("admin");
  const done: unknown[] = [];
  for (const [path, body] of [
    ["/api/network/grant", NETWORK],
    ["/api/network/check", { pack_id: "my_pack", domain: "api.openai.com", port: 443 }],
    ["/api/network/revoke", { pack_id: "my_pack", reason: "不要になった" }],
    ["/api/capability/grants/grant", { principal_id: "my_pack", permission_id: "fs.read" }],
    ["/api/capability/grants/revoke", { principal_id: "my_pack", permission_id: "fs.read" }],
    ["/api/secrets/set", { key: "OPENAI_API_KEY", value: "sk-..." }],
    ["/api/secrets/delete", { key: "OPENAI_API_KEY" }],
  ] as const) {
    const answer = await post(path, body);
    expect([path, answer.status, answer.json.error]).toEqual([path, 200, null]);
    done.push(answer.json.data);
  }
  expect(done[1]).toEqual({ allowed: true, reason: "Access granted", pack_id: "my_pack", domain: "api.openai.com", port: 443 });
  expect(done[2]).toEqual({ pack_id: "my_pack", revoked: true });
  expect(done[4]).toEqual({ revoked: 1 });
  for (const path of ["/api/network/list", "/api/capability/grants?principal_id=my_pack", "/api/secrets"])
    expect((await ask(made, "GET", path, { token })).status).toBe(200);
});

test.each<[string, unknown]>([
  ["no ports", { ...NETWORK, allowed_ports: undefined }],
  ["no domains", { ...NETWORK, allowed_domains: undefined }],
  ["null for the ports", { ...NETWORK, allowed_ports: null }],
  ["a word for a port", { ...NETWORK, allowed_ports: ["abc"] }],
  ["digits in quotes", { ...NETWORK, allowed_ports: ["443"] }],
  ["port 0", { ...NETWORK, allowed_ports: [0] }],
  ["port 65536", { ...NETWORK, allowed_ports: [65_536] }],
  ["port -1", { ...NETWORK, allowed_ports: [-1] }],
  ["half a port", { ...NETWORK, allowed_ports: [443.5] }],
  ["ports that are no list", { ...NETWORK, allowed_ports: 443 }],
  ["a bare star for the ports", { ...NETWORK, allowed_ports: "*" }],
  ["a domain that is no text", { ...NETWORK, allowed_domains: [1] }],
  ["an empty domain", { ...NETWORK, allowed_domains: [""] }],
  ["domains as one text", { ...NETWORK, allowed_domains: "api.example.com" }],
  ["a private pair without port", { ...NETWORK, allow_private: ["127.0.0.1"] }],
  ["a method there is not", { ...NETWORK, allowed_methods: ["TRACE"] }],
  ["no request a minute", { ...NETWORK, requests_per_minute: 0 }],
  ["a time that is none", { ...NETWORK, expires_at: "tomorrow" }],
  ["an unknown field", { ...NETWORK, allow_all: true }],
  ["a principal", { ...NETWORK, principal_id: "other" }],
  ["a pack id with a slash", { ...NETWORK, pack_id: "a/b" }],
  ["no pack id", { ...NETWORK, pack_id: undefined }],
])("H29 a network grant with %s is 400 and grants nothing", async (_, body) => {
  const { house: made, post } = await house("approve");
  const answer = await post("/api/network/grant", body);
  expect([answer.status, answer.json.code]).toEqual([400, "request.invalid"]);
  expect(made.calls).toEqual([]);
});

test("__proto__ and its like in any body, at any depth, are 400", async () => {
  const { house: made, token } = await house();
  for (const path of ["/api/capability/grants/grant", "/api/network/grant", "/api/secrets/set", "/api/stores/create"]) {
    for (const body of ['{"__proto__":{"principal_id":"my_pack"}}', '{"config":{"a":{"__proto__":1}}}', '{"config":[{"constructor":1}]}']) {
      const answer = await ask(made, "POST", path, { token, body });
      expect([path, answer.status, answer.json.code]).toEqual([path, 400, "request.invalid_json"]);
    }
  }
  expect(made.calls).toEqual([]);
});

test("H30 a grant to an absent pack is given, with a warning, and sleeps", async () => {
  const { house: made, token, post } = await house("approve");
  const answer = await post("/api/network/grant", { ...NETWORK, pack_id: "not_here" });
  expect([answer.status, answer.json.data?.["warnings"]]).toEqual([200, ["there is no pack not_here yet", "the pack does not declare it"]]);
  const { data } = (await ask(made, "GET", "/api/network/list", { token })).json;
  expect(data).toMatchObject({ grant_count: 1, disabled_packs: { not_here: "Pack is not approved" }, disabled_count: 1 });
});

test("H31 a right beyond what is declared is marked undeclared in every list", async () => {
  const { house: made, token, post } = await house();
  made.rights.declared.set("my_pack", [{ permission_id: "store.get", config: {}, left_out: [] }]);
  const granted = await post("/api/network/grant", NETWORK);
  expect(granted.json.data?.["undeclared"]).toEqual(["network.egress"]);
  await post("/api/capability/grants/grant", { principal_id: "my_pack", permission_id: "store.get" });
  await post("/api/secrets/grants/my_pack", { mode: "use", bindings: ["API_KEY@api.example.com"] });
  const get = async (path: string) => (await ask(made, "GET", path, { token })).json.data as never;
  expect(await get("/api/network/list")).toMatchObject({ grants: { my_pack: { undeclared: ["network.egress"] } } });
  expect(await get("/api/secrets/grants")).toMatchObject({ grants: { my_pack: { use: { undeclared: ["secrets.use"] }, get: null } } });
  const { grants } = (await get("/api/capability/grants")) as {
    grants: { my_pack: { rights: { permission_id: string; undeclared: string[] }[] } };
  };
  expect(grants.my_pack.rights.map((right) => [right.permission_id, right.undeclared.length, "last_used_at" in right])).toEqual([
    ["network.egress", 1, true],
    ["store.get", 0, true],
    ["secrets.use", 1, true],
  ]);
});

test("H22 a revoke of what is not there is 404, of every kind, with the command that lists it", async () => {
  const { house: made, token, post } = await house();
  for (const [path, body, code] of [
    ["/api/network/revoke", { pack_id: "my_pack" }, "capability.grant_not_found"],
    ["/api/capability/grants/revoke", { principal_id: "my_pack", permission_id: "store.get" }, "capability.grant_not_found"],
    ["/api/capability/grants/revoke", { principal_id: "nobody", permission_id: "*" }, "capability.grant_not_found"],
    ["/api/privileges/my_pack/revoke/host.mount", {}, "capability.grant_not_found"],
    ["/api/secrets/delete", { key: "NONE" }, "secrets.not_found"],
    ["/api/stores/shared/revoke", { owner_pack: "a", target_pack: "b", store_id: "c" }, "store.not_found"],
    ["/api/stores/none/import", { path: "/srv" }, "store.not_found"],
  ] as const) {
    const answer = await post(path, body);
    expect([path, answer.status, answer.json.code, typeof answer.json.data?.["remedy"]]).toEqual([path, 404, code, "string"]);
  }
  for (const path of ["/api/secrets/grants/my_pack", "/api/secrets/grants/my_pack/API_KEY", "/api/stores/none"])
    expect([path, (await ask(made, "DELETE", path, { token })).status]).toEqual([path, 404]);
  for (const path of ["/api/secrets/grants/my_pack", "/api/stores/none/keys", "/api/stores/none/value?key=a"])
    expect([path, (await ask(made, "GET", path, { token })).status]).toEqual([path, 404]);
});

test.each<[string, unknown]>([
  ["mode use without bindings", { mode: "use" }],
  ["an empty list of bindings", { mode: "use", bindings: [] }],
  ["a binding without host", { mode: "use", bindings: ["API_KEY"] }],
  ["a binding of a lower-case key", { mode: "use", bindings: ["api_key@a.example"] }],
  ["a slot there is not", { mode: "use", bindings: ["API_KEY@a.example"], slots: ["path"] }],
  ["bindings and keys", { mode: "use", bindings: ["API_KEY@a.example"], keys: ["API_KEY"] }],
  ["mode get with bindings", { mode: "get", bindings: ["API_KEY@a.example"] }],
  ["mode get without keys", { mode: "get" }],
  ["an empty list of keys", { mode: "get", keys: [] }],
  ["both names of the keys", { mode: "get", keys: ["A"], secret_keys: ["B"] }],
  ["a star for a key", { mode: "get", keys: ["*"] }],
  ["no mode", { secret_keys: ["API_KEY"] }],
  ["another mode", { mode: "all", keys: ["API_KEY"] }],
])("H33 a secret grant with %s is 400 and grants nothing", async (_, body) => {
  const { house: made, post } = await house("approve");
  for (const [path, whole] of [
    ["/api/secrets/grants/my_pack", body],
    ["/api/secrets/grants", { ...(body as object), pack_id: "my_pack" }],
  ] as const) {
    const answer = await post(path, whole);
    expect([answer.status, answer.json.code]).toEqual([400, "request.invalid"]);
  }
  expect(made.calls).toEqual([]);
});

test("secret grants are the secrets.use and secrets.get rights; a key is taken out of both, and an empty right goes", async () => {
  const { house: made, token, post } = await house();
  await post("/api/secrets/grants/my_pack", { mode: "use", bindings: ["A@x.example", "B@y.example"], slots: ["header"] });
  await post("/api/secrets/grants/my_pack", { mode: "get", keys: ["A"], expires_at: "2099-01-01T00:00:00.000Z" });
  expect(made.rights.held.get("my_pack")?.get("secrets.use")?.config).toEqual({
    allowed_bindings: ["A@x.example", "B@y.example"],
    allowed_slots: ["header"],
  });
  expect(made.rights.held.get("my_pack")?.get("secrets.get")).toMatchObject({
    config: { allowed_keys: ["A"] },
    expires_at: "2099-01-01T00:00:00.000Z",
  });
  expect((await ask(made, "DELETE", "/api/secrets/grants/my_pack/A", { token })).json.data).toEqual({ revoked: 2 });
  const left = (await ask(made, "GET", "/api/secrets/grants/my_pack", { token })).json.data;
  expect(left).toMatchObject({ use: { config: { allowed_bindings: ["B@y.example"], allowed_slots: ["header"] } }, get: null });
  expect((await ask(made, "DELETE", "/api/secrets/grants/my_pack", { token })).json.data).toEqual({ revoked: 1 });
});

test("H34 a privilege by an approve token is 403; one that is none is 400", async () => {
  const { house: made, post } = await house("approve");
  const refused = await post("/api/privileges/my_pack/grant/host.execute", { config: ["handler_a"] });
  expect([refused.status, refused.json.code, refused.json.data?.["scope"]]).toEqual([403, "auth.scope", "admin"]);
  expect(made.calls).toEqual([]);
  const admin = await house("admin");
  expect((await admin.post("/api/privileges/my_pack/grant/host.root", {})).json.code).toBe("request.invalid_id");
  expect((await admin.post("/api/privileges/my_pack/grant/host.execute", { config: ["*"] })).json.code).toBe("capability.invalid_config");
});

test("T46 a batch grants what is good and answers for the rest in its place; 51 grant nothing", async () => {
  const { house: made, post } = await house("approve");
  const good = (permission_id: string) => ({ principal_id: "my_pack", permission_id });
  const bad = { principal_id: "my_pack", permission_id: "fs.read", config: { nonsense: 1 } };
  const answer = await post("/api/capability/grants/batch", { grants: [good("a.b"), bad, good("c.d")] });
  expect([answer.status, answer.json.data]).toMatchObject([200, { total: 3, succeeded: 2, failed: 1 }]);
  const malformed = await post("/api/capability/grants/batch", {
    grants: [{ principal_id: "a b", permission_id: "x.y" }, good("e.f"), { ...good("g.h"), what: 1 }, {}],
  });
  expect(malformed.json.data).toMatchObject({ total: 4, succeeded: 1, failed: 3 });
  const { results } = malformed.json.data as unknown as { results: { granted: boolean }[] };
  expect(results.map((one) => one.granted)).toEqual([false, true, false, false]);
  made.calls.length = 0;
  const many = await post("/api/capability/grants/batch", { grants: Array.from({ length: 51 }, () => good("a.b")) });
  expect([many.status, many.json.code, made.calls]).toEqual([400, "capability.batch_too_large", []]);
  for (const grants of [[], {}, null, [1], undefined])
    expect((await post("/api/capability/grants/batch", { grants })).json.code).toBe("request.invalid");
});

test.each<[string, string, string, unknown]>([
  ["no principal", "grants/grant", "request.invalid", { permission_id: "a.b" }],
  ["no permission", "grants/grant", "request.invalid", { principal_id: "my_pack" }],
  ["a permission in capitals", "grants/grant", "request.invalid", { principal_id: "my_pack", permission_id: "FS.read" }],
  ["a star for the permission", "grants/grant", "request.invalid", { principal_id: "my_pack", permission_id: "*" }],
  ["a star for the principal", "grants/grant", "request.invalid", { principal_id: "*", permission_id: "a.b" }],
  ["a config that is a list", "grants/grant", "request.invalid", { principal_id: "my_pack", permission_id: "a.b", config: [] }],
  ["a config that is null", "grants/grant", "request.invalid", { principal_id: "my_pack", permission_id: "a.b", config: null }],
  [
    "a config that is refused",
    "grants/grant",
    "capability.invalid_config",
    { principal_id: "my_pack", permission_id: "a.b", config: { nonsense: 1 } },
  ],
  ["who granted it", "grants/grant", "request.invalid", { principal_id: "my_pack", permission_id: "a.b", granted_by: "me" }],
  ["no permission to revoke", "grants/revoke", "request.invalid", { principal_id: "my_pack" }],
  ["a list of permissions to revoke", "grants/revoke", "request.invalid", { principal_id: "my_pack", permission_id: ["a.b"] }],
  ["nobody to reset", "grants/reset", "request.invalid", {}],
])("a grant request with %s is 400", async (_, path, code, body) => {
  const { post } = await house();
  const answer = await post(`/api/capability/${path}`, body);
  expect([answer.status, answer.json.code]).toEqual([400, code]);
});

test.each<[string, string, string, unknown]>([
  ["an id with a dot", "create", "store.invalid_id", { store_id: "a.b" }],
  ["no id", "create", "store.invalid_id", {}],
  ["a root that is no text", "create", "store.invalid_root", { store_id: "a", root_path: 1 }],
  ["no bytes", "create", "request.invalid", { store_id: "a", max_bytes: 0 }],
  ["keys in words", "create", "request.invalid", { store_id: "a", max_keys: "many" }],
  ["an owner", "create", "request.invalid", { store_id: "a", owner: "my_pack" }],
  ["no folder", "a/import", "request.invalid", {}],
  ["overwrite in words", "a/import", "request.invalid", { path: "/x", overwrite: "yes" }],
  ["no consumer", "shared/approve", "request.invalid", { owner_pack: "a", store_id: "c" }],
  ["no provider", "shared/approve", "request.invalid", { target_pack: "a", store_id: "c" }],
  ["two consumers", "shared/approve", "request.invalid", { owner_pack: "a", target_pack: "b", consumer_pack_id: "c", store_id: "c" }],
  ["another mode", "shared/approve", "request.invalid", { owner_pack: "a", target_pack: "b", store_id: "c", mode: "write" }],
])("a store request with %s is 400", async (_, path, code, body) => {
  const { house: made, post } = await house();
  const answer = await post(`/api/stores/${path}`, body);
  expect([answer.status, answer.json.code]).toEqual([400, code]);
  expect(made.calls).toEqual([]);
});

test("a report lasts at most an hour, and its seconds are a whole number", async () => {
  const { house: made, post } = await house("approve");
  for (const seconds of [-1, 3601, 1.5, "60", null, undefined])
    expect([seconds, (await post("/api/network/report", { pack_id: "my_pack", seconds })).status]).toEqual([seconds, 400]);
  expect(made.calls).toEqual([]);
  expect((await post("/api/network/report", { pack_id: "my_pack", seconds: 3600 })).status).toBe(200);
});

test("what a store holds is shown to admin alone", async () => {
  const { house: made, token } = await house("approve");
  made.rights.addStore("notes", null, { a: 1 });
  expect((await ask(made, "GET", "/api/stores", { token })).json.data).toMatchObject({
    stores: [{ store_id: "notes", owner: null, keys: 1 }],
  });
  for (const path of ["/api/stores/notes/keys", "/api/stores/notes/value?key=a"])
    expect((await ask(made, "GET", path, { token })).json.code).toBe("auth.scope");
  const admin = await made.token("admin");
  expect((await ask(made, "GET", "/api/stores/notes/value?key=a", { token: admin })).json.data).toEqual({
    store_id: "notes",
    key: "a",
    value: 1,
  });
  expect((await ask(made, "DELETE", "/api/stores/notes", { token: admin })).json).toMatchObject({
    code: "store.conflict",
    data: { remedy: "rumi store delete notes --force" },
  });
});

test("a tampered record grants nothing, is marked, and names its reset, which admin alone may do", async () => {
  const { house: made, post, token } = await house("approve");
  made.rights.tampered.add("my_pack");
  const list = await ask(made, "GET", "/api/capability/grants", { token });
  expect(list.json.data).toEqual({ grants: { my_pack: { principal_id: "my_pack", status: "tampered", rights: [] } }, count: 1 });
  const refused = await post("/api/capability/grants/grant", { principal_id: "my_pack", permission_id: "a.b" });
  expect([refused.status, refused.json.code, refused.json.data?.["remedy"]]).toEqual([
    409,
    "safe_files.record_tampered",
    "rumi grant reset my_pack",
  ]);
  expect((await post("/api/capability/grants/reset", { principal_id: "my_pack" })).json.code).toBe("auth.scope");
});

test("approve gives what is declared only when asked, and says what it gave and what it left out", async () => {
  const { house: made, post } = await house("approve");
  made.addPack("new_pack");
  made.rights.declared.set("new_pack", [
    { permission_id: "network.egress", config: { allowed_domains: ["a.example"], allowed_ports: [443] }, left_out: ["127.0.0.1:11434"] },
    { permission_id: "flow.run", config: null, left_out: ["*"] },
  ]);
  const plain = await post("/api/packs/new_pack/approve", {});
  expect([plain.json.data?.["granted"], made.rights.held.size]).toEqual([[], 0]);
  const given = await post("/api/packs/new_pack/approve", { grant_declared: true });
  expect(given.json.data).toMatchObject({
    status: "approved",
    granted: [{ permission_id: "network.egress", config: { allowed_domains: ["a.example"], allowed_ports: [443] } }],
    stores_created: [],
    warnings: ["network.egress: 127.0.0.1:11434 was not granted", "flow.run: * was not granted"],
  });
  expect([...(made.rights.held.get("new_pack")?.keys() ?? [])]).toEqual(["network.egress"]);
  expect((await post("/api/packs/new_pack/approve", { grant_declared: "yes" })).status).toBe(400);
});
