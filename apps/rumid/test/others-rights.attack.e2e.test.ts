import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TestHome } from "./daemon-process.ts";
import type { DaemonProcess } from "./daemon-process.ts";
import { answerOf, approveWith, startInWorld } from "./outside.ts";

const READER = "hostile_reader";
const OWNER = "owner";
const SECRET = "the owner's own value 0123456789";

interface Called {
  readonly success: boolean;
  readonly output: Record<string, unknown> | null;
  readonly error: string | null;
  readonly error_type: string | null;
}

type Asks = readonly (readonly [permission: string, args: unknown])[];

let home: TestHome;
let daemon: DaemonProcess;
const scope = new AsyncDisposableStack();

/** The same block, as another pack that owns a store and holds rights. */
async function ownerFiles(): Promise<Record<string, string>> {
  const folder = new URL("../../../examples/packs/hostile_reader/", import.meta.url);
  return {
    "ecosystem.json": JSON.stringify({ pack_id: OWNER, pack_identity: "local:owner", stores: [{ store_id: "kept" }] }),
    "blocks/call.py": await readFile(new URL("blocks/call.py", folder), "utf8"),
    "flows/main.flow.yaml": (await readFile(new URL("flows/main.flow.yaml", folder), "utf8")).replaceAll(READER, OWNER),
  };
}

async function call(pack: string, asks: Asks): Promise<readonly Called[]> {
  return answerOf<Called[]>(await daemon.run(pack, { asks }));
}

async function grant(pack: string, permission: string, config: unknown): Promise<number> {
  return (await daemon.post("/api/capability/grants/grant", { principal_id: pack, permission_id: permission, config })).status;
}

async function revokeAll(pack: string): Promise<void> {
  await daemon.post("/api/capability/grants/revoke", { principal_id: pack, permission_id: "*" });
}

const STORE = { allowed_store_ids: ["owner__kept"] };

/** A flow of a pack that wants to be the operator. */
const climbing = (id: string, handler: string, args: object): string => `flow_id: ${id}
phases: [main]
steps:
  - { id: climb, phase: main, type: handler, input: { handler: "${handler}", args: ${JSON.stringify(args)} }, output: answer }
`;

beforeAll(async () => {
  home = scope.use(await TestHome.create());
  await home.addPack(READER);
  await home.addPack(OWNER, await ownerFiles());
  for (const [name, handler, args] of [
    ["grants", "kernel:capability.grant", { principal_id: "climber", permission_id: "store.get", config: STORE }],
    ["audit", "kernel:audit.query", { limit: 100 }],
    ["list", "kernel:capability.list", {}],
    ["network", "kernel:network.grant", { pack_id: "climber", allowed_domains: ["*"], allowed_ports: [443] }],
    ["named", "${ctx.handler}", {}],
  ] as const) {
    await home.addPack(`climber_${name}`, { "flows/main.flow.yaml": climbing(`climber_${name}`, handler, args) });
  }
  daemon = scope.use(await startInWorld(home, { names: {}, ports: {} }));
  expect((await daemon.post("/api/secrets/set", { key: "OWNED", value: SECRET })).status).toBe(200);
  expect((await daemon.post("/api/secrets/set", { key: "GONE", value: "a value that goes away" })).status).toBe(200);
  expect((await daemon.post("/api/secrets/delete", { key: "GONE" })).status).toBe(200);
  await approveWith(daemon, READER);
  await approveWith(daemon, OWNER, {
    "store.get": STORE,
    "store.set": STORE,
    "store.list": STORE,
    "secrets.get": { allowed_keys: ["OWNED"] },
  });
  const asks = Array.from({ length: 6 }, (_, at) => ["store.set", { store_id: "owner__kept", key: `k${at}`, value: { at } }] as const);
  expect((await call(OWNER, asks)).every(({ success }) => success)).toBe(true);
  expect((await call(OWNER, [["secrets.get", { key: "OWNED" }]]))[0]?.success).toBe(true);
});

afterAll(() => scope.disposeAsync());

const EVERY_STORE_CALL: Asks = [
  ["store.get", { store_id: "owner__kept", key: "k1" }],
  ["store.list", { store_id: "owner__kept" }],
  ["store.batch_get", { store_id: "owner__kept", keys: ["k1", "k2"] }],
  ["store.set", { store_id: "owner__kept", key: "k1", value: "mine now" }],
  ["store.cas", { store_id: "owner__kept", key: "k1", expected_value: { at: 1 }, new_value: "mine now" }],
  ["store.delete", { store_id: "owner__kept", key: "k1" }],
];

