import { sha256 } from "@rumi/core";
import type { PackId } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { SandboxError } from "@rumi/sandbox";
import { expect, test } from "vitest";
import type { CallOrigin } from "./gateway/ports.ts";
import { InstancePool } from "./instance-pool.ts";
import type { InstancePoolOptions } from "./pool-options.ts";
import type { InstanceSeed } from "./ports.ts";
import { ManualTimers, settle } from "./testing/manual-timers.ts";
import { CountingSpecs, runSpec, seed } from "./testing/seeds.ts";
import { SteeredSandbox } from "./testing/steered-sandbox.ts";

function makePool(options: InstancePoolOptions = {}, beforeStart: (seed: InstanceSeed) => Promise<void> = () => Promise.resolve()) {
  const sandbox = new SteeredSandbox();
  const timers = new ManualTimers();
  const lost: string[] = [];
  const pool = new InstancePool(
    {
      sandbox,
      specs: new CountingSpecs(),
      beforeStart,
      onLost: (_seed, end) => lost.push(end.kind),
      clock: timers,
      timers,
      logger: silentLogger,
    },
    options,
  );
  const run = (from: InstanceSeed = seed(), callId = "c", signal = new AbortController().signal) =>
    pool.run(from, runSpec({ call_id: callId }), signal);
  return { sandbox, timers, pool, run, lost };
}

/** What a call was refused with, caught at once so that it may be looked at later. */
const failureOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => null,
    (error: unknown) => error,
  );

const pack = (id: string): InstanceSeed => seed({ pack_id: id as PackId, authority: id });

test("the first call starts an instance, the next ones meet it warm", async () => {
  const { sandbox, run } = makePool();
  sandbox.echo = true;
  expect(await run()).toMatchObject({ kind: "ok", start: "cold" });
  expect(await run()).toMatchObject({ kind: "ok", start: "warm" });
  expect(sandbox.started).toHaveLength(1);
});

test("X27 four calls run, sixty-four wait in order, the next is busy", async () => {
  const { sandbox, run, pool } = makePool();
  const order: string[] = [];
  const calls = Array.from({ length: 68 }, (_, index) => run(seed(), `c${index}`).then((result) => order.push(`c${index}:${result.kind}`)));
  await settle();
  expect(sandbox.calls).toHaveLength(4);
  expect(pool.list()).toMatchObject([{ state: "busy", busy: 4, waiting: 64 }]);
  await expect(run(seed(), "c68")).rejects.toMatchObject({ code: "sandbox.busy" });
  for (let index = 0; index < 68; index += 1) {
    sandbox.calls[index]?.answer("x");
    await settle();
  }
  await Promise.all(calls);
  expect(sandbox.calls.map((call) => call.spec.call_id)).toEqual(Array.from({ length: 68 }, (_, index) => `c${index}`));
  expect(order).toHaveLength(68);
});

test("a pack that asked for reuse has one call at a time", async () => {
  const { sandbox, run } = makePool();
  const calls = [run(seed({ reuse: true }), "a"), run(seed({ reuse: true }), "b")];
  await settle();
  expect(sandbox.calls.map((call) => call.spec.call_id)).toEqual(["a"]);
  sandbox.calls[0]?.answer("x");
  await settle();
  expect(sandbox.calls.map((call) => call.spec.call_id)).toEqual(["a", "b"]);
  sandbox.calls[1]?.answer("x");
  await Promise.all(calls);
});

test("a call that found no slot in 30 s is busy", async () => {
  const { run, timers } = makePool({ slots: 1 });
  void run(seed(), "holds");
  await settle();
  const waiting = failureOf(run(seed(), "waits"));
  await timers.advance(30_000);
  expect(await waiting).toMatchObject({ code: "sandbox.busy" });
});

test("X29 same pack, two authorities: two instances, and none serves the other's call", async () => {
  const { sandbox, run } = makePool();
  void run(seed({ authority: "alpha" }), "plain");
  void run(seed({ authority: "alpha@worker" }), "narrow");
  void run(seed({ runtime: "node" }), "other language");
  void run(seed({ digest: sha256("v2") }), "other bytes");
  await settle();
  expect(sandbox.started).toHaveLength(4);
  for (const call of sandbox.calls) {
    const wanted = { plain: "alpha", narrow: "alpha@worker" }[call.spec.call_id];
    if (wanted !== undefined) expect(call.instance.spec.authority).toBe(wanted);
  }
});

test("X48 an idle instance is removed at 900 s and never paused", async () => {
  const { sandbox, run, timers, pool } = makePool();
  sandbox.echo = true;
  await run();
  await timers.advance(899_000);
  expect(sandbox.stopped).toEqual([]);
  await timers.advance(2_000);
  expect(sandbox.stopped).toEqual(["i1"]);
  expect(sandbox.log).not.toContain("pause i1");
  expect(pool.list()).toEqual([]);
});

