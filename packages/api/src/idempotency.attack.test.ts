import { sha256, systemClock } from "@rumi/core";
import { expect, test } from "vitest";
import { IdempotencyKeys, MAX_IDEMPOTENCY_BYTES, MAX_IDEMPOTENCY_KEYS } from "./idempotency.ts";

const MIB = 1024 * 1024;
const same = sha256("request");

test("answers kept for replay stay within their memory: the oldest large ones give up their result, none its run", async () => {
  const keys = new IdempotencyKeys(systemClock);
  const rounds = (2 * MAX_IDEMPOTENCY_BYTES) / MIB;
  const act = (id: number) => () => Promise.resolve({ id, result: "x".repeat(MIB) });
  const shrink = ({ id }: { id: number; result: string }) => ({ id, result: "" });
  for (let id = 0; id < rounds; id += 1) await keys.once("tok", `k${id}`, same, act(id), shrink);
  expect(keys.bytes).toBeLessThanOrEqual(MAX_IDEMPOTENCY_BYTES);
  const again = (id: number) => keys.once("tok", `k${id}`, same, act(-1), shrink);
  expect(await again(0)).toEqual({ id: 0, result: "" });
  expect((await again(rounds - 1)).result.length).toBe(MIB);
});

test("one token that floods with keys pushes out its own, not another token's", async () => {
  const keys = new IdempotencyKeys(systemClock);
  const act = (id: string) => () => Promise.resolve({ id });
  const whole = (answer: { id: string }) => answer;
  await keys.once("operator", "k", same, act("first"), whole);
  for (let id = 0; id <= MAX_IDEMPOTENCY_KEYS; id += 1) await keys.once("flooder", `k${id}`, same, act("flood"), whole);
  expect(await keys.once("operator", "k", same, act("second"), whole)).toEqual({ id: "first" });
});
