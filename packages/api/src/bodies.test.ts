import { expect, test } from "vitest";
import { ask } from "./testing/ask.ts";
import { FakeHouse } from "./testing/index.ts";

test("H12 a Content-Length that is no number is 400", async () => {
  const house = new FakeHouse();
  const token = await house.token("approve");
  const answer = await ask(house, "POST", "/api/packs/scan", { token, body: "{}", headers: { "Content-Length": "abc" } });
  expect([answer.status, answer.json.code]).toEqual([400, "request.bad_length"]);
});

test("H13 a body one byte too large is 413, declared or chunked, and is not read to its end", async () => {
  const house = new FakeHouse();
  const token = await house.token("approve");
  const declared = await ask(house, "POST", "/api/packs/scan", {
    token,
    body: "{}",
    headers: { "Content-Length": String(10 * 1024 * 1024 + 1) },
  });
  expect([declared.status, declared.json.code]).toEqual([413, "request.too_large"]);
  let sent = 0;
  const endless = new ReadableStream({
    pull: (controller) => {
      sent += 65_536;
      controller.enqueue(new Uint8Array(65_536).fill(32));
    },
  });
  const chunked = await ask(house, "POST", "/api/packs/scan", { token, body: endless });
  expect([chunked.status, chunked.json.code]).toEqual([413, "request.too_large"]);
  expect(sent).toBeLessThan(11 * 1024 * 1024);
});

test.each([
  ["{bad", "request.invalid_json"],
  ["[1]", "request.invalid_json"],
  ["1", "request.invalid_json"],
  ['{"__proto__":{}}', "request.invalid_json"],
  ['{"inputs":{"a":[{"constructor":1}]}}', "request.invalid_json"],
  [`${'{"a":'.repeat(64)}{}${"}".repeat(64)}`, "request.invalid_json"],
  ["\u{fffd}", "request.invalid_json"],
])("H14 the body %s is 400 and reaches no handler", async (body, code) => {
  const house = new FakeHouse();
  const token = await house.token("run");
  const answer = await ask(house, "POST", "/api/flows/hello/run", { token, body });
  expect([answer.status, answer.json.code]).toEqual([400, code]);
  expect(house.calls).toEqual([]);
});

test("H14 depth 64 is accepted", async () => {
  const house = new FakeHouse();
  const token = await house.token("run");
  const body = `{"inputs":${'{"a":'.repeat(62)}{}${"}".repeat(62)}}`;
  expect((await ask(house, "POST", "/api/flows/hello/run", { token, body })).status).toBe(200);
});

test("H15 text/plain and a content encoding are 415; an empty body on scan is 200", async () => {
  const house = new FakeHouse();
  const token = await house.token("approve");
  expect((await ask(house, "POST", "/api/packs/scan", { token, body: "{}", headers: { "Content-Type": "text/plain" } })).status).toBe(415);
  expect((await ask(house, "POST", "/api/packs/scan", { token, body: "{}", headers: { "Content-Encoding": "gzip" } })).status).toBe(415);
  const empty = await ask(house, "POST", "/api/packs/scan", { token });
  expect([empty.status, empty.json.success, empty.json.error, empty.json.code]).toEqual([200, true, null, null]);
});
