import type { JsonObject } from "@rumi/core";
import { expect, test } from "vitest";
import { isHeld, joinHeld, planDeclared } from "./declared-plan.ts";

const plan = (permission: string, config: JsonObject) => planDeclared([[permission, config]])[0];

test("what is declared is planned as it is, but for stars and private addresses, which are named", () => {
  expect(
    plan("network.egress", {
      allowed_domains: ["api.example.com", "*.x.example", "*", "localhost", "127.0.0.1", "10.0.0.8", "8.8.8.8", "169.254.169.254"],
      allowed_ports: [443, "*"],
      allow_private: ["127.0.0.1:11434"],
      requests_per_minute: 5,
    }),
  ).toEqual({
    permission_id: "network.egress",
    config: { allowed_domains: ["api.example.com", "*.x.example", "8.8.8.8"], allowed_ports: [443], requests_per_minute: 5 },
    left_out: [
      "allowed_domains *",
      "allowed_domains localhost",
      "allowed_domains 127.0.0.1",
      "allowed_domains 10.0.0.8",
      "allowed_domains 169.254.169.254",
      "allowed_ports *",
      "allow_private 127.0.0.1:11434",
    ],
  });
});

test.each([
  "LOCALHOST",
  "localhost.",
  "a.localhost",
  "printer.local",
  "db.internal",
  "192.168.1.1",
  "172.31.0.1",
  "100.64.0.1",
  "0.0.0.0",
  "::1",
  "[::1]",
  "[fe80::1]",
  "fd00::1",
  "::ffff:127.0.0.1",
  "2002:7f00:1::",
  "KEY@localhost",
  "KEY@10.1.2.3",
  "KEY@*",
  "*",
])("%s is never given by one key", (item) => {
  expect(plan("x.y", { allowed_domains: [item] })).toEqual({ permission_id: "x.y", config: null, left_out: [`allowed_domains ${item}`] });
});

test("a list that is left empty gives nothing, an empty one neither; a right without lists is given whole", () => {
  expect(plan("flow.run", { allowed_flow_ids: ["*"], max_uses: 3 })?.config).toBe(null);
  expect(plan("flow.run", { allowed_flow_ids: [] })?.config).toBe(null);
  expect(plan("fs.read", {})).toEqual({ permission_id: "fs.read", config: {}, left_out: [] });
  expect(plan("fs.read", { path: "*", deep: { any: ["a", "*"] }, mode: "r" })).toEqual({
    permission_id: "fs.read",
    config: { mode: "r" },
    left_out: ["path *", 'deep {"any":["a","*"]}'],
  });
});

test("what an operator gave before stays: lists are joined, other limits are the held ones", () => {
  const held = { allowed_domains: ["b.example"], allow_private: ["127.0.0.1:1"], requests_per_minute: 5 };
  const planned = { allowed_domains: ["a.example", "b.example"], requests_per_minute: 60, max_uses: 9 };
  expect(joinHeld(held, planned)).toEqual({
    allowed_domains: ["b.example", "a.example"],
    allow_private: ["127.0.0.1:1"],
    requests_per_minute: 5,
    max_uses: 9,
  });
  expect([isHeld(held, planned), isHeld({ allowed_domains: ["*"] }, planned), isHeld(joinHeld(held, planned), planned)]).toEqual([
    false,
    true,
    true,
  ]);
});
