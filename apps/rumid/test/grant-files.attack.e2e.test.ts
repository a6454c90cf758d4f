import { copyFile, cp, mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TestHome } from "./daemon-process.ts";
import type { DaemonProcess } from "./daemon-process.ts";
import { answerOf, approveWith, startInWorld } from "./outside.ts";

/** What is done to the right of one pack while the daemon is down. `file` and `other` are grant files: its own, and one of a pack with more. */
type Tampering = (place: {
  readonly file: string;
  readonly network: string;
  readonly other: string;
  readonly old: string;
}) => Promise<unknown>;

const edited =
  (edit: (record: Record<string, unknown>) => unknown): Tampering =>
  async ({ file }) =>
    writeFile(file, JSON.stringify(edit(JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>)));

const TAMPERINGS: Readonly<Record<string, Tampering>> = {
  "T9 a value changed": async ({ file }) => writeFile(file, (await readFile(file, "utf8")).replaceAll("shared_store", "other_store")),
  "T9 one bit changed": async ({ file }) => {
    const bytes = await readFile(file);
    const at = bytes.indexOf("shared_store");
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(file, bytes);
  },
  "T9 no signature": edited(({ _sig: _gone, ...record }) => record),
  "T9 a signature of nothing": edited((record) => ({ ...record, _sig: null })),
  "T9 the mac of another file": async ({ file, other }) => {
    const [own, theirs] = (await Promise.all([file, other].map((path) => readFile(path, "utf8")))).map(
      (text) => JSON.parse(text) as Record<string, unknown>,
    );
    await writeFile(file, JSON.stringify({ ...own, _sig: theirs?.["_sig"] }));
  },
  "T9 another algorithm": edited((record) => ({ ...record, _sig: { ...(record["_sig"] as object), alg: "none", mac: "" } })),
  "T9 another key": edited((record) => ({ ...record, _sig: { ...(record["_sig"] as object), kid: "../../settings/.secrets_key" } })),
  "T9 an expiry taken out": edited((record) => ({ ...record, expires_at: null })),
  "T7 a __proto__ put in": async ({ file }) =>
    writeFile(file, (await readFile(file, "utf8")).replace("{", '{"__proto__":{"isAdmin":true},')),
  "T10 the file of a pack with more": async ({ file, other }) => copyFile(other, file),
  "T10 its own file moved to the network's place": async ({ file, network }) => {
    await mkdir(dirname(network), { recursive: true });
    await rename(file, network);
  },
  "T11 an old file after the right was narrowed": async ({ file, old }) => copyFile(old, file),
  "T11 the next revision by hand": edited((record) => ({ ...record, _rev: Number(record["_rev"]) + 1 })),
  "half written": async ({ file }) => {
    const bytes = await readFile(file);
    await writeFile(file, bytes.subarray(0, bytes.length / 2));
  },
  empty: async ({ file }) => writeFile(file, ""),
  "an empty object": async ({ file }) => writeFile(file, "{}"),
  "an array": async ({ file }) => writeFile(file, "[]"),
  "NULs, as after a power cut": async ({ file }) => writeFile(file, Buffer.alloc((await readFile(file)).length)),
  "no JSON": async ({ file }) => writeFile(file, '{"permission_id": "store.get"'),
  gone: async ({ file }) => rm(file),
  "a link to the file of a pack with more": async ({ file, other }) => {
    await rm(file);
    await symlink(other, file);
  },
  "a folder": async ({ file }) => {
    await rm(file);
    await mkdir(file);
  },
  "very large": async ({ file }) => writeFile(file, Buffer.alloc(40 * 1024 * 1024, " ")),
};

const NAMES = Object.keys(TAMPERINGS);
const packOf = (name: string): string => `held_${NAMES.indexOf(name)}`;
const CALL = [["store.get", { store_id: "shared_store", key: "k" }]];

let home: TestHome;
let daemon: DaemonProcess;
const scope = new AsyncDisposableStack();

async function addReader(id: string): Promise<void> {
  const folder = new URL("../../../examples/packs/hostile_reader/", import.meta.url);
  await home.addPack(id, {
    "blocks/call.py": await readFile(new URL("blocks/call.py", folder), "utf8"),
    "flows/main.flow.yaml": (await readFile(new URL("flows/main.flow.yaml", folder), "utf8")).replaceAll("hostile_reader", id),
  });
}

async function errorOf(pack: string): Promise<string | null> {
  const [answer] = answerOf<{ error_type: string | null }[]>(await daemon.run(pack, { asks: CALL }));
  return answer?.error_type ?? null;
}

