import { silentLogger } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { InstancePool } from "./instance-pool.ts";
import type { InstancePoolOptions } from "./pool-options.ts";
import { ManualTimers, settle } from "./testing/manual-timers.ts";
import { CountingSpecs, runSpec, seed } from "./testing/seeds.ts";
import { SteeredSandbox } from "./testing/steered-sandbox.ts";

function makePool(options: InstancePoolOptions = {}) {
  const sandbox = new SteeredSandbox();
  const timers = new ManualTimers();
  const specs = new CountingSpecs();
  const pool = new InstancePool(
    { sandbox, specs, beforeStart: () => Promise.resolve(), clock: timers, timers, logger: silentLogger },
    options,
  );
  const run = (callId: string) => pool.run(seed(), runSpec({ call_id: callId }), new AbortController().signal);
  return { sandbox, timers, pool, run };
}

test("an instance that leaves while a long call runs is followed by another at once", async () => {
  const { sandbox, run } = makePool();
  const long = run("long");
  await settle();
  sandbox.started[0]?.leave();
  await settle();
  const next = run("next");
  await settle();
  expect(sandbox.started).toHaveLength(2);
  expect(sandbox.calls[1]?.instance).toBe(sandbox.started[1]);
  sandbox.calls[1]?.answer("b");
  expect(await next).toMatchObject({ kind: "ok", start: "cold" });
  sandbox.calls[0]?.answer("a");
  expect(await long).toMatchObject({ kind: "ok", value: "a" });
  await settle();
  expect(sandbox.stopped).toEqual([sandbox.started[0]?.spec.instance_id]);
});

test("calls that waited behind an instance that cannot be resumed get another", async () => {
  const { sandbox, timers, run } = makePool({ slots: 1, pauseMs: 1000 });
  const first = run("first");
  await settle();
  sandbox.calls[0]?.answer("a");
  await first;
  await timers.advance(5000);
  await settle();
  expect(sandbox.log.some((entry) => entry.startsWith("pause"))).toBe(true);
  sandbox.resumeFails = true;
  const lost = run("lost");
  const waiting = run("waiting");
  expect(await lost).toMatchObject({ kind: "instance_lost" });
  await settle();
  expect(sandbox.started).toHaveLength(2);
  sandbox.calls.at(-1)?.answer("c");
  expect(await waiting).toMatchObject({ kind: "ok", value: "c" });
});
