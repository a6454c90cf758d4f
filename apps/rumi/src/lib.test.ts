import { FakeHouse } from "@rumi/api/testing";
import { expect, test } from "vitest";
import { FakeWorld } from "./testing/fake-world.ts";

async function house(): Promise<{ readonly house: FakeHouse; readonly world: FakeWorld }> {
  const made = new FakeHouse();
  return { house: made, world: new FakeWorld(made, await made.token("admin")) };
}

test("F84 lib list, process and clear: what failed is told with its reason, and cleared it is tried anew", async () => {
  const { house: made, world } = await house();
  expect((await world.run("lib", "list")).stdout).toBe("No pack has done anything of that kind yet.\n");
  expect((await world.run("lib", "process")).stdout).toBe("Nothing is due.\n");
  const record = { lib_digest: `sha256:${"a".repeat(64)}`, executed_at: "2026-01-01T00:00:00.000Z" };
  made.libs.records.push(
    { ...record, pack_id: "alpha", lib_type: "install", success: true, error: null, failures: 0 },
    { ...record, pack_id: "alpha", lib_type: "update", success: false, error: "no\u001b[2J room", failures: 3 },
    { ...record, pack_id: "beta", lib_type: "install", success: true, error: null, failures: 0 },
  );
  expect((await world.run("lib", "ls", "alpha")).stdout.split("\n")).toEqual([
    "PACK   RUN      RESULT      WHEN                      WHY",
    "alpha  install  ok          2026-01-01T00:00:00.000Z  -",
    "alpha  update   failed (3)  2026-01-01T00:00:00.000Z  no\\u{1b}[2J room",
    "",
  ]);
  made.libs.due.push(
    { pack_id: "alpha", lib_type: "update", result: "gave_up", code: "lib.gave_up", error: "no room", duration_ms: null },
    { pack_id: "beta", lib_type: null, result: "skipped", code: null, error: null, duration_ms: null },
  );
  expect(await world.run("lib", "process")).toMatchObject({ exitCode: 1, stdout: "alpha  update  gave_up  lib.gave_up  no room\n" });
  expect(await world.run("lib", "process", "beta")).toMatchObject({ exitCode: 0, stdout: "beta  -  skipped\n" });
  expect((await world.run("lib", "clear", "alpha")).stdout).toBe("alpha is installed anew: rumi lib process alpha\n");
  expect((await world.run("lib", "clear", "alpha")).stdout).toBe("alpha has done nothing of that kind yet.\n");
  expect(made.libs.records.map((one) => one.pack_id)).toEqual(["beta"]);
  expect((await world.run("lib", "clear", "../x")).exitCode).not.toBe(0);
});
