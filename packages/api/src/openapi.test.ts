import { expect, test } from "vitest";
import { ALL_ROUTES, ROUTES } from "./route-table.ts";
import { ask } from "./testing/ask.ts";
import { FakeHouse } from "./testing/index.ts";
import { schemaFaults } from "./testing/json-schema.ts";

type Schema = Readonly<Record<string, unknown>>;
interface Answers {
  readonly [status: string]: { readonly content: { readonly "application/json": { readonly schema: Schema } } };
}
interface Document {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly operationId: string; readonly responses: Answers }>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

async function documentOf(house: FakeHouse, token: string): Promise<Document> {
  return (await ask(house, "GET", "/openapi.json", { token })).json as unknown as Document;
}

/** Faults of an answer against what the document says of its route and status. */
function faultsOf(document: Document, name: string, status: number, answer: unknown): string[] {
  const row = ROUTES.find((item) => item.name === name);
  const operation = document.paths[row?.path ?? ""]?.[(row?.method ?? "").toLowerCase()];
  const told = operation?.responses[String(status)]?.content["application/json"].schema;
  if (told !== undefined) return schemaFaults(told, answer);
  return schemaFaults(document.components.schemas["Failure"] ?? { const: "missing" }, answer);
}

/** One request to each route of rights, secrets and stores, in an order in which each is done. */
const RIGHTS: readonly (readonly [name: string, method: string, path: string, body?: object])[] = [
  ["network.grant", "POST", "/api/network/grant", { pack_id: "my_pack", allowed_domains: ["a.example"], allowed_ports: [443, "*"] }],
  ["network.list", "GET", "/api/network/list"],
  ["network.check", "POST", "/api/network/check", { pack_id: "my_pack", domain: "a.example", port: 443 }],
  ["network.startReport", "POST", "/api/network/report", { pack_id: "my_pack", seconds: 60 }],
  ["network.startReport", "POST", "/api/network/report", { pack_id: "my_pack", seconds: 0 }],
  ["network.report", "GET", "/api/network/report?pack_id=my_pack"],
  ["network.revoke", "POST", "/api/network/revoke", { pack_id: "my_pack", reason: "enough" }],
  ["network.revoke", "POST", "/api/network/revoke", { pack_id: "my_pack" }],
  ["grants.grant", "POST", "/api/capability/grants/grant", { principal_id: "my_pack", permission_id: "fs.read", config: { a: [1] } }],
  [
    "grants.batch",
    "POST",
    "/api/capability/grants/batch",
    { grants: [{ principal_id: "my_pack", permission_id: "store.get" }, { principal_id: "a b" }, {}] },
  ],
  ["grants.list", "GET", "/api/capability/grants?principal_id=my_pack"],
  ["grants.revoke", "POST", "/api/capability/grants/revoke", { principal_id: "my_pack", permission_id: "fs.read" }],
  ["grants.revoke", "POST", "/api/capability/grants/revoke", { principal_id: "my_pack", permission_id: "fs.read" }],
  ["grants.reset", "POST", "/api/capability/grants/reset", { principal_id: "my_pack" }],
  ["grants.reset", "POST", "/api/capability/grants/reset", { principal_id: "broken" }],
  ["secrets.set", "POST", "/api/secrets/set", { key: "API_KEY", value: "sk-123456789" }],
  ["secrets.list", "GET", "/api/secrets?limit=1"],
  ["secrets.grant", "POST", "/api/secrets/grants/my_pack", { mode: "use", bindings: ["API_KEY@a.example"], slots: ["header"] }],
  ["secrets.grantNamed", "POST", "/api/secrets/grants", { pack_id: "my_pack", mode: "get", secret_keys: ["API_KEY", "OTHER"] }],
  ["secrets.grants", "GET", "/api/secrets/grants"],
  ["secrets.packGrants", "GET", "/api/secrets/grants/my_pack"],
  ["secrets.withdraw", "DELETE", "/api/secrets/grants/my_pack/API_KEY"],
  ["secrets.revoke", "DELETE", "/api/secrets/grants/my_pack"],
  ["secrets.revoke", "DELETE", "/api/secrets/grants/my_pack"],
  ["secrets.rotateKey", "POST", "/api/secrets/rotate-key"],
  ["secrets.delete", "POST", "/api/secrets/delete", { key: "API_KEY" }],
  ["secrets.delete", "POST", "/api/secrets/delete", { key: "API_KEY" }],
  ["privileges.grant", "POST", "/api/privileges/my_pack/grant/host.execute", { config: ["handler_a"] }],
  ["privileges.list", "GET", "/api/privileges"],
  ["privileges.revoke", "POST", "/api/privileges/my_pack/revoke/host.execute"],
  ["stores.create", "POST", "/api/stores/create", { store_id: "notes", max_keys: 10 }],
  ["stores.keys", "GET", "/api/stores/my_pack__cache/keys?prefix=a&limit=1"],
  ["stores.value", "GET", "/api/stores/my_pack__cache/value?key=a/b"],
  ["stores.value", "GET", "/api/stores/my_pack__cache/value?key=none"],
  ["stores.import", "POST", "/api/stores/notes/import", { path: "/srv/notes", overwrite: true }],
  [
    "stores.share",
    "POST",
    "/api/stores/shared/approve",
    { provider_pack_id: "my_pack", consumer_pack_id: "b", store_id: "my_pack__cache", mode: "read_write" },
  ],
  ["stores.shared", "GET", "/api/stores/shared"],
  ["stores.unshare", "POST", "/api/stores/shared/revoke", { owner_pack: "my_pack", target_pack: "b", store_id: "my_pack__cache" }],
  ["stores.list", "GET", "/api/stores"],
  ["stores.delete", "DELETE", "/api/stores/my_pack__cache"],
  ["stores.delete", "DELETE", "/api/stores/my_pack__cache?force=true"],
  ["dictionary.propose", "POST", "/api/shared_dict/propose", { namespace: "n", token: "A", value: "B" }],
  ["dictionary.propose", "POST", "/api/shared_dict/propose", { namespace: "n", token: "B", value: "A" }],
  ["dictionary.list", "GET", "/api/shared_dict?namespace=n&token=A&limit=1"],
  ["dictionary.remove", "POST", "/api/shared_dict/remove", { namespace: "n", token: "A" }],
  ["dictionary.remove", "POST", "/api/shared_dict/remove", { namespace: "n", token: "A" }],
  ["libs.list", "GET", "/api/lib/records?pack_id=my_pack"],
  ["libs.clear", "DELETE", "/api/lib/records/my_pack"],
  ["libs.process", "POST", "/api/lib/process", {}],
  ["libs.process", "POST", "/api/lib/process", { pack_id: "my_pack" }],
];

