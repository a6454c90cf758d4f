import type { JsonValue } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import type { ManualClock } from "@rumi/core/testing";
import { temporaryFolder } from "@rumi/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { CapabilityBroker } from "./capability-broker.ts";
import { fakeCapability, fakeSource } from "./testing/fake-capability.ts";
import { fakeOwner } from "./testing/fake-owner.ts";
import { openTestGrants } from "./testing/open-test-grants.ts";

async function attacked(folder: string) {
  const opened = await openTestGrants(folder);
  const read = fakeCapability("fs.read");
  const broker = new CapabilityBroker({ ...opened, source: fakeSource(read), logger: silentLogger });
  const signal = new AbortController().signal;
  return { ...opened, read, broker, call: (message: JsonValue, as = "a") => broker.handle(message, fakeOwner(as), signal) };
}

const INVALID = { success: false, error: "Invalid request", error_type: "invalid_request" };
const NO_OBJECT = { success: false, error: "Invalid request", error_type: "protocol_error" };

const MALFORMED: readonly JsonValue[] = [
  {},
  { permission_id: null },
  { permission_id: 5 },
  { permission_id: "" },
  { permission_id: ["fs.read"] },
  { permission_id: { toString: "fs.read" } },
  { permission_id: "fs.read", args: [] },
  { permission_id: "fs.read", args: "x" },
  { permission_id: "fs.read", args: 0 },
  { permission_id: "fs.read", request_id: 5 },
  { permission_id: "fs.read", request_id: "x".repeat(257) },
  { permission_id: "fs.read", request_id: {} },
  { type: "function.call" },
  { type: "function.call", qualified_name: 5 },
  { type: "function.call", qualified_name: "p:f", args: [] },
  JSON.parse('{"permission_id":"fs.read","__proto__":{"success":true}}') as JsonValue,
  JSON.parse('{"permission_id":"fs.read","args":{"__proto__":{"path":"/"}}}') as JsonValue,
  JSON.parse('{"permission_id":"fs.read","args":{"a":[{"constructor":{"prototype":1}}]}}') as JsonValue,
  JSON.parse('{"permission_id":"fs.read","args":{"prototype":1}}') as JsonValue,
  JSON.parse(`{"permission_id":"fs.read","args":{"a":${"[".repeat(5000)}${"]".repeat(5000)}}}`) as JsonValue,
];

test("messages of no shape are invalid, reach no power, and change nothing for the next one", async () => {
  await using home = await temporaryFolder();
  const { call, give, read, events } = await attacked(home.path);
  await give("a", "fs.read");
  for (const [index, message] of MALFORMED.entries()) expect(await call(message), `message ${index}`).toMatchObject(INVALID);
  for (const message of [null, 5, "fs.read", true, [], [{ permission_id: "fs.read" }]]) {
    expect(await call(message), "T49").toMatchObject(NO_OBJECT);
  }
  expect(read.used).toEqual([]);
  expect(await call({ permission_id: "fs.read" })).toMatchObject({ success: true });
  expect(events("permission").filter((event) => event.error_type === "invalid_request").length).toBeGreaterThanOrEqual(10);
  expect(({} as Record<string, unknown>).success).toBeUndefined();
});

test("names of powers that are names of prototypes are no powers", async () => {
  await using home = await temporaryFolder();
  const { call } = await attacked(home.path);
  for (const permission_id of ["__proto__", "constructor", "toString", "hasOwnProperty", "a__proto__"]) {
    expect(await call({ permission_id })).toMatchObject({ success: false, error_type: "permission_denied" });
  }
});

