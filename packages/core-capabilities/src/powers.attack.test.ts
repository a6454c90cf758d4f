import { CapabilityBroker, GRANT_SPECS } from "@rumi/capability";
import type { CapabilityAnswer } from "@rumi/capability";
import { fakeOwner, openTestGrants } from "@rumi/capability/testing";
import type { TestGrants } from "@rumi/capability/testing";
import type { FlowId, InFlightCall, JsonObject, JsonValue, StoreId } from "@rumi/core";
import { systemClock, systemRandom } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { blockGives, FakeBlocks, flowFile, TestBench } from "@rumi/flow-engine/testing";
import { MemoryKvStore, StoreCursors, StoreRegistry } from "@rumi/store";
import { temporaryFolder } from "@rumi/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CapabilityTable } from "./capability-table.ts";
import { createCoreCapabilities } from "./core-capabilities.ts";
import { call } from "./testing/ask.ts";

let cleanup: AsyncDisposableStack;
let book: TestGrants;
let kv: MemoryKvStore;
let registry: StoreRegistry;
let broker: CapabilityBroker;
let flows: TestBench;
/** Secrets that there are; null: there, but not to be decrypted. */
const SECRETS: Readonly<Record<string, string | null>> = { KEY: "sk-12345678", BROKEN: null };

/** Flows whose only block asks for another flow, as the call that it is. */
function asking(...hops: readonly (readonly [from: string, to: string])[]): TestBench {
  const blocks = Object.fromEntries(
    hops.map(([from, to]) => [
      `${from}/ask.py`,
      async (asked: Parameters<FakeBlocks["run"]>[0]) => {
        const { call_id, run_id, flow_id, step_id, phase, idempotency_key, chain } = asked;
        const flying: InFlightCall = { call_id, run_id, flow_id, step_id, phase, idempotency_key, chain, deadline: Infinity };
        const answer = await send({ permission_id: "flow.run", args: { flow_id: to } }, from, [flying]);
        return blockGives(answer);
      },
    ]),
  );
  const files = hops.map(([pack]) =>
    flowFile(`flow_id: ${pack}\nphases: [main]\nsteps:\n  - {id: s, phase: main, type: python_file_call, file: ask.py, output: got}\n`, {
      pack,
    }),
  );
  return new TestBench(files, { blocks: new FakeBlocks(blocks) });
}

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await temporaryFolder("rumi-powers-"));
  book = await openTestGrants(folder.path, { clock: systemClock });
  const { signed, userData, audit, diagnostics } = book;
  kv = cleanup.use(new MemoryKvStore());
  registry = new StoreRegistry({ kv, signed, userData, audit, diagnostics, clock: systemClock });
  await registry.load();
  flows = new TestBench([]);
  const never = (): never => {
    throw new Error("nothing is reached");
  };
  const source = new CapabilityTable(
    createCoreCapabilities(
      {
        rights: book.grants,
        approvals: { gate: () => ({ allowed: false, code: "approval.not_approved", reason: "Pack is not approved" }) },
        secrets: { read: (key) => Promise.resolve(SECRETS[key] ?? null) },
        kv,
        stores: registry,
        cursors: new StoreCursors(new Uint8Array(32)),
        flows: { run: (...asked) => flows.runner.run(...asked) },
        functions: { find: () => undefined, call: never },
        containers: { run: never, start: never, exec: never, stop: never, logs: never, list: never },
        signed,
        clock: systemClock,
        random: systemRandom,
      },
      { userData },
    ),
  );
  broker = new CapabilityBroker({ grants: book.grants, gate: book.gate, source, audit, clock: systemClock, logger: silentLogger });
});
afterEach(async () => {
  await broker.settled();
  await cleanup.disposeAsync();
});

function send(message: JsonValue, principal = "alpha", calls: readonly InFlightCall[] = [call()]): Promise<CapabilityAnswer> {
  return broker.handle(message, fakeOwner(principal, calls), new AbortController().signal);
}