/** The same for flow files, modifiers and schedules. */
const WORK: readonly (readonly [name: string, method: string, path: string, body?: object])[] = [
  ["flows.plan", "POST", "/api/flows/hello/plan", { inputs: { a: [1] } }],
  ["flows.plan", "POST", "/api/flows/none/plan"],
  ["flows.diff", "POST", "/api/flows/hello/diff", { source: "flow_id: hello" }],
  ["flows.diff", "POST", "/api/flows/hello/diff", { source: "broken" }],
  ["flows.diff", "POST", "/api/flows/hello/diff", { pack_id: "my_pack" }],
  ["flows.diff", "POST", "/api/flows/hello/diff", { pack_id: "none" }],
  ["flows.put", "PUT", "/api/flows/shared/mine", { source: "flow_id: mine" }],
  ["flows.put", "PUT", "/api/flows/shared/mine", { source: "broken" }],
  ["flows.remove", "DELETE", "/api/flows/shared/mine"],
  ["flows.remove", "DELETE", "/api/flows/shared/mine"],
  ["flows.reload", "POST", "/api/flows/reload"],
  ["modifiers.put", "PUT", "/api/modifiers/shared/add_one", { source: "modifier_id: add_one" }],
  ["modifiers.put", "PUT", "/api/modifiers/shared/add_two?dry_run=true", { source: "target_flow_id: '*'" }],
  ["modifiers.put", "PUT", "/api/modifiers/shared/add_one", { source: "broken" }],
  ["modifiers.list", "GET", "/api/modifiers"],
  ["modifiers.list", "GET", "/api/modifiers?pack_id=my_pack&dry_run=true"],
  ["modifiers.remove", "DELETE", "/api/modifiers/shared/add_one?dry_run=true"],
  ["modifiers.remove", "DELETE", "/api/modifiers/shared/add_one"],
  ["modifiers.remove", "DELETE", "/api/modifiers/shared/add_one"],
  ["schedules.list", "GET", "/api/schedules"],
  ["schedules.disable", "POST", "/api/schedules/hello/disable"],
  ["schedules.enable", "POST", "/api/schedules/hello/enable"],
  ["schedules.trigger", "POST", "/api/schedules/hello/trigger"],
  ["schedules.trigger", "POST", "/api/schedules/none/trigger"],
];

