import { ManualClock } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { RunLogs } from "./run-logs.ts";

test("empty lines cost memory too: a flood of them pushes the oldest runs out", () => {
  const logs = new RunLogs({ clock: new ManualClock() });
  logs.add("first", "step", { stream: "stdout", text: "kept" });
  for (let n = 0; n < 300_000; n += 1) logs.add("flood", "step", { stream: "stdout", text: "" });
  expect(logs.of("first")).toEqual([]);
  expect(logs.of("flood").length).toBeLessThan(150_000);
});