describe("T73 stores of another pack", () => {
  test.for(EVERY_STORE_CALL)("%s without any right is denied", async (ask) => {
    await revokeAll(READER);
    expect((await call(READER, [ask]))[0]).toMatchObject({ success: false, error: "Permission denied", error_type: "permission_denied" });
  });

  test.for(EVERY_STORE_CALL)("%s with a right on it, and one on everything, but no share is denied", async (ask) => {
    for (const config of [STORE, { allowed_store_ids: ["*"] }, { allowed_store_ids: ["owner*"] }]) {
      await grant(READER, ask[0], config);
      expect((await call(READER, [ask]))[0]).toMatchObject({ success: false, error_type: "permission_denied" });
    }
  });

  test.for(EVERY_STORE_CALL)("%s of a share for reading: what reads may, what writes may not", async (ask) => {
    await grant(READER, ask[0], STORE);
    const share = { provider_pack_id: OWNER, consumer_pack_id: READER, store_id: "owner__kept", mode: "read" };
    expect((await daemon.post("/api/stores/shared/approve", share)).status).toBe(200);
    const [answer] = await call(READER, [ask]);
    if (["store.get", "store.list", "store.batch_get"].includes(ask[0])) expect(answer).toMatchObject({ success: true });
    else expect(answer).toMatchObject({ success: false, error_type: "permission_denied" });
    expect((await daemon.post("/api/stores/shared/revoke", share)).status).toBe(200);
    expect((await call(READER, [ask]))[0]).toMatchObject({ success: false, error_type: "permission_denied" });
    expect((await call(OWNER, [["store.get", { store_id: "owner__kept", key: "k1" }]]))[0]?.output).toEqual({
      success: true,
      value: { at: 1 },
    });
  });

  test("T71 a cursor of the owner is of no use to another, nor one that is made up or of another store", async () => {
    const [page] = await call(OWNER, [["store.list", { store_id: "owner__kept", limit: 2 }]]);
    const cursor = String(page?.output?.["next_cursor"]);
    expect(cursor.length).toBeGreaterThan(8);
    await grant(READER, "store.list", STORE);
    const share = { provider_pack_id: OWNER, consumer_pack_id: READER, store_id: "owner__kept", mode: "read" };
    expect((await daemon.post("/api/stores/shared/approve", share)).status).toBe(200);
    for (const used of [
      cursor,
      `${cursor.slice(0, -2)}AA`,
      Buffer.from('{"last":"k1"}').toString("base64url"),
      "",
      "a".repeat(5000),
      { __proto__: null },
      1,
    ]) {
      expect((await call(READER, [["store.list", { store_id: "owner__kept", cursor: used }]]))[0]).toMatchObject({
        success: false,
        error_type: "validation_error",
      });
    }
    expect((await call(OWNER, [["store.list", { store_id: "owner__kept", cursor, limit: 2 }]]))[0]?.output).toMatchObject({
      keys: ["k2", "k3"],
    });
    expect((await daemon.post("/api/stores/shared/revoke", share)).status).toBe(200);
  });

  test("T72 ids that look like the owner's lead nowhere", async () => {
    await grant(READER, "store.get", { allowed_store_ids: ["*"] });
    for (const store of [
      "OWNER__kept",
      "owner__kept ",
      "owner__kept\u0000",
      "./owner__kept",
      "../stores/owner__kept",
      "owner_kept",
      "owner__kept/k1",
      "*",
      "",
      null,
      ["owner__kept"],
    ]) {
      expect((await call(READER, [["store.get", { store_id: store, key: "k1" }]]))[0]?.success, String(store)).toBe(false);
    }
  });
});