test("every real answer of every route is as the OpenAPI document says, done or refused", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  const document = await documentOf(house, token);
  house.held.add("slow");
  house.outcomes.set("pack.flow", { state: "failed", code: "sandbox.block_error", reason: "it failed", result: null });
  house.rights.tampered.add("broken");
  house.rights.addStore("my_pack__cache", "my_pack", { "a/b": { n: [1, null] }, ab: "x", ac: null });
  const other = await house.tokens.create({ name: "other", scopes: ["read"] }, "test");
  const seen = new Set<string>();
  const check = async (name: string, method: string, path: string, body?: string): Promise<Record<string, unknown>> => {
    house.addPack("my_pack");
    const answer = await ask(house, method, path, { token, ...(body === undefined ? {} : { body }) });
    expect([name, answer.status, faultsOf(document, name, answer.status, answer.json)]).toEqual([name, answer.status, []]);
    if (answer.status < 300) seen.add(name);
    return answer.json.data ?? {};
  };
  house.work.addSchedule("hello");
  for (const row of ROUTES) {
    const path = row.path
      .replace("{pack_id}", "my_pack")
      .replace("{privilege}", "host.execute")
      .replace("{key}", "API_KEY")
      .replace("{id}", row.path.startsWith("/api/packs") ? "my_pack" : "hello");
    if (row.path.includes("/runs/") || row.path.startsWith("/api/tokens")) continue;
    await check(row.name, row.method, path);
    await check(row.name, row.method, `${path}?no_such=1`);
    if (row.path.includes("{")) await check(row.name, row.method, row.path.replace(/\{\w+\}/u, "none"));
  }
  for (const [name, method, path, body] of [...RIGHTS, ...WORK])
    await check(name, method, path, body === undefined ? undefined : JSON.stringify(body));
  await check("flows.run", "POST", "/api/flows/pack.flow/run");
  const started = await check("flows.run", "POST", "/api/flows/slow/run", '{"async":true}');
  const run = String(started["run_id"]);
  await check("runs.get", "GET", `/api/runs/${run}`);
  house.events.log(run, "say", "hello");
  await check("runs.logs", "GET", `/api/runs/${run}/logs?step=say&limit=1`);
  await check("runs.cancel", "POST", `/api/runs/${run}/cancel`, '{"reason":"enough"}');
  await check("runs.cancel", "POST", `/api/runs/${run}/cancel`);
  await check("tokens.list", "GET", "/api/tokens");
  await check(
    "tokens.create",
    "POST",
    "/api/tokens",
    '{"name":"a","scopes":["run"],"allowed_flow_ids":["hello"],"expires_at":"2099-01-01T00:00:00.000Z"}',
  );
  await check("tokens.rotate", "POST", `/api/tokens/${other.id}/rotate`);
  await check("tokens.delete", "DELETE", `/api/tokens/${other.id}`);
  await check("tokens.delete", "DELETE", `/api/tokens/${other.id}`);
  // A stream of events is no JSON answer: it has its own tests.
  expect([...seen].sort()).toEqual(
    ALL_ROUTES.filter((row) => row.stream !== true)
      .map((row) => row.name)
      .sort(),
  );
});

test("an answer that only names a started run has its own status in the document", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  const document = await documentOf(house, token);
  const answer = await ask(house, "POST", "/api/flows/hello/run", { token, body: '{"async":true}' });
  expect(answer.status).toBe(202);
  expect(Object.keys(document.paths["/api/flows/{id}/run"]?.["post"]?.responses ?? {})).toEqual(["200", "202", "default"]);
});

test("every path parameter is declared, every operation has its own id, and every pattern is a regular expression", async () => {
  const house = new FakeHouse();
  const document = await documentOf(house, await house.token("admin"));
  expect(document).toMatchObject({ openapi: "3.1.0", info: { title: "Rumi" } });
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.values(methods).map((operation) => ({
      path,
      ...(operation as unknown as { operationId: string; parameters: readonly { name: string; in: string }[] }),
    })),
  );
  expect(new Set(operations.map((operation) => operation.operationId)).size).toBe(operations.length);
  for (const { path, parameters } of operations) {
    const named = [...path.matchAll(/\{(\w+)\}/gu)].map((match) => match[1]);
    expect([path, parameters.filter((each) => each.in === "path").map((each) => each.name)]).toEqual([path, named]);
  }
  for (const [, pattern = ""] of JSON.stringify(document).matchAll(/"pattern":"((?:[^"\\]|\\.)*)"/gu))
    expect(() => new RegExp(JSON.parse(`"${pattern}"`) as string, "u")).not.toThrow();
});