beforeAll(async () => {
  home = scope.use(await TestHome.create());
  // A few containers at a time: what is judged is files.
  const env = { RUMI_IDLE_REMOVE_SECONDS: "5" };
  await addReader("rich");
  await addReader("bystander");
  for (const name of NAMES) await addReader(packOf(name));
  daemon = scope.use(await startInWorld(home, { names: {}, ports: {} }, env));
  for (const store of ["shared_store", "other_store"]) {
    expect((await daemon.post("/api/stores/create", { store_id: store })).status).toBe(200);
  }
  const narrow = { allowed_store_ids: ["shared_store"] };
  await approveWith(daemon, "rich", { "store.get": { allowed_store_ids: ["*"] }, "store.set": { allowed_store_ids: ["*"] } });
  await approveWith(daemon, "bystander", { "store.get": narrow });
  for (const name of NAMES) await approveWith(daemon, packOf(name), { "store.get": { allowed_store_ids: ["*"] } });
  const folder = home.at("user_data", "permissions");
  for (const name of NAMES) {
    const pack = packOf(name);
    await copyFile(`${folder}/capabilities/${pack}.json`, home.at(`${pack}.old`));
    const answer = await daemon.post("/api/capability/grants/grant", { principal_id: pack, permission_id: "store.get", config: narrow });
    expect(answer.status).toBe(200);
  }
  expect(await errorOf("bystander")).toBe("key_not_found");
  expect(await errorOf(packOf(NAMES[0] ?? ""))).toBe("key_not_found");
  await daemon.stop();
  for (const name of NAMES) {
    const pack = packOf(name);
    await TAMPERINGS[name]?.({
      file: `${folder}/capabilities/${pack}.json`,
      network: `${folder}/network/${pack}.json`,
      other: `${folder}/capabilities/rich.json`,
      old: home.at(`${pack}.old`),
    });
  }
  daemon = scope.use(await startInWorld(home, { names: {}, ports: {} }, env));
});

afterAll(() => scope.disposeAsync());

describe("a grant file that something else changed while the daemon was down", () => {
  test.for(NAMES)("%s: the pack holds nothing until its record is reset", async (name) => {
    const pack = packOf(name);
    expect(await errorOf(pack)).toBe("permission_denied");
    const list = await daemon.get<{ grants: Record<string, Record<string, unknown>> }>(`/api/capability/grants?principal_id=${pack}`);
    expect(JSON.stringify(list.body.data.grants[pack] ?? {})).not.toContain('"allowed_store_ids"');
    // A new yes does not paper over it.
    const early = await daemon.post("/api/capability/grants/grant", {
      principal_id: pack,
      permission_id: "store.get",
      config: { allowed_store_ids: ["shared_store"] },
    });
    expect(early.body).toMatchObject({ success: false, code: "safe_files.record_tampered" });
    expect(JSON.stringify(early.body)).toContain(`rumi grant reset ${pack}`);
  });

  test.for(NAMES)("%s: told in diagnostics and in the audit log, with the one command", async (name) => {
    const pack = packOf(name);
    const diagnostics = JSON.stringify((await daemon.get("/api/diagnostics")).body);
    expect(diagnostics).toContain(`rumi grant reset ${pack}`);
    const { body } = await daemon.get<{ entries: Record<string, unknown>[] }>(
      "/api/audit?category=security&action=record_tampered&limit=1000",
    );
    expect(body.data.entries.filter((entry) => JSON.stringify(entry).includes(pack))).toContainEqual(
      expect.objectContaining({ severity: "critical", success: false }),
    );
  });

  test("others go on, and nobody has more than before", async () => {
    expect(await errorOf("bystander")).toBe("key_not_found");
    expect(await errorOf("rich")).toBe("key_not_found");
    expect((await daemon.post("/api/audit/verify")).body.data).toMatchObject({ ok: true });
  });

  test.for(NAMES)("%s: reset, it holds nothing; granted again, it works", async (name) => {
    const pack = packOf(name);
    expect((await daemon.post("/api/capability/grants/reset", { principal_id: pack })).status).toBe(200);
    expect(await errorOf(pack)).toBe("permission_denied");
    const again = { principal_id: pack, permission_id: "store.get", config: { allowed_store_ids: ["shared_store"] } };
    expect((await daemon.post("/api/capability/grants/grant", again)).status).toBe(200);
    expect(await errorOf(pack)).toBe("key_not_found");
  });
});

test("T11 T105 the whole rights of a home put back from before a revocation: tampered, not revived", async () => {
  const capabilities = home.at("user_data", "permissions", "capabilities");
  await cp(capabilities, home.at("before"), { recursive: true });
  expect((await daemon.post("/api/capability/grants/revoke", { principal_id: "bystander", permission_id: "*" })).status).toBe(200);
  expect(await errorOf("bystander")).toBe("permission_denied");
  await daemon.stop("SIGKILL");
  await copyFile(`${home.at("before")}/bystander.json`, `${capabilities}/bystander.json`);
  daemon = scope.use(await startInWorld(home, { names: {}, ports: {} }));
  expect(await errorOf("bystander")).toBe("permission_denied");
  expect(JSON.stringify((await daemon.get("/api/diagnostics")).body)).toContain("rumi grant reset bystander");
});

test("T105 tokens edited while the daemon is down: none holds any more", async () => {
  await daemon.stop();
  const path = home.at("user_data", "settings", "tokens.json");
  await writeFile(path, (await readFile(path, "utf8")).replaceAll('"read"', '"admin"').replace('"admin"', '"admin" '));
  const file = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...file, tokens: [] }));
  daemon = scope.use(await startInWorld(home, { names: {}, ports: {} }));
  expect((await daemon.get("/api/capability/grants")).status).toBe(401);
  expect((await fetch(`${daemon.url}/health`)).status).toBe(200);
});