describe("secrets of another pack", () => {
  test("T52 no right, another key's right, absent, deleted, malformed: one answer, byte for byte", async () => {
    await revokeAll(READER);
    const [none] = await call(READER, [["secrets.get", { key: "OWNED" }]]);
    await grant(READER, "secrets.get", { allowed_keys: ["OTHER", "ABSENT", "GONE"] });
    const rest = await call(READER, [
      ["secrets.get", { key: "OWNED" }],
      ["secrets.get", { key: "ABSENT" }],
      ["secrets.get", { key: "GONE" }],
      ["secrets.get", { key: "owned" }],
      ["secrets.get", { key: "" }],
      ["secrets.get", { key: null }],
      ["secrets.get", { key: ["OWNED"] }],
      ["secrets.get", {}],
      ["secrets.get", { key: "OWNED", principal_id: OWNER }],
    ]);
    expect(new Set([none, ...rest].map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(none).toMatchObject({ success: false, error: "Access denied or secret not found", error_type: "access_denied" });
  });

  test("T53 permissions that nobody gives and permissions that nobody has look alike", async () => {
    await revokeAll(READER);
    const answers = await call(READER, [
      ["store.get", { store_id: "owner__kept", key: "k1" }],
      ["audit.query", { category: "security" }],
      ["grants.list", {}],
      ["kernel:capability.grant", { principal_id: READER, permission_id: "store.get", config: { allowed_store_ids: ["*"] } }],
      ["secrets.use", { key: "OWNED" }],
      ["network.egress", { url: "http://api.rumi.example/" }],
      ["host.execute", {}],
      ["flow.run", { flow_id: OWNER, inputs: {} }],
      ["docker.run", { image: "rumi-base-python:dev", command: ["id"] }],
      ["code.propose_patch", { target_pack_id: OWNER, changes: [] }],
      ["pack.inbox.send", { to_pack_id: OWNER }],
    ]);
    expect(new Set(answers.map((answer) => JSON.stringify(answer)))).toEqual(new Set([JSON.stringify(answers[0])]));
    expect(answers[0]).toMatchObject({ success: false, error: "Permission denied", error_type: "permission_denied" });
  });
});

test.for(["grants", "audit", "list", "network", "named"])(
  "T53 a pack's flow that wants the operator's handler (%s) is not there to run",
  async (name) => {
    expect((await daemon.approve(`climber_${name}`)).status).toBe(200);
    const handler = { handler: "kernel:capability.list" };
    const run = await daemon.run(`climber_${name}`, handler);
    expect(run.status === 404 || run.body.data.failed_steps.length > 0, JSON.stringify(run.body)).toBe(true);
    expect(JSON.stringify(run.body)).not.toContain("granted_at");
    const grants = await daemon.get<{ grants: Record<string, unknown> }>("/api/capability/grants");
    expect(Object.keys(grants.body.data.grants).filter((pack) => pack.startsWith("climber"))).toEqual([]);
  },
);

/** Built-in powers, what lists what they may, and a call that a full list would let through to its own checks. */
const LISTS = [
  ["store.get", "allowed_store_ids", { store_id: "hostile_reader__x", key: "k" }],
  ["store.set", "allowed_store_ids", { store_id: "hostile_reader__x", key: "k", value: 1 }],
  ["store.delete", "allowed_store_ids", { store_id: "hostile_reader__x", key: "k" }],
  ["store.list", "allowed_store_ids", { store_id: "hostile_reader__x" }],
  ["store.batch_get", "allowed_store_ids", { store_id: "hostile_reader__x", keys: ["k"] }],
  ["store.cas", "allowed_store_ids", { store_id: "hostile_reader__x", key: "k", new_value: 1 }],
  ["secrets.get", "allowed_keys", { key: "OWNED" }],
  ["flow.run", "allowed_flow_ids", { flow_id: OWNER, inputs: { asks: [] } }],
  ["function.call", "allowed_functions", { function: "owner:f", args: {} }],
  ["docker.run", "allowed_images", { image: "rumi-base-python:dev", command: ["id"] }],
  ["docker.list", "allowed_images", {}],
  [
    "pack.inbox.send",
    "allowed_target_packs",
    { to_pack_id: OWNER, target_component: { type: "a", id: "b" }, payload: { kind: "file_json_patch" } },
  ],
  ["code.propose_patch", "allowed_target_packs", { target_pack_id: OWNER, changes: [{ file_path: "blocks/call.py", content: "" }] }],
] as const;

describe("T44 an allow-list that is missing, empty or null allows nothing", () => {
  test.for(LISTS)("%s with %s", async ([permission, list, args]) => {
    for (const config of [
      {},
      { [list]: [] },
      { [list]: null },
      { [list]: [null] },
      { [list]: "*" },
      { [list]: {} },
      { [list]: [""] },
      null,
    ]) {
      await revokeAll(READER);
      const status = await grant(READER, permission, config);
      expect([200, 400, 422]).toContain(status);
      const [answer] = await call(READER, [[permission, args]]);
      expect(answer?.success, `${JSON.stringify(config)} ${status}`).toBe(false);
      expect(["permission_denied", "access_denied"], `${JSON.stringify(config)} ${JSON.stringify(answer)}`).toContain(answer?.error_type);
    }
  });

  test.for([
    [{ allowed_domains: [], allowed_ports: [443] }],
    [{ allowed_domains: ["*"], allowed_ports: [] }],
    [{ allowed_domains: ["*"] }],
    [{ allowed_ports: ["*"] }],
    [{ allowed_domains: null, allowed_ports: null }],
    [{ allowed_domains: [null], allowed_ports: [null] }],
    [{ allowed_domains: "*", allowed_ports: "*" }],
    [{}],
  ])("the network with %o", async ([config]) => {
    await revokeAll(READER);
    await grant(READER, "network.egress", config);
    await daemon.post("/api/network/grant", { pack_id: READER, ...config });
    const verdict = await daemon.post<{ allowed: boolean }>("/api/network/check", {
      pack_id: READER,
      domain: "api.rumi.example",
      port: 443,
    });
    expect(verdict.body.data).toMatchObject({ allowed: false });
  });
});
