import { connect } from "node:net";
import { ManualClock } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { createClient } from "./client/index.ts";
import { DEFAULT_API_LIMITS } from "./limits.ts";
import { serveApi } from "./serve.ts";
import { ask } from "./testing/ask.ts";
import { FakeHouse } from "./testing/index.ts";

const LOOPBACK = { host: "127.0.0.1", port: 0 } as const;

/** Sends one raw request line with a token and gives the status and text of its answer. */
async function rawGet(port: number, target: string, token: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`);
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

test.each(["/api/packs/../status", "/api/packs/%2e%2e/status", "/api/packs/.%2E/status", "/api/./status", "/api/packs/..\\status"])(
  "a path that walks, %s, reaches no other route",
  async (path) => {
    const house = new FakeHouse();
    const token = await house.token("admin");
    await using server = await serveApi(house.api, LOOPBACK);
    const answer = await rawGet(server.port, path, token);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /u);
    expect(answer).toContain('"code":"request.invalid"');
  },
);

test.each([".", ".."])("the typed client never turns the id %s into another route", async (id) => {
  const house = new FakeHouse();
  await using server = await serveApi(house.api, LOOPBACK);
  const client = createClient({ url: server.url, token: await house.token("admin") });
  const answer = await client.call("packs.status", { params: { id } });
  expect(answer.ok ? "answered" : answer.code).toBe("request.invalid_id");
});

test("a web page that floods with a foreign Origin or Host fills no audit log and never slows the operator", async () => {
  const house = new FakeHouse({ clock: new ManualClock() });
  const token = await house.token("read");
  const written = house.audit.events.length;
  for (let n = 0; n < 300; n += 1) {
    await ask(house, "POST", "/api/packs", { headers: { Origin: "https://evil.test" } });
    await ask(house, "GET", "/health", { headers: { Host: "evil.test" } });
  }
  expect(house.audit.events.length - written).toBeLessThanOrEqual(DEFAULT_API_LIMITS.addressRateLimit);
  expect((await ask(house, "POST", "/api/packs", { headers: { Origin: "https://evil.test" } })).status).toBe(429);
  expect((await ask(house, "GET", "/api/status", { token })).status).toBe(200);
});

test("a number that is not finite is no JSON here, wherever it stands", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  for (const body of ['{"inputs":{"n":1e999}}', '{"inputs":{"n":[{"m":-1e400}]}}']) {
    const answer = await ask(house, "POST", "/api/flows/hello/run", { token, body });
    expect([answer.status, answer.json.code]).toEqual([400, "request.invalid_json"]);
  }
  expect(house.calls).toEqual([]);
});

test("a client that never reads its answers loses its socket", async () => {
  const house = new FakeHouse();
  await using server = await serveApi(house.api, { ...LOOPBACK, limits: { writeMs: 200, checkMs: 50 } });
  const socket = connect(server.port, "127.0.0.1");
  const closed = new Promise<string>((resolve) => {
    socket.on("error", () => undefined);
    socket.on("close", () => {
      resolve("closed");
    });
  });
  socket.pause();
  const requests = "GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500);
  const flood = setInterval(() => {
    if (socket.writableLength < 1_000_000) socket.write(requests);
  }, 1);
  expect(await closed).toBe("closed");
  clearInterval(flood);
}, 30_000);
