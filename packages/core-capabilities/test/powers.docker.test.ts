import { join } from "node:path";
import { CapabilityBroker } from "@rumi/capability";
import { openTestGrants, SwitchGate } from "@rumi/capability/testing";
import type { TestGrants } from "@rumi/capability/testing";
import type { JsonObject, PackId } from "@rumi/core";
import { systemClock, systemRandom } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { FlowRunner, FlowTable } from "@rumi/flow-engine";
import type { RunAnswer } from "@rumi/flow-engine";
import { flowFile } from "@rumi/flow-engine/testing";
import {
  FunctionCatalog,
  InstanceGateway,
  PackBlockRunner,
  PackFunctions,
  SandboxWatch,
  SnapshotBlockResolver,
  systemTimers,
} from "@rumi/pack-runtime";
import type { CapabilityService } from "@rumi/pack-runtime";
import { MemoryKvStore, StoreCursors, StoreRegistry } from "@rumi/store";
import { temporaryFolder } from "@rumi/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { CapabilityTable, createCoreCapabilities } from "../src/index.ts";
import { containersOf, IMAGE } from "./docker-harness.ts";
import { openSandboxHouse } from "./sandbox-harness.ts";
import type { SandboxHouse } from "./sandbox-harness.ts";

/** Makes the calls that its input lists, one after the other, and gives the answers. */
const ASKS = `
import json, os, rumi_capability
def run(input, context):
    if input["calls"] == "inbox":
        return [json.load(open(f"/inbox/{name}")) for name in sorted(os.listdir("/inbox"))]
    return [rumi_capability.call(name, args, timeout_seconds=60.0) for name, args in input["calls"]]
`;
const FUNCTION = `
import rumi_capability
def send(context, args):
    return {"owner": context["owner_pack"], "answers": [rumi_capability.call(name, a) for name, a in args.get("calls", [])]}
`;
const FILES = {
  "blocks/ask.py": ASKS,
  "functions/send/manifest.json": JSON.stringify({ function_id: "send", entrypoint: "main.py:send" }),
  "functions/send/main.py": FUNCTION,
  "components/box/manifest.json": JSON.stringify({ id: "box", type: "panel", addon_policy: { allowed_manifest_paths: ["/theme"] } }),
};
const flowOf = (pack: string, calls = "${ctx.calls}"): ReturnType<typeof flowFile> =>
  flowFile(
    `flow_id: ${pack}\nphases: [main]\ninputs: {calls: {required: false}}\nsteps:\n  - {id: s, phase: main, type: python_file_call, file: ask.py, input: {calls: ${JSON.stringify(calls)}}, output: answers}\n`,
    { pack },
  );

type Answer = { readonly success: boolean; readonly output: JsonObject; readonly error_type: string | null };
type Call = readonly [permission: string, args: JsonObject];

let house: SandboxHouse;
let cleanup: AsyncDisposableStack;
let book: TestGrants;
let capability: CapabilityService;
let runner: FlowRunner;

