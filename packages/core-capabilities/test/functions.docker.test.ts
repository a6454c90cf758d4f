import type { FlowId, PackId } from "@rumi/core";
import { systemClock, systemRandom } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { FunctionCatalog, PackFunctions } from "@rumi/pack-runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { functionCall } from "../src/function-call.ts";
import { ask, call, caller, FakeRights } from "../src/testing/ask.ts";
import type { AskOptions } from "../src/testing/ask.ts";
import { openSandboxHouse } from "./sandbox-harness.ts";
import type { SandboxHouse } from "./sandbox-harness.ts";

const MAIL = { function_id: "send", entrypoint: "main.py:send", aliases: ["mail.send"], caller_requires: ["store.get"] };
const FILES = {
  "functions/send/manifest.json": JSON.stringify(MAIL),
  "functions/send/main.py": `
def send(context, args):
    print("a word of the function")
    return {"args": args, "owner": context["owner_pack"], "asked_by": context["principal_id"], "flow": context["flow_id"], "inputs": context["inputs"]}
`,
  "functions/node_one/manifest.json": JSON.stringify({ function_id: "node_one", timeout_seconds: 5 }),
  "functions/node_one/main.ts": `
export const run = async (context: { owner_pack: string }, args: { wait?: number }) => {
  if (args.wait !== undefined) await new Promise((resolve) => setTimeout(resolve, args.wait));
  return { owner: context.owner_pack, args };
};
`,
  "functions/fails/manifest.json": JSON.stringify({ function_id: "fails" }),
  "functions/fails/main.py": "def run(context, args):\n    raise ValueError('sk-secret')\n",
  "functions/on_host/manifest.json": JSON.stringify({ function_id: "on_host", host_execution: true }),
  "functions/on_host/main.py": "def run(context, args):\n    return 1\n",
};

let house: SandboxHouse;
let catalog: FunctionCatalog;
let functions: PackFunctions;
const rights = new FakeRights().grant("alpha", "store.get");

beforeAll(async () => {
  house = await openSandboxHouse();
  await house.approve("beta", FILES);
  const { approvals, audit, diagnostics } = house.home;
  catalog = new FunctionCatalog({ approvals, diagnostics });
  await catalog.reload();
  functions = new PackFunctions(
    { catalog, gate: approvals, pool: house.pool, audit, clock: systemClock, random: systemRandom, logger: silentLogger },
    { maxResultBytes: 4 * 1024 * 1024 },
  );
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
});

function use(name: string, args: object = {}, options: AskOptions = {}) {
  const capability = functionCall({ functions, approvals: house.home.approvals, rights });
  return ask(capability, { function: name, args: { ...args } }, { grant: { allowed_functions: ["beta:*"] }, ...options });
}

test("F87 T97 X88 a Python function is called by its declared name with (context, args), as its own pack", async () => {
  const seen = await use("mail.send", { to: "x", n: 1 });
  expect(seen).toEqual({
    ok: true,
    output: { result: { args: { to: "x", n: 1 }, owner: "beta", asked_by: "alpha", flow: "alpha.main", inputs: {} } },
  });
  expect(house.home.audit.events.at(-1)).toMatchObject({
    category: "flow_execution",
    action: "function_call",
    success: true,
    owner_pack: "beta",
    details: { function: "beta:send", caller: "alpha", trigger: "function.call" },
  });
  expect(house.pool.list()).toMatchObject([{ pack_id: "beta", runtime: "python" }]);
});

test("F87 X88 a Node function the same, within its own time", async () => {
  expect(await use("beta:node_one", { a: 1 })).toEqual({ ok: true, output: { result: { owner: "beta", args: { a: 1 } } } });
  expect(await use("beta:node_one", { wait: 20_000 })).toMatchObject({ ok: false, error_type: "timeout" });
});

test("the own pack calls its own without a grant; the provider's failure is the operator's to read", async () => {
  expect(await use("beta:node_one", {}, { grant: null, caller: caller("beta") })).toMatchObject({ ok: true });
  const failed = await use("beta:fails");
  expect(failed).toMatchObject({ ok: false, error_type: "block_error", error: "The function did not complete" });
  expect(house.home.audit.events.at(-1)).toMatchObject({ action: "function_call", success: false });
});

test("a function that asks for the host is refused, and so is one deeper than ten", async () => {
  expect(await use("beta:on_host")).toMatchObject({ ok: false, error_type: "permission_denied" });
  const chain = Array.from({ length: 10 }, (_, n) => `alpha.f${n}` as FlowId);
  expect(await use("beta:send", {}, { caller: caller("alpha", { call: call({ chain }) }) })).toMatchObject({
    error_type: "flow_depth_exceeded",
  });
  expect(await use("beta:send", {}, { caller: caller("alpha", { call: null }) })).toMatchObject({ error_type: "permission_denied" });
});

test("X6 bytes that changed since their approval are not run", async () => {
  await house.home.putPack("beta", { ...FILES, "functions/send/main.py": "def send(context, args):\n    return 'changed'\n" });
  await house.home.approvals.scan();
  expect(await use("beta:send")).toMatchObject({ ok: false, error_type: "permission_denied" });
  await house.home.approvals.approve("beta", { actor: "test" });
  // The catalog still knows the old bytes: they are not the approved ones any more.
  expect(await use("beta:send")).toMatchObject({ ok: false, error_type: "permission_denied" });
  await catalog.reload();
  expect(await use("beta:send")).toEqual({ ok: true, output: { result: "changed" } });
  await house.pool.remove({ pack_id: "beta" as PackId }, "test");
});
