import type { JsonObject, PackId, PermissionId } from "@rumi/core";
import { temporaryFolder } from "@rumi/testkit";
import * as v from "valibot";
import { expect, test } from "vitest";
import { createGrantSpecs, GRANT_SPECS } from "./grant-specs.ts";
import { openTestGrants } from "./testing/open-test-grants.ts";

/** One config of each built-in permission that allows something. */
const WORKING: Readonly<Record<string, JsonObject>> = {
  "secrets.get": { allowed_keys: ["API_KEY"] },
  "secrets.use": { allowed_bindings: ["API_KEY@api.x.com"] },
  "store.get": { allowed_store_ids: ["s"] },
  "store.delete": { allowed_store_ids: ["s"] },
  "store.list": { allowed_store_ids: ["s"] },
  "store.batch_get": { allowed_store_ids: ["s"] },
  "store.set": { allowed_store_ids: ["s"] },
  "store.cas": { allowed_store_ids: ["s"] },
  "flow.run": { allowed_flow_ids: ["f.main"] },
  "function.call": { allowed_functions: ["p:f"] },
  "unit.run": { allowed_store_ids: ["s"] },
  "pack.update": { allowed_pack_ids: ["p"] },
  "pack.inbox.send": { allowed_target_packs: ["p"], allowed_kinds: ["file_json_patch"] },
  "code.propose_patch": { allowed_target_packs: ["p"], allowed_paths: ["blocks/*"] },
  "docker.run": { allowed_images: ["python:3.12"] },
  "docker.exec": { allowed_images: ["python:3.12"] },
  "docker.stop": { allowed_images: ["python:3.12"] },
  "docker.logs": { allowed_images: ["python:3.12"] },
  "docker.list": { allowed_images: ["python:3.12"] },
  "network.egress": { allowed_domains: ["x.com"], allowed_ports: [443] },
};
const CHILD = "a__b" as PackId;

test("every built-in permission is tested here", () => {
  expect(Object.keys(WORKING).toSorted()).toEqual([...GRANT_SPECS.keys()].toSorted());
});

const LISTS = Object.entries(WORKING).flatMap(([permission, config]) => Object.keys(config).map((list) => [permission, list] as const));

test.each(LISTS)("T44 %s: %s empty or absent at any level is denied", async (permission, list) => {
  await using home = await temporaryFolder();
  const { grants, give } = await openTestGrants(home.path);
  const working = WORKING[permission] ?? {};
  const { [list]: _, ...absent } = working;
  const empty = { ...working, [list]: [] };
  const lacking = permission === "network.egress" ? [empty] : [empty, absent];
  const allowed = async (parent: JsonObject, child: JsonObject): Promise<boolean> => {
    await give("a", permission, parent);
    await give("a__b", permission, child);
    return grants.effective(CHILD, permission as PermissionId).allowed;
  };
  expect(await allowed(working, working)).toBe(true);
  for (const less of lacking) {
    expect(await allowed(less, working)).toBe(false);
    expect(await allowed(working, less)).toBe(false);
    expect(await allowed(less, less)).toBe(false);
  }
  await expect(give("a", permission, { ...working, [list]: null as never })).rejects.toMatchObject({ code: "capability.invalid_config" });
  if (permission === "network.egress")
    await expect(give("a", permission, absent)).rejects.toMatchObject({ code: "capability.invalid_config" });
});

const REFUSED: readonly [permission: string, config: unknown][] = [
  ...Object.entries(WORKING).flatMap(([permission, config]): [string, unknown][] => [
    [permission, { ...config, unknown_key: 1 }],
    [permission, { ...config, max_uses: null }],
    [permission, { ...config, max_uses: 0 }],
    [permission, { ...config, max_uses_per_day: 1.5 }],
    [permission, { ...config, rate_per_minute: "5" }],
    [permission, JSON.parse('{"__proto__":{"allowed_keys":["*"]}}')],
    [permission, JSON.parse(`{"constructor":1}`)],
    [permission, null],
    [permission, []],
    [permission, "x"],
    ...Object.keys(config).flatMap((list): [string, unknown][] => [
      [permission, { ...config, [list]: "*" }],
      [permission, { ...config, [list]: [null] }],
      [permission, { ...config, [list]: [""] }],
      [permission, { ...config, [list]: [["*"]] }],
      [permission, { ...config, [list]: { 0: "*" } }],
      [permission, { ...config, [list]: Array(1001).fill("x") }],
    ]),
  ]),
  ["secrets.get", { allowed_keys: ["lower"] }],
  ["secrets.get", { allowed_keys: ["A\n"] }],
  ["secrets.get", { allowed_keys: ["A*B"] }],
  ["secrets.use", { allowed_bindings: ["API_KEY@*"] }],
  ["secrets.use", { allowed_bindings: ["*@x.com"] }],
  ["secrets.use", { allowed_bindings: ["API_KEY"] }],
  ["secrets.use", { allowed_bindings: ["API_KEY@"] }],
  ["secrets.use", { allowed_bindings: ["API_KEY@*.com"] }],
  ["secrets.use", { allowed_bindings: ["API_KEY@x.com:443"] }],
  ["secrets.use", { allowed_bindings: ["API_KEY@x.com"], allowed_slots: ["path"] }],
  ["secrets.use", { allowed_bindings: ["API_KEY@x.com"], allowed_slots: ["*"] }],
  ["store.set", { allowed_store_ids: ["s"], max_value_bytes: -1 }],
  ["code.propose_patch", { allowed_target_packs: ["p"], allowed_paths: ["../x"] }],
  ["code.propose_patch", { allowed_target_packs: ["p"], allowed_paths: ["/etc/*"] }],
  ["code.propose_patch", { allowed_target_packs: ["p"], allowed_paths: ["a/../../b"] }],
  ["pack.inbox.send", { allowed_target_packs: ["p"], allowed_kinds: ["shell"] }],
  ["docker.run", { allowed_images: ["-v"] }],
  ["docker.run", { allowed_images: ["x"], max_memory: "lots" }],
  ["docker.run", { allowed_images: ["x"], max_memory: 5 }],
  ["docker.run", { allowed_images: ["x"], max_cpus: 0 }],
  ["network.egress", { allowed_domains: ["x.com"], allowed_ports: [0] }],
  ["network.egress", { allowed_domains: ["x.com"], allowed_ports: [65_536] }],
  ["network.egress", { allowed_domains: ["x.com"], allowed_ports: ["443"] }],
  ["network.egress", { allowed_domains: ["x.com"], allowed_ports: [443], allowed_methods: ["CONNECT"] }],
  ["fs.read", { nested: { deep: null } }],
  ["fs.read", { max_uses: "many" }],
  ["fs.read", { big: "x".repeat(64 * 1024) }],
  ["fs.read", { n: 2 ** 60 }],
  ["fs.read", { lone: "\ud800" }],
  ["fs.read", JSON.parse('{"a":{"b":[{"prototype":1}]}}')],
  ["fs.read", JSON.parse(`${'{"a":'.repeat(80)}1${"}".repeat(80)}`)],
];

