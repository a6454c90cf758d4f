import type { JsonObject, PermissionId } from "@rumi/core";
import { expect, test } from "vitest";
import { planDeclaredGrants, type DeclaredGrant } from "./declared-grants.ts";
import { createGrantSpecs } from "./grant-specs.ts";

function plan(permission: string, wish: JsonObject): Omit<DeclaredGrant, "permission_id"> | undefined {
  const [first] = planDeclaredGrants(new Map([[permission as PermissionId, wish]]), createGrantSpecs());
  return first === undefined ? undefined : { config: first.config, left_out: first.left_out };
}

test('what is declared is granted without "*" and private addresses', () => {
  expect(plan("store.get", { allowed_store_ids: ["s", "*"] })).toEqual({
    config: { allowed_store_ids: ["s"] },
    left_out: ['allowed_store_ids: "*"'],
  });
  expect(plan("network.egress", { allowed_domains: ["X.com"], allowed_ports: [443], allow_private: ["10.0.0.1:1"] })).toEqual({
    config: { allowed_domains: ["x.com"], allowed_ports: [443] },
    left_out: ['allow_private: ["10.0.0.1:1"]'],
  });
  expect(plan("fs.read", { deep: { paths: ["*", "a"] } })).toEqual({ config: { deep: { paths: ["a"] } }, left_out: ['paths: "*"'] });
});

test("a wish of which nothing is left, or that its permission does not know, is not granted", () => {
  expect(plan("secrets.get", { allowed_keys: ["*"] })).toMatchObject({
    config: null,
    left_out: ['allowed_keys: "*"', "allowed_keys is empty"],
  });
  expect(plan("network.egress", { allowed_domains: ["10.0.0.1"], allowed_ports: [1] })).toMatchObject({ config: null });
  expect(plan("store.get", { everything: true })).toMatchObject({ config: null });
});
