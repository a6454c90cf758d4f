import type { PackId } from "@rumi/core";
import { expect, test } from "vitest";
import { ForeignCalls } from "./foreign-calls.ts";

const BETA = "beta" as PackId;
const never = (): AbortSignal => new AbortController().signal;

test("three run at once, others wait in line, and one pack's line is not another's", async () => {
  const calls = new ForeignCalls();
  const order: string[] = [];
  for (let n = 0; n < 3; n += 1) expect(await calls.enter(BETA, never())).toBe(true);
  const fourth = calls.enter(BETA, never()).then(() => order.push("fourth"));
  const fifth = calls.enter(BETA, never()).then(() => order.push("fifth"));
  expect(await calls.enter("gamma" as PackId, never())).toBe(true);
  expect(order).toEqual([]);
  calls.leave(BETA);
  await fourth;
  expect(order).toEqual(["fourth"]);
  calls.leave(BETA);
  await fifth;
  for (let n = 0; n < 3; n += 1) calls.leave(BETA);
  expect(await calls.enter(BETA, never())).toBe(true);
});

test("one that is cancelled while it waits leaves the line and takes no place", async () => {
  const calls = new ForeignCalls();
  for (let n = 0; n < 3; n += 1) await calls.enter(BETA, never());
  const stop = new AbortController();
  const waiting = calls.enter(BETA, stop.signal);
  stop.abort();
  expect(await waiting).toBe(false);
  expect(await calls.enter(BETA, stop.signal)).toBe(false);
  calls.leave(BETA);
  expect(await calls.enter(BETA, never())).toBe(true);
});
