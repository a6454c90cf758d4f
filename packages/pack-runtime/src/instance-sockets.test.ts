import { existsSync } from "node:fs";
import type { FlowId, JsonObject, PackId, RunId, StepId } from "@rumi/core";
import { systemRandom } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { SandboxError } from "@rumi/sandbox";
import type { InstanceSpec } from "@rumi/sandbox";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import type { CallOrigin } from "./gateway/ports.ts";
import { InstancePool } from "./instance-pool.ts";
import { BlockInstanceSpecs } from "./instance-specs.ts";
import type { InstanceSeed } from "./ports.ts";
import { gatewayPlace } from "./testing/gateway-place.ts";
import type { GatewayPlace } from "./testing/gateway-place.ts";
import { ManualTimers, settle } from "./testing/manual-timers.ts";
import { CountingSpecs, runSpec, seed } from "./testing/seeds.ts";
import { SteeredSandbox } from "./testing/steered-sandbox.ts";

const ORIGIN: CallOrigin = {
  run_id: "run_1" as RunId,
  flow_id: "alpha.main" as FlowId,
  step_id: "step" as StepId,
  phase: "main",
  idempotency_key: "key",
  chain: ["alpha.main" as FlowId],
};

/** Specifications that say in their environment how many were made before them. */
class NumberedSpecs extends CountingSpecs {
  made = 0;

  override async create(from: InstanceSeed): Promise<InstanceSpec> {
    this.made += 1;
    return { ...(await super.create(from)), instance_id: systemRandom.hex(16), env: { N: String(this.made) } };
  }
}

function makePool(place: GatewayPlace) {
  const sandbox = new SteeredSandbox();
  const timers = new ManualTimers();
  const pool = new InstancePool({
    sandbox,
    gateway: place.gateway,
    specs: new NumberedSpecs(),
    beforeStart: () => Promise.resolve(),
    clock: timers,
    timers,
    logger: silentLogger,
  });
  const run = (callId: string, origin: CallOrigin | null = ORIGIN) =>
    pool.run(seed(), runSpec({ call_id: callId, context: { a: 1, capability_socket: null } }), new AbortController().signal, origin);
  return { sandbox, pool, run, timers };
}

/** Lets starts with real folders happen. */
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 500 && !condition(); turn += 1) await new Promise((resolve) => setTimeout(resolve, 2));
  expect(condition()).toBe(true);
}

test("an instance is started with its sockets listening; its calls are in flight from dispatch to result", async () => {
  await using place = await gatewayPlace();
  const { sandbox, pool, run, timers } = makePool(place);
  const first = run("c1", { ...ORIGIN, input: "not to be kept" } as CallOrigin);
  await until(() => sandbox.calls.length === 1);
  const [started] = sandbox.started;
  const { capability, egress } = started?.spec.sockets ?? {};
  expect([existsSync(`${capability}/capability.sock`), existsSync(`${egress}/egress.sock`)]).toEqual([true, true]);
  expect(sandbox.calls[0]?.spec.context).toEqual({ a: 1, capability_socket: "/run/rumi/capability/capability.sock" });
  const owner = ownerOf(place);
  expect(owner.caller().call).toEqual({ ...ORIGIN, call_id: "c1", deadline: timers.monotonic() + 1000 });
  const second = run("c2", null);
  await settle();
  expect(owner.caller("c2").call?.call_id).toBe("c1");
  sandbox.calls[0]?.answer("x");
  sandbox.calls[1]?.answer("x");
  await Promise.all([first, second]);
  expect(owner.caller().call).toBeNull();
  await pool.close();
  expect(await place.leftovers()).toEqual([]);
});

test("no socket is left when a start fails, an instance crashes, or its pack is removed", async () => {
  await using place = await gatewayPlace();
  const { sandbox, pool, run } = makePool(place);
  sandbox.startFailures = [new SandboxError("sandbox.start_failed", "no")];
  await expect(run("c1")).rejects.toMatchObject({ code: "sandbox.start_failed" });
  expect(await place.leftovers()).toEqual([]);

  sandbox.echo = true;
  await run("c2");
  expect(await place.leftovers()).toHaveLength(2);
  sandbox.started.at(-1)?.end({ kind: "crashed", message: "gone" });
  await until(() => sandbox.stopped.length === 1);
  await run("c3");
  expect(await place.leftovers()).toHaveLength(2);
  await pool.remove({ pack_id: "alpha" as PackId }, "the operator said so");
  expect(await place.leftovers()).toEqual([]);
});

test("X83 an instance whose start was under way when its grants changed serves nobody; the waiting call meets a new one", async () => {
  await using place = await gatewayPlace();
  const { sandbox, pool, run } = makePool(place);
  sandbox.echo = true;
  sandbox.holdStarts = true;
  const waiting = run("c1");
  await until(() => sandbox.log.length === 1);
  await pool.drain({ pack_id: "alpha" as PackId });
  sandbox.letStart();
  expect(await waiting).toMatchObject({ kind: "ok", start: "cold" });
  expect(sandbox.started.map(({ spec }) => spec.env["N"])).toEqual(["1", "2"]);
  await until(() => sandbox.stopped.length === 1);
  expect(sandbox.stopped).toEqual([sandbox.started[0]?.spec.instance_id]);
  expect(pool.list()).toMatchObject([{ id: sandbox.started[1]?.spec.instance_id, state: "idle" }]);
  await pool.close();
  expect(await place.leftovers()).toEqual([]);
});

test("X83 proxy variables stand in the specification only while the pack has a proxy", async () => {
  await using folder = await temporaryFolder("rumi-is-");
  const options = { userData: folder.path, limits: { memory_bytes: 1, cpus: 1, pids: 1, tmp_bytes: 1 }, slots: 4 };
  const held = new Set<string>();
  const specs = new BlockInstanceSpecs({ random: systemRandom, hasForwardProxy: (principal) => held.has(principal) }, options);
  expect((await specs.create(seed())).env).toEqual({});
  held.add("alpha");
  const env: JsonObject = (await specs.create(seed())).env;
  expect(env).toEqual({
    http_proxy: "http://127.0.0.1:3128",
    https_proxy: "http://127.0.0.1:3128",
    HTTP_PROXY: "http://127.0.0.1:3128",
    HTTPS_PROXY: "http://127.0.0.1:3128",
    NODE_USE_ENV_PROXY: "1",
  });
  expect((await new BlockInstanceSpecs({ random: systemRandom }, options).create(seed())).env).toEqual({});
});

/** The owner of the only instance, as the pool registered calls with it. */
function ownerOf(place: GatewayPlace) {
  const [open] = place.opened;
  if (open === undefined) throw new Error("no instance");
  return open.owner;
}
