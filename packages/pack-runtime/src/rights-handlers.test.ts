import { CapabilityError } from "@rumi/capability";
import type { JsonObject, PackId } from "@rumi/core";
import type { HandlerScope } from "@rumi/flow-engine";
import { expect, test } from "vitest";
import { rightsKernelHandlers } from "./rights-handlers.ts";
import type { RightsHandlerDeps } from "./rights-handlers.ts";

const scope = { flow_id: "startup" } as unknown as HandlerScope;

function make() {
  const asks: unknown[] = [];
  const right = { permission_id: "network.egress", config: { allowed_domains: ["a.example"] }, granted_by: "x" };
  const grants = {
    grant: (ask: JsonObject) => {
      asks.push(ask);
      const { principal_id, permission_id, config } = ask;
      return Promise.resolve({ principal_id, permission_id, granted: true, config, grant: right, undeclared: [], warnings: ["w"] });
    },
    revoke: (ask: JsonObject) => {
      asks.push(ask);
      if (ask["permission_id"] === "store.set") throw new CapabilityError("capability.grant_not_found", "none");
      return Promise.resolve({ revoked: 1 });
    },
    list: () => ({ p: [right], q: [{ ...right, permission_id: "store.get" }] }),
    tampered: () => [{ principal_id: "bad" }],
  };
  const gate = { gate: (id: PackId) => (id === "p" ? { allowed: false, reason: "not approved" } : { allowed: true }) };
  const handlers = rightsKernelHandlers({ grants, gate } as unknown as RightsHandlerDeps);
  const run = async (name: string, args: JsonObject): Promise<unknown> =>
    handlers.find((each) => each.name === `kernel:${name}`)?.run(args, scope);
  return { asks, handlers, run };
}

test("every one is the operator's", () => {
  expect(make().handlers.map((handler) => `${handler.kind} ${handler.name}`)).toEqual([
    "operator kernel:capability.grant",
    "operator kernel:capability.revoke",
    "operator kernel:capability.list",
    "operator kernel:network.grant",
    "operator kernel:network.revoke",
    "operator kernel:network.list",
  ]);
});

test("rights come and go with the flow as who did it, whatever the arguments say", async () => {
  const { asks, run } = make();
  expect(await run("capability.grant", { principal_id: "p", permission_id: "store.get", config: { a: 1 }, actor: "root" })).toEqual({
    principal_id: "p",
    permission_id: "store.get",
    granted: true,
    config: { a: 1 },
    undeclared: [],
    warnings: ["w"],
  });
  expect(await run("network.grant", { pack_id: "p", allowed_domains: ["a.example"], allowed_ports: [443], notes: "n" })).toMatchObject({
    grant: { pack_id: "p" },
  });
  expect(await run("capability.revoke", { principal_id: "p", permission_id: "*", reason: "gone" })).toEqual({ revoked: 1 });
  expect(await run("network.revoke", { pack_id: "p" })).toEqual({ pack_id: "p", revoked: true });
  expect(asks).toEqual([
    { principal_id: "p", permission_id: "store.get", config: { a: 1 }, actor: "flow:startup" },
    {
      principal_id: "p",
      permission_id: "network.egress",
      config: { allowed_domains: ["a.example"], allowed_ports: [443] },
      notes: "n",
      actor: "flow:startup",
    },
    { principal_id: "p", permission_id: "*", reason: "gone", actor: "flow:startup" },
    { principal_id: "p", permission_id: "network.egress", actor: "flow:startup" },
  ]);
  await expect(run("capability.revoke", { principal_id: "p", permission_id: "store.set" })).rejects.toMatchObject({
    code: "capability.grant_not_found",
  });
});

test("lists are those of the API", async () => {
  const { run } = make();
  expect(await run("capability.list", {})).toMatchObject({
    count: 3,
    grants: { bad: { status: "tampered", rights: [] }, p: { status: "ok" }, q: { principal_id: "q", status: "ok" } },
  });
  expect(await run("capability.list", { principal_id: "bad" })).toMatchObject({ count: 1 });
  expect(await run("network.list", {})).toMatchObject({
    grants: { p: { pack_id: "p", config: { allowed_domains: ["a.example"] } } },
    grant_count: 1,
    disabled_packs: { p: "not approved" },
    disabled_count: 1,
  });
});

test("arguments of the wrong kind are the flow's fault", async () => {
  const { run } = make();
  for (const [name, args] of [
    ["capability.grant", { principal_id: "p" }],
    ["capability.revoke", { permission_id: "*" }],
    ["network.grant", { pack_id: 5 }],
    ["capability.list", { principal_id: 5 }],
  ] as const) {
    await expect(run(name, args), name).rejects.toMatchObject({ code: "kernel.invalid_args" });
  }
});