test("X48 with a pause set, an idle instance is paused, and resumed by the next call", async () => {
  const { sandbox, run, timers, pool } = makePool({ pauseMs: 10_000 });
  sandbox.echo = true;
  await run();
  await timers.advance(11_000);
  expect(pool.list()).toMatchObject([{ state: "paused" }]);
  expect(await run()).toMatchObject({ kind: "ok", start: "resumed" });
  expect(sandbox.log).toEqual(["start i1", "pause i1", "resume i1"]);
  expect(pool.list()).toMatchObject([{ state: "idle" }]);
});

test("X49 the third failed start in five minutes closes the key: 5 s, then twice as long each time, up to 300 s", async () => {
  const { sandbox, run, timers } = makePool();
  const fail = () => new SandboxError("sandbox.start_failed", "no");
  sandbox.startFailures = Array.from({ length: 40 }, fail);
  for (let attempt = 0; attempt < 3; attempt += 1) await expect(run()).rejects.toMatchObject({ code: "sandbox.start_failed" });
  const tried = () => sandbox.log.length;
  expect(tried()).toBe(3);
  await expect(run()).rejects.toMatchObject({ code: "sandbox.start_failed" });
  expect(tried()).toBe(3);
  for (const waitMs of [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]) {
    const before = tried();
    await timers.advance(waitMs - 1);
    await expect(run()).rejects.toMatchObject({ code: "sandbox.start_failed" });
    expect(tried()).toBe(before);
    await timers.advance(1);
    await expect(run()).rejects.toMatchObject({ code: "sandbox.start_failed" });
    expect(tried()).toBe(before + 1);
  }
  sandbox.startFailures = [];
  sandbox.echo = true;
  await timers.advance(300_000);
  expect(await run()).toMatchObject({ kind: "ok" });
});

test("a start that is not ready in 20 s fails, and what it would have left is stopped", async () => {
  const { sandbox, run, timers, pool } = makePool();
  sandbox.holdStarts = true;
  const failed = failureOf(run());
  await settle();
  await timers.advance(20_000);
  expect(await failed).toMatchObject({ code: "sandbox.start_failed" });
  expect(pool.list()).toEqual([]);
});

test("a gate before the start refuses without starting anything", async () => {
  const { sandbox, run } = makePool({}, () => Promise.reject(new SandboxError("sandbox.docker_required", "none")));
  for (let attempt = 0; attempt < 5; attempt += 1) await expect(run()).rejects.toMatchObject({ code: "sandbox.docker_required" });
  expect(sandbox.log).toEqual([]);
});

test("over the number of instances the least recently used idle one leaves", async () => {
  const { sandbox, run, timers, pool } = makePool({ maxInstances: 2 });
  sandbox.echo = true;
  await run(pack("a"));
  await timers.advance(10);
  await run(pack("b"));
  await timers.advance(10);
  await run(pack("a"));
  await run(pack("c"));
  expect(pool.list().map((view) => view.pack_id)).toEqual(["a", "c"]);
  expect(sandbox.stopped).toEqual(["i2"]);
});

test("when every instance is busy, a new pack waits until one is free", async () => {
  const { sandbox, run, pool } = makePool({ maxInstances: 1 });
  void run(pack("a"), "first");
  await settle();
  const second = run(pack("b"), "second");
  await settle();
  expect(sandbox.started).toHaveLength(1);
  sandbox.calls[0]?.answer("x");
  await settle();
  expect(sandbox.started).toHaveLength(2);
  sandbox.calls[1]?.answer("y");
  expect(await second).toMatchObject({ kind: "ok", value: "y" });
  expect(pool.list().map((view) => view.pack_id)).toEqual(["b"]);
});

test("after its last call an instance drains and another takes its place", async () => {
  const { sandbox, run, pool } = makePool({ maxCalls: 2 });
  const calls = [run(seed(), "1"), run(seed(), "2"), run(seed(), "3")];
  await settle();
  sandbox.calls[0]?.answer("x");
  await settle();
  expect(pool.list()).toMatchObject([{ state: "draining", busy: 2 }]);
  const fourth = run(seed(), "4");
  await settle();
  expect(sandbox.calls[3]?.instance.spec.instance_id).toBe("i2");
  sandbox.calls[1]?.answer("x");
  sandbox.calls[2]?.answer("x");
  await settle();
  expect(sandbox.stopped).toEqual(["i1"]);
  sandbox.calls[3]?.answer("x");
  await Promise.all([...calls, fourth]);
});

test("an instance older than six hours drains, and is removed after 120 s even when a call hangs", async () => {
  const { sandbox, run, timers } = makePool();
  const hanging = run(seed(), "hangs");
  await settle();
  await timers.advance(6 * 3_600_000 + 1_000);
  await timers.advance(118_000);
  expect(sandbox.stopped).toEqual([]);
  await timers.advance(3_000);
  expect(sandbox.stopped).toEqual(["i1"]);
  expect(await hanging).toMatchObject({ kind: "cancelled" });
});