beforeAll(async () => {
  house = await openSandboxHouse((home, socketBase) => {
    const base = (name: string): { base: string } => ({ base: join(socketBase, name) });
    return new InstanceGateway(
      {
        capability: { handle: (...asked) => capability.handle(...asked) },
        egress: { serve: (connection) => void connection.destroy() },
        audit: home.audit,
        clock: systemClock,
        logger: silentLogger,
      },
      { capability: base("c"), egress: base("e") },
    );
  });
  for (const id of ["alpha", "beta"]) await house.approve(id, FILES);
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
});

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  const { approvals, audit, diagnostics } = house.home;
  const folder = cleanup.use(await temporaryFolder("rumi-powers-"));
  book = await openTestGrants(folder.path, { clock: systemClock });
  const { containers, again } = containersOf();
  cleanup.use(containers);
  cleanup.defer(async () => {
    await containers[Symbol.asyncDispose]();
    expect(await again().sweep()).toBe(0);
  });
  const kv = cleanup.use(new MemoryKvStore());
  const registry = new StoreRegistry({ kv, signed: book.signed, userData: book.userData, audit, diagnostics, clock: systemClock });
  await registry.load();
  await registry.create({ store_id: "notes", actor: "operator" });
  const catalog = new FunctionCatalog({ approvals, diagnostics });
  await catalog.reload();
  const functions = new PackFunctions(
    { catalog, gate: approvals, pool: house.pool, audit, clock: systemClock, random: systemRandom, logger: silentLogger },
    { maxResultBytes: 4 * 1024 * 1024 },
  );
  const watch = cleanup.use(
    new SandboxWatch({ sandbox: house.sandbox, diagnostics, clock: systemClock, timers: systemTimers, logger: silentLogger }, "strict"),
  );
  const blocks = new SnapshotBlockResolver({ gate: approvals, isKnown: () => true });
  const table = FlowTable.compose([flowOf("alpha"), flowOf("beta")], { blocks, handlers: [] });
  runner = new FlowRunner({
    table: () => table,
    blocks: new PackBlockRunner(
      { gate: approvals, pool: house.pool, sandbox: watch, audit, clock: systemClock, logger: silentLogger },
      { maxResultBytes: 4 * 1024 * 1024 },
    ),
    handlers: [],
    audit,
    clock: systemClock,
    logger: silentLogger,
  });
  const powers = createCoreCapabilities(
    {
      rights: book.grants,
      approvals,
      secrets: { read: (key) => Promise.resolve(key === "KEY" ? "sk-12345678" : null) },
      kv,
      stores: registry,
      cursors: new StoreCursors(new Uint8Array(32)),
      flows: runner,
      functions,
      containers,
      signed: house.home.signed,
      clock: systemClock,
      random: systemRandom,
    },
    { userData: house.home.userData },
  );
  capability = new CapabilityBroker({
    grants: book.grants,
    gate: new SwitchGate(),
    source: new CapabilityTable(powers),
    audit,
    clock: systemClock,
    logger: silentLogger,
  });
});
afterEach(() => cleanup.disposeAsync());

function start(calls: readonly Call[], signal?: AbortSignal): Promise<RunAnswer> {
  return runner.run("alpha", { calls }, { trigger: "api", caller: "test", ...(signal === undefined ? {} : { signal }) });
}

async function asked(...calls: readonly Call[]): Promise<readonly Answer[]> {
  const run = await start(calls);
  if (run.result === null) throw new Error(JSON.stringify(run));
  return run.result["answers"] as unknown as readonly Answer[];
}

const secret: Call = ["secrets.get", { key: "KEY" }];

test("T92 T52 from inside a container: a kept value is read back, a granted secret is given, others are refused alike", async () => {
  await book.give("alpha", "secrets.get", { allowed_keys: ["KEY"] });
  for (const id of ["store.set", "store.get"]) await book.give("alpha", id, { allowed_store_ids: ["notes"] });
  const [set, got, given, absent] = await asked(
    ["store.set", { store_id: "notes", key: "a/日", value: 1 }],
    ["store.get", { store_id: "notes", key: "gone" }],
    secret,
    ["secrets.get", { key: "GONE" }],
  );
  expect(set).toMatchObject({ success: false, error_type: "validation_error" });
  expect(got).toMatchObject({ success: false, error_type: "key_not_found", output: { success: false } });
  expect(given).toMatchObject({ success: true, output: { success: true, value: "sk-12345678" } });
  expect(absent).toMatchObject({ success: false, output: { success: false, error: "Access denied or secret not found" } });
  const [, read] = await asked(
    ["store.set", { store_id: "notes", key: "a", value: { x: [1, null] } }],
    ["store.get", { store_id: "notes", key: "a" }],
  );
  expect(read).toMatchObject({ success: true, output: { success: true, value: { x: [1, null] } } });
});

test("F48 D6.3 a flow that was granted acts as its own pack: what the caller may, its blocks may not", async () => {
  await book.give("alpha", "secrets.get", { allowed_keys: ["KEY"] });
  const run: Call = ["flow.run", { flow_id: "beta", inputs: { calls: [secret] } }];
  expect((await asked(run))[0]).toMatchObject({ success: false, error_type: "permission_denied" });
  await book.give("alpha", "flow.run", { allowed_flow_ids: ["beta"] });
  const [answer, own] = await asked(run, secret);
  expect(answer).toMatchObject({ success: true, output: { outputs: { answers: [{ success: false, error_type: "access_denied" }] } } });
  expect(own).toMatchObject({ success: true });
});

