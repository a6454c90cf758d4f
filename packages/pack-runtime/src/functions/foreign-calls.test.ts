import type { PackId } from "@rumi/core";
import { expect, test } from "vitest";
import { ForeignCalls } from "./foreign-calls.ts";

const BETA = "beta" as PackId;
const never = (): AbortSignal => new AbortController().signal;

test("three run at once, others wait in line, and one pack's line is not another's", async () => {
  const calls = new ForeignCalls();
  const order: string[] = [];
  for (let n = 0; n < 3; n += 1) expect(await calls.enter(BETA, 2, never())).toBe(true);
  const fourth = calls.enter(BETA, 2, never()).then(() => order.push("fourth"));
  const fifth = calls.enter(BETA, 2, never()).then(() => order.push("fifth"));
  expect(await calls.enter("gamma" as PackId, 2, never())).toBe(true);
  expect(order).toEqual([]);
  calls.leave(BETA, 2);
  await fourth;
  expect(order).toEqual(["fourth"]);
  calls.leave(BETA, 2);
  await fifth;
  for (let n = 0; n < 3; n += 1) calls.leave(BETA, 2);
  expect(await calls.enter(BETA, 2, never())).toBe(true);
});

test("one that is cancelled while it waits leaves the line and takes no place", async () => {
  const calls = new ForeignCalls();
  for (let n = 0; n < 3; n += 1) await calls.enter(BETA, 2, never());
  const stop = new AbortController();
  const waiting = calls.enter(BETA, 2, stop.signal);
  stop.abort();
  expect(await waiting).toBe(false);
  expect(await calls.enter(BETA, 2, stop.signal)).toBe(false);
  calls.leave(BETA, 2);
  expect(await calls.enter(BETA, 2, never())).toBe(true);
});

test("a deeper call does not wait for those that wait for it", async () => {
  const calls = new ForeignCalls();
  for (let n = 0; n < 3; n += 1) await calls.enter(BETA, 2, never());
  expect(await calls.enter(BETA, 4, never())).toBe(true);
});