/** A good use of every power that can be called. */
const USES: Readonly<Record<string, JsonObject>> = {
  "secrets.get": { key: "KEY" },
  "store.get": { store_id: "s", key: "k" },
  "store.set": { store_id: "s", key: "k", value: 1 },
  "store.delete": { store_id: "s", key: "k" },
  "store.cas": { store_id: "s", key: "k", new_value: 1 },
  "store.list": { store_id: "s" },
  "store.batch_get": { store_id: "s", keys: ["k"] },
  "flow.run": { flow_id: "beta" },
  "function.call": { function: "beta:f" },
  "pack.inbox.send": {
    to_pack_id: "beta",
    target_component: { type: "t", id: "c" },
    payload: { kind: "file_replace_json", file: "a.json", json: 1 },
  },
  "code.propose_patch": { target_pack_id: "beta", changes: [{ file_path: "a", content: "b" }] },
  "docker.run": { image: "i", command: ["true"] },
  "docker.exec": { container_name: "rumi-cap-0", command: ["true"] },
  "docker.stop": { container_name: "rumi-cap-0" },
  "docker.logs": { container_name: "rumi-cap-0" },
  "docker.list": {},
};
/** Powers of later rooms. */
const NOT_HERE = ["unit.run", "pack.update"];

test("every permission that can be granted and called has its power", () => {
  const callable = [...GRANT_SPECS.values()].filter((spec) => spec.callable).map((spec) => spec.permission_id);
  expect(callable.filter((id) => !NOT_HERE.includes(id)).sort()).toEqual(Object.keys(USES).sort());
});

test.each(Object.entries(USES))("T44 T45 T94 %s: no grant, empty and missing lists, at any level: nothing is allowed", async (id, args) => {
  const lists = listsOf(id);
  const full = Object.fromEntries(lists.map((name) => [name, ["*"]]));
  const denied = id === "secrets.get" ? "access_denied" : "permission_denied";
  const ask = async (principal: string): Promise<string | null> => (await send({ permission_id: id, args }, principal)).error_type;
  expect(await ask("alpha")).toBe(denied);
  for (const name of lists) {
    const { [name]: _absent, ...rest } = full;
    for (const config of [rest, { ...rest, [name]: [] }]) {
      await book.give("alpha", id, config);
      expect(await ask("alpha")).toBe(denied);
    }
  }
  await book.give("alpha__child", id, full);
  expect(await ask("alpha__child")).toBe(denied);
  await book.grants.revoke({ principal_id: "alpha", permission_id: id, actor: "operator" });
  expect(await ask("alpha__child")).toBe(denied);
});

function listsOf(id: string): string[] {
  const store = ["allowed_store_ids"];
  const docker = ["allowed_images"];
  const known: Readonly<Record<string, string[]>> = {
    "secrets.get": ["allowed_keys"],
    "flow.run": ["allowed_flow_ids"],
    "function.call": ["allowed_functions"],
    "pack.inbox.send": ["allowed_target_packs", "allowed_kinds"],
    "code.propose_patch": ["allowed_target_packs", "allowed_paths"],
  };
  return known[id] ?? (id.startsWith("store.") ? store : docker);
}

test("T52 through the broker: ungranted, unlisted, absent and undecryptable keys give equal bytes", async () => {
  const seen = [await send({ permission_id: "secrets.get", args: { key: "KEY" } })];
  await book.give("alpha", "secrets.get", { allowed_keys: ["BROKEN", "ABSENT"] });
  for (const key of ["KEY", "BROKEN", "ABSENT", "no key"]) seen.push(await send({ permission_id: "secrets.get", args: { key } }));
  expect(new Set(seen.map((answer) => JSON.stringify(answer))).size).toBe(1);
  await book.give("alpha", "secrets.get", { allowed_keys: ["KEY"] });
  expect((await send({ permission_id: "secrets.get", args: { key: "KEY" } })).output).toEqual({ success: true, value: "sk-12345678" });
  await broker.settled();
  expect(JSON.stringify(book.audit.events)).not.toContain("sk-12345678");
});

test("T53 an unknown permission and an ungranted one look the same", async () => {
  const unknown = await send({ permission_id: "no.such", args: {} });
  expect(await send({ permission_id: "flow.run", args: { flow_id: "beta" } })).toEqual(unknown);
});

