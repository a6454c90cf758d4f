import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { blockFlow, ECHO_BLOCK, TestHome } from "./daemon-process.ts";
import type { DaemonProcess } from "./daemon-process.ts";
import { answerOf, approveWith, startInWorld } from "./outside.ts";

const READER = "hostile_reader";
const POLLUTED = '{"polluted":true,"allowed":true,"success":true,"isAdmin":true,"scopes":["admin"]}';

/** Bodies that nobody sends by mistake. */
const BODIES = {
  __proto__: `{"__proto__":${POLLUTED}}`,
  "an escaped __proto__": `{"__pr\\u006fto__":${POLLUTED}}`,
  "constructor.prototype": `{"constructor":{"prototype":${POLLUTED}}}`,
  prototype: `{"prototype":${POLLUTED}}`,
  "a __proto__ deep inside": `{"pack_id":"nobody","principal_id":"nobody","config":{"a":[{"__proto__":${POLLUTED}}]}}`,
  "an array": "[]",
  null: "null",
  "a text": '"x"',
  "a number": "1e999",
  "nothing at all": "",
  "no JSON": '{"a":',
  "two values": "{}{}",
  "a very deep one": `${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}`,
  "bytes that are no text": new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
} as const;

interface Operation {
  readonly requestBody?: { readonly required?: boolean };
}

let home: TestHome;
let daemon: DaemonProcess;
let operations: { readonly method: string; readonly path: string }[];
const scope = new AsyncDisposableStack();

beforeAll(async () => {
  home = scope.use(await TestHome.create());
  await home.addPack(READER);
  await home.addPack("echo", { "blocks/echo.py": ECHO_BLOCK, "flows/main.flow.yaml": blockFlow("echo", "echo") });
  await home.addPack("bad_manifest", {
    "ecosystem.json": `{"pack_id":"bad_manifest","pack_identity":"local:bad_manifest","__proto__":{"host_execution":true}}`,
  });
  await home.addPack("bad_deep", {
    "ecosystem.json": `{"pack_id":"bad_deep","pack_identity":"local:bad_deep","metadata":{"a":{"constructor":{}}}}`,
  });
  await home.addPack("bad_permissions", {
    "permissions.json": `{"pack_id":"bad_permissions","permissions":[{"type":"network","__proto__":{"domains":["*"]}}]}`,
  });
  daemon = scope.use(await startInWorld(home, { names: {}, ports: {} }));
  await approveWith(daemon, READER);
  await approveWith(daemon, "echo");
  expect((await daemon.post("/api/stores/create", { store_id: "shared_store" })).status).toBe(200);
  const document = (await (await fetch(`${daemon.url}/openapi.json`, { headers: { authorization: `Bearer ${daemon.token}` } })).json()) as {
    paths: Record<string, Record<string, Operation>>;
  };
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { requestBody }]) =>
      requestBody === undefined ? [] : [{ method: method.toUpperCase(), path }],
    ),
  );
});

afterAll(() => scope.disposeAsync());

async function send(method: string, path: string, body: string | Uint8Array): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(`${daemon.url}${path.replaceAll(/\{[a-z_]+\}/gu, "nobody")}`, {
    method,
    headers: { authorization: `Bearer ${daemon.token}`, "content-type": "application/json" },
    body: body as string,
  });
  return { status: response.status, text: await response.text() };
}

async function call(permission: string, args: unknown): Promise<Record<string, unknown>> {
  const [answer] = answerOf<Record<string, unknown>[]>(await daemon.run(READER, { asks: [[permission, args]] }));
  return answer ?? {};
}

test.for(Object.entries(BODIES))("T7 every endpoint that takes a body refuses %s, and says so in its own words", async ([, body]) => {
  expect(operations.length).toBeGreaterThan(20);
  for (const { method, path } of operations) {
    const { status, text } = await send(method, path, body);
    expect(status, `${method} ${path}: ${text.slice(0, 300)}`).toBeLessThan(500);
    const answer = JSON.parse(text) as { success: boolean; code: string | null; data: unknown };
    // An empty body is one that says nothing; no other is a yes to anything.
    if (body !== "") expect(answer.success, `${method} ${path}: ${text.slice(0, 300)}`).toBe(false);
    if (!answer.success) expect(answer.code, `${method} ${path}`).toMatch(/^[a-z_]+\.[a-z_]+$/u);
    expect(text).not.toContain("polluted");
  }
  expect((await daemon.get("/health")).status).toBe(200);
});

describe("T7 keys that lead to prototypes", () => {
  test.for([
    '{"__proto__":{"allowed_store_ids":["*"]}}',
    '{"constructor":{"prototype":{"allowed_store_ids":["*"]}}}',
    '{"allowed_store_ids":{"__proto__":["*"]}}',
  ])("in a right's config %s give nothing", async (config) => {
    const { status } = await send(
      "POST",
      "/api/capability/grants/grant",
      `{"principal_id":"${READER}","permission_id":"store.get","config":${config}}`,
    );
    expect(status).toBe(400);
    const batch = await send(
      "POST",
      "/api/capability/grants/batch",
      `{"grants":[{"principal_id":"${READER}","permission_id":"store.get","config":${config}}]}`,
    );
    expect(batch.text).not.toContain('"granted":true');
    expect(await call("store.get", { store_id: "shared_store", key: "k" })).toMatchObject({ error_type: "permission_denied" });
  });

  test("in a handler's own config, any object, they give nothing either", async () => {
    const { status, text } = await send(
      "POST",
      "/api/capability/grants/grant",
      `{"principal_id":"${READER}","permission_id":"someones.power","config":{"a":{"__proto__":${POLLUTED}}}}`,
    );
    expect([status, text.includes("polluted")]).toEqual([400, false]);
  });

  test("in a run's inputs are none of its inputs", async () => {
    for (const inputs of [`{"__proto__":{"text":"polluted"}}`, `{"constructor":{"prototype":{"text":"polluted"}}}`]) {
      const { text } = await send("POST", "/api/flows/echo/run", `{"inputs":${inputs}}`);
      expect(text).not.toContain("polluted");
    }
  });

  test("in values of a store are refused or come back as they were, and change nobody's value", async () => {
    for (const permission of ["store.set", "store.get", "store.cas"]) {
      const asked = { principal_id: READER, permission_id: permission, config: { allowed_store_ids: ["shared_store"] } };
      expect((await daemon.post("/api/capability/grants/grant", asked)).status).toBe(200);
    }
    const value = JSON.parse('{"a":1,"__proto__":{"polluted":true}}') as unknown;
    const { text } = await send(
      "POST",
      `/api/flows/${READER}/run`,
      `{"inputs":{"asks":[["store.set",{"store_id":"shared_store","key":"k","value":${JSON.stringify(value)}}],["store.get",{"store_id":"shared_store","key":"k"}],["store.set",{"store_id":"shared_store","key":"plain","value":{}}],["store.get",{"store_id":"shared_store","key":"plain"}]]}}`,
    );
    expect(text).not.toContain('"internal_error"');
    expect(await call("store.get", { store_id: "shared_store", key: "plain" })).not.toMatchObject({
      output: { value: { polluted: true } },
    });
  });

  test("in a pack's files close that pack alone", async () => {
    await daemon.post("/api/packs/scan");
    for (const pack of ["bad_manifest", "bad_deep", "bad_permissions"]) {
      const approved = await daemon.approve(pack);
      expect(approved.body.success, pack).toBe(false);
    }
    expect(answerOf(await daemon.run("echo", { text: "still here" }))).toMatchObject({ said: "still here" });
  });
});
