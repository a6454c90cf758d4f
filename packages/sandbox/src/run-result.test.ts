import { expect, test } from "vitest";
import { clipUtf8, failedRun, failureOfEnd, noFacts, outcomeCode } from "./run-result.ts";

test.each(["a", "é", "日", "😀"])("a cut of %s repeated is whole characters within the limit", (character) => {
  for (let limit = 3; limit < 40; limit += 1) {
    const cut = clipUtf8(character.repeat(30), limit);
    expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(Math.max(limit, Buffer.byteLength(character.repeat(30)) <= limit ? limit : 3));
    expect(cut).not.toContain("\ufffd");
  }
  expect(clipUtf8(character, 10)).toBe(character);
});

test("an outcome has its code and a message of at most 2 KiB", () => {
  const result = failedRun("timeout", "x".repeat(5000), noFacts());
  expect(outcomeCode(result)).toBe("sandbox.timeout");
  expect(Buffer.byteLength(result.message)).toBe(2048);
});

test("a call whose instance was stopped was cancelled; otherwise it ends as the instance did", () => {
  expect(failureOfEnd({ kind: "stopped", message: "" })).toBe("cancelled");
  expect(failureOfEnd({ kind: "oom_killed", message: "" })).toBe("oom_killed");
});