test("T73 another pack's store is closed without a share, and a read share lets nobody write", async () => {
  await registry.declare("beta" as never, [{ store_id: "notes" }]);
  const store = "beta__notes" as StoreId;
  for (const id of ["store.get", "store.set", "store.list"]) await book.give("alpha", id, { allowed_store_ids: ["*"] });
  const read = { permission_id: "store.list", args: { store_id: store } };
  expect((await send(read)).error_type).toBe("permission_denied");
  await registry.share({ provider_pack_id: "beta", consumer_pack_id: "alpha", store_id: store, mode: "read", actor: "operator" });
  expect((await send(read)).success).toBe(true);
  const write = { permission_id: "store.set", args: { store_id: store, key: "k", value: 1 } };
  expect((await send(write)).error_type).toBe("permission_denied");
  expect((await send({ ...write, principal_id: "beta" })).error_type).toBe("permission_denied");
});

test("an alias is the power itself, held by the grant of its own name", async () => {
  const message = { permission_id: "inbox.send", args: USES["pack.inbox.send"] ?? {} };
  expect((await send(message)).error_type).toBe("permission_denied");
  await book.give("alpha", "pack.inbox.send", { allowed_target_packs: ["*"], allowed_kinds: ["*"] });
  expect((await send(message)).error_type).toBe("policy_denied");
});

test.each(Object.keys(USES))("__proto__ and extra keys in a message for %s are refused", async (id) => {
  const args = JSON.stringify(USES[id]);
  const poisoned = JSON.parse(
    `{"permission_id":"${id}","args":${args.slice(0, -1)}${args === "{}" ? "" : ","}"__proto__":{"key":1}}}`,
  ) as JsonValue;
  expect((await send(poisoned)).error_type).toBe("invalid_request");
  const lists = Object.fromEntries(listsOf(id).map((name) => [name, ["*"]]));
  await book.give("alpha", id, lists);
  const extra = await send({ permission_id: id, args: { ...USES[id], principal_id: "beta" } });
  expect(extra.error_type).toBe(id === "secrets.get" ? "access_denied" : "validation_error");
});

test("F47 T54 A's block runs B, whose block runs A: recursive_flow", async () => {
  flows = asking(["alpha", "beta"], ["beta", "alpha"]);
  await book.give("alpha", "flow.run", { allowed_flow_ids: ["beta"] });
  await book.give("beta", "flow.run", { allowed_flow_ids: ["alpha"] });
  const run = await flows.runner.run("alpha", {}, { trigger: "api", caller: "test" });
  expect(run.result).toMatchObject({ got: { output: { outputs: { got: { error_type: "recursive_flow" } } } } });
});

test("F47 T54 a chain of eleven flows ends at the tenth", async () => {
  const packs = Array.from({ length: 12 }, (_, n) => `p${n}`);
  flows = asking(...packs.map((pack, n) => [pack, packs[n + 1] ?? "p0"] as const));
  for (const pack of packs) await book.give(pack, "flow.run", { allowed_flow_ids: ["p*"] });
  const run = await flows.runner.run("p0", {}, { trigger: "api", caller: "test" });
  expect(flows.blocks.calls.map((asked) => asked.owner_pack)).toEqual(packs.slice(0, 10));
  expect(flows.blocks.calls.at(-1)?.chain).toHaveLength(10);
  expect(JSON.stringify(run.result)).toContain("flow_depth_exceeded");
});

test("F48 a flow that the pack was not granted does not run; granted, its block acts as its own pack", async () => {
  flows = asking(["alpha", "beta"], ["beta", "gamma"]);
  const run = (): Promise<{ readonly result: JsonObject | null }> => flows.runner.run("alpha", {}, { trigger: "api", caller: "test" });
  expect((await run()).result).toMatchObject({ got: { error_type: "permission_denied" } });
  await book.give("alpha", "flow.run", { allowed_flow_ids: ["beta", "gamma"] });
  // What alpha may, beta may not for that.
  expect((await run()).result).toMatchObject({ got: { output: { outputs: { got: { error_type: "permission_denied" } } } } });
  expect(flows.blocks.calls.at(-1)).toMatchObject({ owner_pack: "beta", chain: ["alpha" as FlowId, "beta" as FlowId] });
});