test("any message is answered with five keys, and runs nothing that was not granted", async () => {
  await using home = await temporaryFolder();
  const { call, read } = await attacked(home.path);
  const word = fc.constantFrom<JsonValue>(
    "permission_id",
    "args",
    "type",
    "function.call",
    "fs.read",
    "principal_id",
    "a",
    "victim",
    null,
    1,
    {},
  );
  const message = fc.oneof(
    fc.jsonValue({ maxDepth: 4 }),
    fc.dictionary(
      fc.constantFrom("permission_id", "args", "type", "qualified_name", "timeout_seconds", "request_id", "call_id", "principal_id"),
      word,
    ),
  );
  await fc.assert(
    fc.asyncProperty(message, async (any) => {
      const answer = await call(any as JsonValue);
      expect(Object.keys(answer)).toEqual(["success", "output", "error", "error_type", "latency_ms"]);
      expect(answer.success).toBe(false);
    }),
    { numRuns: 500 },
  );
  expect(read.used).toEqual([]);
});

test("pack A holding a right gives none to pack B, its child, or who claims to be A", async () => {
  await using home = await temporaryFolder();
  const { call, give, read } = await attacked(home.path);
  await give("a", "fs.read");
  for (const as of ["b", "a__child", "A", "a_", "aa", "a__"]) {
    const answer = await call({ permission_id: "fs.read", principal_id: "a", principal: "a", owner_pack: "a", pack_id: "a" }, as);
    expect(answer).toMatchObject({ success: false, error: "Permission denied" });
  }
  expect(read.used).toEqual([]);
});

test("a flood of refusals is recorded at first and then by powers of two, with its count", async () => {
  await using home = await temporaryFolder();
  const { call, events, clock } = await attacked(home.path);
  // All at once: one after the other, they would be answered ever later.
  await Promise.all(Array.from({ length: 5000 }, () => call(null)));
  const seen = events("permission");
  expect(seen.length).toBeLessThan(30);
  expect(seen.at(-1)?.details).toMatchObject({ repeats: 4096 });
  (clock as ManualClock).advance(60_001);
  await call(null);
  expect(events("permission").at(-1)?.details).toMatchObject({ repeats: 4990 });
});

test("one pack's flood leaves another's rates alone", async () => {
  await using home = await temporaryFolder();
  const { call, give } = await attacked(home.path);
  await give("b", "fs.read");
  for (let count = 0; count < 700; count++) await call({ permission_id: "fs.read" }, "a");
  expect(await call({ permission_id: "fs.read" }, "a")).toMatchObject({ error_type: "rate_limited" });
  expect(await call({ permission_id: "fs.read" }, "b")).toMatchObject({ success: true });
});

test("a power that answers what cannot be sent is an internal error, not a crash", async () => {
  await using home = await temporaryFolder();
  const opened = await openTestGrants(home.path);
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  const odd = fakeCapability("fs.odd", { run: () => ({ ok: true, output: circle as never }) });
  const wrong = fakeCapability("fs.wrong", { run: () => undefined as never });
  const broker = new CapabilityBroker({ ...opened, source: fakeSource(odd, wrong), logger: silentLogger });
  for (const permission_id of ["fs.odd", "fs.wrong"]) {
    await opened.give("a", permission_id);
    expect(await broker.handle({ permission_id }, fakeOwner("a"), new AbortController().signal)).toMatchObject({
      success: false,
      error_type: "internal_error",
    });
  }
  await broker.settled();
  const used = opened.events("permission").filter((event) => event.action === "call");
  expect(used.map((event) => [event.success, event.error_type])).toEqual([1, 2].map(() => [false, "internal_error"]));
});

test("a grant that goes while its call waits for nothing more is not used again", async () => {
  await using home = await temporaryFolder();
  const { call, give, grants, read } = await attacked(home.path);
  await give("a", "fs.read");
  const calls = Array.from({ length: 20 }, () => call({ permission_id: "fs.read" }));
  const revoked = grants.revoke({ principal_id: "a", permission_id: "fs.read", actor: "operator" });
  await Promise.all([...calls, revoked]);
  const before = read.used.length;
  expect(await call({ permission_id: "fs.read" })).toMatchObject({ error_type: "permission_denied" });
  expect(read.used).toHaveLength(before);
});