test("X45 removal of a pack ends running and waiting calls as cancelled and leaves other packs alone", async () => {
  const { sandbox, run, pool } = makePool({ slots: 1 });
  const calls = [run(pack("a"), "runs"), run(pack("a"), "waits"), run(pack("b"), "other")];
  await settle();
  expect(await pool.remove({ pack_id: "a" as PackId }, "rejected")).toBe(1);
  expect(await calls[0]).toMatchObject({ kind: "cancelled" });
  expect(await calls[1]).toMatchObject({ kind: "cancelled" });
  sandbox.calls[1]?.answer("fine");
  expect(await calls[2]).toMatchObject({ kind: "ok", value: "fine" });
});

test("removal while an instance is starting leaves nothing behind", async () => {
  const { sandbox, run, pool } = makePool();
  sandbox.holdStarts = true;
  const call = run();
  await settle();
  await pool.remove({ pack_id: seed().pack_id }, "modified");
  expect(await call).toMatchObject({ kind: "cancelled" });
  sandbox.letStart();
  await settle();
  expect(pool.list()).toEqual([]);
  expect(sandbox.started.map((one) => one.spec.instance_id)).toEqual(sandbox.stopped);
});

test("removal keeps instances of the digest that is approved now", async () => {
  const { sandbox, run, pool } = makePool();
  sandbox.echo = true;
  await run(seed());
  await run(seed({ digest: sha256("v2") }));
  await pool.remove({ pack_id: seed().pack_id, exceptDigest: sha256("v2") }, "approved anew");
  expect(pool.list().map((view) => view.digest)).toEqual([sha256("v2")]);
});

test("an instance that dies is replaced for those who wait, and its loss is told", async () => {
  const { sandbox, run, lost } = makePool({ slots: 1 });
  const first = run(seed(), "first");
  const second = run(seed(), "second");
  await settle();
  sandbox.calls[0]?.fail({ kind: "crashed", message: "gone", duration_ms: 1, start: "warm", log: { bytes: 0, dropped: 0 } });
  sandbox.started[0]?.end({ kind: "crashed", message: "gone" });
  expect(await first).toMatchObject({ kind: "crashed" });
  await settle();
  expect(sandbox.started).toHaveLength(2);
  sandbox.calls.at(-1)?.answer("again");
  expect(await second).toMatchObject({ kind: "ok", value: "again" });
  expect(lost).toEqual(["crashed"]);
});

test("an aborted call leaves the line", async () => {
  const { sandbox, run } = makePool({ slots: 1 });
  void run(seed(), "holds");
  await settle();
  const abort = new AbortController();
  const waiting = run(seed(), "leaves", abort.signal);
  abort.abort();
  expect(await waiting).toMatchObject({ kind: "cancelled" });
  expect(sandbox.calls).toHaveLength(1);
});

test("prewarm starts an instance without a call", async () => {
  const { pool, sandbox } = makePool();
  await pool.prewarm(seed());
  await pool.prewarm(seed());
  expect(sandbox.started).toHaveLength(1);
  expect(pool.list()).toMatchObject([{ state: "idle", calls: 0 }]);
});

test("a closed pool has stopped everything and refuses", async () => {
  const { sandbox, run, pool } = makePool();
  const call = run();
  await settle();
  await pool.close();
  expect(await call).toMatchObject({ kind: "cancelled" });
  expect(sandbox.stopped).toEqual(["i1"]);
  await expect(run()).rejects.toMatchObject({ code: "daemon.stopping" });
});

test("a call that a full instance's calls ask for runs beside them, and goes with them", async () => {
  const { sandbox, pool, run } = makePool();
  const outer = Array.from({ length: 4 }, (_, index) => run(seed(), `c${index}`));
  await settle();
  const origin = (...chain: string[]) =>
    ({ run_id: "run", flow_id: "f", step_id: "s", phase: "m", idempotency_key: "k", chain }) as unknown as CallOrigin;
  const ask = (id: string, from: CallOrigin) => pool.run(seed(), runSpec({ call_id: id }), new AbortController().signal, from);
  const nested = Array.from({ length: 4 }, (_, index) => ask(`n${index}`, origin("f", "alpha:g")));
  const deepest = ask("d", origin("f", "alpha:g", "alpha:h"));
  const plain = ask("p", origin("f"));
  await settle();
  expect(sandbox.calls.map((call) => call.spec.call_id)).toEqual(["c0", "c1", "c2", "c3", "n0", "n1", "n2", "n3", "d"]);
  expect(pool.list().map((view) => view.waiting)).toEqual([1, 0, 0]);
  for (const call of sandbox.calls.toReversed()) call.answer("x");
  await settle();
  sandbox.calls.at(-1)?.answer("x");
  expect((await Promise.all([...outer, ...nested, deepest, plain])).map((result) => result.kind)).toEqual(Array(10).fill("ok"));
  // As long as the first instance has room, it is the only one that is asked.
  const again = ask("again", origin("f", "alpha:g"));
  await settle();
  expect(pool.list().map((view) => view.busy)).toEqual([1, 0, 0]);
  sandbox.calls.at(-1)?.answer("x");
  await again;
  expect(await pool.remove({ pack_id: seed().pack_id }, "closed")).toBe(3);
});