test("T43 a config that its permission does not know, or with null, is refused and nothing is granted", async () => {
  await using home = await temporaryFolder();
  const { grants } = await openTestGrants(home.path);
  for (const [permission_id, config] of REFUSED) {
    await expect(
      grants.grant({ principal_id: "a", permission_id, config, actor: "operator" }),
      `${permission_id} ${JSON.stringify(config).slice(0, 200)}`,
    ).rejects.toMatchObject({ code: "capability.invalid_config" });
  }
  expect(grants.list()).toEqual({});
});

test("principals and permission ids that are none are refused; host privileges are not granted here", async () => {
  await using home = await temporaryFolder();
  const { grants } = await openTestGrants(home.path);
  const refused = async (principal_id: string, permission_id: string): Promise<void> => {
    await expect(grants.grant({ principal_id, permission_id, actor: "operator" })).rejects.toMatchObject({
      code: "capability.invalid_config",
    });
  };
  for (const id of ["", "a b", "a\n", "__proto__", "a__", "__a", "a___b", "../a", "x".repeat(65), "a/b"]) await refused(id, "fs.read");
  for (const id of ["", "*", "Fs.read", "fs..read", "__proto__", "fs.read\n", "x".repeat(129)]) await refused("a", id);
  for (const id of ["host.execute", "host.mount", "allow_wildcard_modifiers"]) {
    await expect(grants.grant({ principal_id: "a", permission_id: id, actor: "operator" })).rejects.toMatchObject({
      remedy: `rumi privilege grant <pack> ${id}`,
    });
  }
  for (const id of ["constructor", "toString", "prototype"]) {
    await grants.grant({ principal_id: id, permission_id: "fs.read", actor: "operator" });
    expect(grants.list(id)).toHaveProperty(id);
    expect(grants.effective(id as PackId, "fs.read" as PermissionId).allowed).toBe(true);
  }
});

test("sizes come out in bytes, numbers past the cap at the cap, and defaults are the contract's", () => {
  const kept = (permission: string, config: JsonObject): JsonObject => v.parse(createGrantSpecs().find(permission).config, config);
  expect(kept("docker.run", { max_memory: "256m", max_cpus: 9, max_pids: 999, max_containers: 9, max_execution_time: 9999 })).toEqual({
    max_memory: 268_435_456,
    max_cpus: 2,
    max_pids: 200,
    max_containers: 5,
    max_execution_time: 600,
  });
  expect(kept("docker.run", { max_memory: "2g" })).toEqual({ max_memory: 1_073_741_824 });
  expect(kept("docker.run", { max_memory: 8_388_608 })).toEqual({ max_memory: 8_388_608 });
  const specs = createGrantSpecs({ requestsPerMinute: 7, isHandler: (id) => id === "fs.read" });
  expect(specs.find("docker.exec").defaults).toEqual({
    max_memory: 268_435_456,
    max_cpus: 0.5,
    max_pids: 50,
    max_containers: 3,
    max_execution_time: 60,
  });
  expect(specs.find("network.egress").defaults).toEqual({ requests_per_minute: 7 });
  expect(specs.find("secrets.use").defaults).toEqual({ allowed_slots: ["header"] });
  expect(specs.find("inbox.send").permission_id).toBe("pack.inbox.send");
  expect(specs.find("pack.update.propose_patch").permission_id).toBe("code.propose_patch");
  expect(["fs.read", "fs.write", "inbox.send", "toString"].map((name) => specs.isKnown(name))).toEqual([true, false, true, false]);
});
