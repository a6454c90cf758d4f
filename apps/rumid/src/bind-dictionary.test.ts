import { join } from "node:path";
import { ManualClock, MemoryAudit, MemoryDiagnostics, silentLogger } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import { SharedDictionary } from "@rumi/vocabulary";
import { expect, test } from "vitest";
import { bindDictionary } from "./bind-dictionary.ts";

test("F81 each result of the dictionary is an answer or an error with its own code", async () => {
  await using folder = await temporaryFolder("rumi-dict-");
  const audit = new MemoryAudit();
  const deps = { audit, clock: new ManualClock(), diagnostics: new MemoryDiagnostics(), logger: silentLogger };
  await using dictionary = new SharedDictionary(deps, { folder: join(folder.path, "shared_dict") });
  const port = bindDictionary(dictionary);
  const rule = (token: string, value: string) => ({ namespace: "n", token, value });
  await expect(port.propose(rule("A", "B"), "token:1")).rejects.toMatchObject({ code: "dict.unavailable" });
  await dictionary.load();
  expect(await port.propose(rule("A", "B"), "token:1")).toEqual({ ...rule("A", "B"), result: "accepted" });
  await expect(port.propose(rule("B", "A"), "token:1")).rejects.toMatchObject({
    code: "dict.cycle_detected",
    details: { namespace: "n", token: "B" },
  });
  await expect(port.propose(rule("A", "C"), "token:1")).rejects.toMatchObject({ code: "dict.conflict" });
  await expect(port.propose(rule("x".repeat(1000), "C"), "token:1")).rejects.toMatchObject({
    code: "dict.rejected",
    details: { token: "x".repeat(256) },
  });
  await port.propose(rule("B", "C"), "token:1");
  expect(await port.list("n")).toEqual([
    { ...rule("A", "B"), resolved: "C", hops: 2 },
    { ...rule("B", "C"), resolved: "C", hops: 1 },
  ]);
  expect(await port.remove({ namespace: "n", token: "A" }, "token:1")).toEqual({ ...rule("A", "B"), result: "removed" });
  await expect(port.remove({ namespace: "n", token: "A" }, "token:1")).rejects.toMatchObject({ code: "dict.not_found" });
  expect(audit.events.map((event) => event.details?.["actor"])).toEqual(Array.from({ length: 7 }, () => "token:1"));
});
