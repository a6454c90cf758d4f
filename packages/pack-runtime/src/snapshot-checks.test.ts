import { sha256 } from "@rumi/core";
import type { Decision, ErrorCode, PackId } from "@rumi/core";
import { ManualClock } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { SnapshotChecks } from "./snapshot-checks.ts";

const PACK = "alpha" as PackId;

function makeChecks(answers: Decision<object, ErrorCode>[]) {
  let asked = 0;
  const clock = new ManualClock();
  const gate = {
    gate: () => ({ allowed: false, code: "approval.not_approved", reason: "" }) as const,
    verifySnapshot: () => {
      asked += 1;
      return Promise.resolve(answers.shift() ?? ({ allowed: true } as const));
    },
  };
  return { checks: new SnapshotChecks({ gate, clock }), clock, asked: () => asked };
}

test("callers at the same time, and the start that follows, share one re-hash; a second later there is another", async () => {
  const { checks, clock, asked } = makeChecks([]);
  await Promise.all([checks.verifySnapshot(PACK, sha256("a")), checks.verifySnapshot(PACK, sha256("a"))]);
  await checks.verifySnapshot(PACK, sha256("a"));
  expect(asked()).toBe(1);
  await checks.verifySnapshot(PACK, sha256("b"));
  expect(asked()).toBe(2);
  clock.advance(1_000);
  await checks.verifySnapshot(PACK, sha256("b"));
  expect(asked()).toBe(3);
});

test("a no is asked again at once", async () => {
  const { checks, asked } = makeChecks([{ allowed: false, code: "approval.snapshot_corrupt", reason: "moved" }]);
  expect(await checks.verifySnapshot(PACK, sha256("a"))).toMatchObject({ allowed: false });
  expect(await checks.verifySnapshot(PACK, sha256("a"))).toEqual({ allowed: true });
  expect(asked()).toBe(2);
});
