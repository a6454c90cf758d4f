import { ManualClock } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { Diagnostics } from "./index.ts";

test("the newest report of a part is its state; events come newest first, the oldest are forgotten", () => {
  const clock = new ManualClock();
  const diagnostics = new Diagnostics({ clock, redact: (text) => text.replace("hidden", "***") }, { maxEvents: 3 });
  diagnostics.report({ kind: "pack", id: "b", status: "failed", message: "hidden reason" });
  diagnostics.report({ kind: "pack", id: "a", status: "ok", message: "fine" });
  clock.advance(1000);
  diagnostics.report({ kind: "pack", id: "b", status: "ok", message: "mended" });
  expect(diagnostics.parts().map(({ id, status, ts }) => [id, status, ts])).toEqual([
    ["a", "ok", "2026-01-01T00:00:00.000Z"],
    ["b", "ok", "2026-01-01T00:00:01.000Z"],
  ]);
  expect(diagnostics.events({ id: "b" }).map(({ message }) => message)).toEqual(["mended", "*** reason"]);
  diagnostics.report({ kind: "flow", id: "f", status: "disabled", message: "off" });
  expect(diagnostics.events().map(({ id }) => id)).toEqual(["f", "b", "a"]);
  expect(diagnostics.events({ status: "ok", limit: 1 }).map(({ id }) => id)).toEqual(["b"]);
});