test("F47 T54 A's block runs B, whose block runs A: refused as recursive, all the way back through two containers", async () => {
  await book.give("alpha", "flow.run", { allowed_flow_ids: ["beta"] });
  await book.give("beta", "flow.run", { allowed_flow_ids: ["alpha"] });
  const [answer] = await asked(["flow.run", { flow_id: "beta", inputs: { calls: [["flow.run", { flow_id: "alpha" }]] } }]);
  expect(answer).toMatchObject({ success: true, output: { outputs: { answers: [{ success: false, error_type: "recursive_flow" }] } } });
});

test("F87 a function is judged as the pack it belongs to, and keeps the chain of the call that asked for it", async () => {
  await book.give("alpha", "function.call", { allowed_functions: ["beta:send"] });
  await book.give("beta", "flow.run", { allowed_flow_ids: ["alpha"] });
  await book.give("beta", "secrets.get", { allowed_keys: ["KEY"] });
  const calls = [secret, ["flow.run", { flow_id: "alpha" }]];
  const [answer, own] = await asked(
    ["function.call", { function: "beta:send", args: { calls } }],
    ["function.call", { function: "alpha:send", args: { calls: [secret] } }],
  );
  expect(answer).toMatchObject({
    success: true,
    output: { result: { owner: "beta", answers: [{ success: true }, { success: false, error_type: "recursive_flow" }] } },
  });
  expect(own).toMatchObject({
    success: true,
    output: { result: { owner: "alpha", answers: [{ success: false, error_type: "access_denied" }] } },
  });
});

test("T54 a run that is cancelled takes the flow that its block waits for with it", async () => {
  await book.give("alpha", "flow.run", { allowed_flow_ids: ["beta"] });
  await book.give("beta", "docker.run", { allowed_images: [IMAGE] });
  const sleeps: Call = ["docker.run", { image: IMAGE, command: ["python3", "-c", "import time; time.sleep(60)"] }];
  const stop = new AbortController();
  const run = start([["flow.run", { flow_id: "beta", inputs: { calls: [sleeps] } }]], stop.signal);
  await expect.poll(() => runner.list().filter((one) => one.state === "running").length).toBe(2);
  stop.abort();
  expect(await run).toMatchObject({ state: "cancelled" });
  await expect.poll(() => runner.list().filter((one) => one.state === "running")).toEqual([]);
  expect(runner.list().map((one) => one.state)).toContain("cancelled");
});

test("T57 what one pack sends to a component of another is what that one reads in its inbox", async () => {
  await book.give("alpha", "pack.inbox.send", { allowed_target_packs: ["beta"], allowed_kinds: ["manifest_json_patch"] });
  const add = (path: string): JsonObject => ({ op: "add", path, value: "dark" });
  const message = { to_pack_id: "beta", target_component: { type: "panel", id: "box" } };
  const [sent, denied] = await asked(
    ["inbox.send", { ...message, payload: { kind: "manifest_json_patch", patch: [add("/theme/x"), add("/themes")] } }],
    ["inbox.send", { ...message, payload: { kind: "manifest_json_patch", patch: [add("/themes")] } }],
  );
  expect(sent).toMatchObject({ success: true, output: { rejected_ops: 1 } });
  expect(denied).toMatchObject({ success: false, error_type: "policy_denied" });
  const read = await runner.run("beta", { calls: "inbox" }, { trigger: "api", caller: "test" });
  expect(read.result?.["answers"]).toMatchObject([
    { message_id: sent?.output["message_id"], from_pack_id: "alpha", payload: { patch: [add("/theme/x")] } },
  ]);
});

test("T58 X78 a command in a container of its own, asked for from inside one", async () => {
  await book.give("alpha", "docker.run", { allowed_images: [IMAGE] });
  const [ran, unlisted] = await asked(
    ["docker.run", { image: IMAGE, command: ["python3", "-c", "print(6 * 7)"] }],
    ["docker.run", { image: "other", command: ["true"] }],
  );
  expect(ran).toMatchObject({ success: true, output: { exit_code: 0, stdout: "42\n" } });
  expect(unlisted).toMatchObject({ success: false, error_type: "image_not_allowed" });
  await house.pool.remove({ pack_id: "alpha" as PackId }, "test");
});
