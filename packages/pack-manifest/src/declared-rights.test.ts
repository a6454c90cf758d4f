import type { PackId } from "@rumi/core";
import * as v from "valibot";
import { expect, test } from "vitest";
import { declaredRights } from "./declared-rights.ts";
import { EcosystemJson } from "./ecosystem-json.ts";
import { DeclaredPermission } from "./permissions-json.ts";

function rights(permissions: readonly unknown[], manifest: object = {}): Record<string, unknown> {
  const whole = v.parse(EcosystemJson, { pack_id: "alpha", pack_identity: "local:alpha", ...manifest });
  const parsed = permissions.map((permission) => v.parse(DeclaredPermission, permission));
  return Object.fromEntries(declaredRights({ pack_id: "alpha" as PackId, manifest: whole, permissions: parsed }));
}

test("a pack that wishes for nothing declares nothing", () => {
  expect(rights([])).toEqual({});
  expect(rights([{ type: "store", store_ids: ["x"] }])).toEqual({});
});

test("wishes for the network of both files come together in one right", () => {
  const network = { type: "network", domains: ["a.example"], ports: [443] };
  expect(rights([network, { ...network, domains: ["b.example", "a.example"], ports: ["*"] }])).toEqual({
    "network.egress": { allowed_domains: ["a.example", "b.example"], allowed_ports: [443, "*"] },
  });
  expect(rights([network], { required_network: { allowed_domains: ["c.example"], allowed_ports: [80] } })).toEqual({
    "network.egress": { allowed_domains: ["a.example", "c.example"], allowed_ports: [443, 80] },
  });
});

test("a secret with hosts is a wish for its use there, one without for its value; a required one adds no value to a bound one", () => {
  const secrets = [
    { type: "secret", keys: ["A", "B"], hosts: ["a.example", "b.example"] },
    { type: "secret", keys: ["C"] },
  ];
  expect(rights(secrets, { required_secrets: ["A", "D"] })).toEqual({
    "secrets.use": { allowed_bindings: ["A@a.example", "A@b.example", "B@a.example", "B@b.example"] },
    "secrets.get": { allowed_keys: ["C", "D"] },
  });
});

test("stores of the manifest go by their whole id, and only operations that there are count", () => {
  const wishes = [
    { type: "store", store_ids: ["cache", "other__notes"], operations: ["get", "set", "drop", "__proto__"] },
    { type: "capability", permission_id: "store.list", config: { allowed_store_ids: ["cache"] } },
  ];
  expect(rights(wishes, { stores: [{ store_id: "cache" }] })).toEqual({
    "store.get": { allowed_store_ids: ["alpha__cache", "other__notes"] },
    "store.set": { allowed_store_ids: ["alpha__cache", "other__notes"] },
    "store.list": { allowed_store_ids: ["alpha__cache"] },
  });
});

test("capabilities named twice are one wish, the wider of both", () => {
  const ask = (config: object) => ({ type: "capability", permission_id: "docker.run", config });
  expect(
    rights([ask({ allowed_images: ["a"], max_pids: 5, x: "1", y: false }), ask({ allowed_images: ["b"], max_pids: 9, x: "2", y: true })]),
  ).toEqual({
    "docker.run": { allowed_images: ["a", "b"], max_pids: 9, x: "1", y: true },
  });
  const hostile = JSON.parse('{"type":"capability","permission_id":"a.b","config":{"__proto__":{"allowed_keys":["A"]}}}') as unknown;
  expect(Object.keys(rights([hostile])["a.b"] as object).includes("allowed_keys")).toBe(false);
  expect(({} as { allowed_keys?: unknown }).allowed_keys).toBeUndefined();
});
