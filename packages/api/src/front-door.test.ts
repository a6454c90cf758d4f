import { ManualClock } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { ALL_ROUTES } from "./route-table.ts";
import { BASE, ask } from "./testing/ask.ts";
import { FakeHouse } from "./testing/index.ts";

const examplePath = (path: string): string =>
  path
    .replace("/api/runs/{id}", "/api/runs/run_0190a0a0-0000-7000-8000-000000000000")
    .replace("/api/tokens/{id}", "/api/tokens/tok_0000000000000000")
    .replaceAll(/\{\w+\}/gu, "hello");

test("T14 in a locked home no token can be judged: 503 that says what to do, /health stands", async () => {
  const house = new FakeHouse();
  house.locked = { reason: "the key is gone", remedy: "put it back" };
  const answer = await ask(house, "GET", "/api/packs", { token: `rumi_${"a".repeat(43)}` });
  expect([answer.status, answer.json]).toEqual([
    503,
    {
      success: false,
      data: { retryable: false, remedy: "put it back" },
      error: "this home is locked: the key is gone",
      code: "safe_files.locked",
    },
  ]);
  expect((await ask(house, "GET", "/health")).status).toBe(200);
});

test("H1 without a token every OpenAPI route and an unknown path is 401, with the body unread and nothing changed", async () => {
  const house = new FakeHouse();
  house.addPack("hello");
  for (const [method, path] of [
    ...ALL_ROUTES.filter((row) => row.scope !== "open").map((row) => [row.method, examplePath(row.path)] as const),
    ["GET", "/nothing"] as const,
  ]) {
    let pulled = 0;
    const body = new ReadableStream(
      {
        pull: (controller) => {
          pulled += 1;
          controller.enqueue(new Uint8Array(1024));
        },
      },
      { highWaterMark: 0 },
    );
    const answer = await ask(new FakeHouse({ deps: house.deps }), method, path, method === "GET" ? {} : { body });
    expect([path, answer.status, answer.json]).toEqual([
      path,
      401,
      { success: false, data: { retryable: false, remedy: "rumi token show" }, error: "Unauthorized", code: "auth.required" },
    ]);
    expect(answer.headers.get("www-authenticate")).toBe("Bearer");
    expect(pulled).toBe(0);
  }
  expect(house.calls).toEqual([]);
  expect(house.packs.get("hello")?.status).toBe("installed");
});

test("H2 of the four scopes only those that a route declares pass", async () => {
  const house = new FakeHouse({ limits: { tokenRateLimit: 10_000 } });
  house.addPack("hello");
  const opens = { read: ["read"], run: ["run"], approve: ["read", "approve"], admin: ["read", "run", "approve", "admin"] } as const;
  const seen: string[] = [];
  for (const scope of ["read", "run", "approve", "admin"] as const) {
    const token = await house.token(scope);
    for (const row of ALL_ROUTES.filter((item) => item.scope !== "open")) {
      const wanted: readonly string[] = typeof row.scope === "string" ? [row.scope] : row.scope;
      const may = opens[scope].some((open) => wanted.includes(open));
      const answer = await ask(house, row.method, examplePath(row.path), { token });
      seen.push(`${row.name} ${scope} ${may === (answer.json.code !== "auth.scope") ? "right" : "WRONG"}`);
      if (!may) expect([answer.status, answer.json.code]).toEqual([403, "auth.scope"]);
    }
  }
  expect(seen.filter((line) => line.endsWith("WRONG"))).toEqual([]);
});

test("H6 a foreign Host is 421 and audited; a loopback name passes with any port", async () => {
  const house = new FakeHouse({ allowedHosts: ["rumi.example"] });
  const token = await house.token("read");
  for (const host of ["evil.test", "localhost.evil.test", "127.0.0.1@evil.test", "", "local host"]) {
    const answer = await ask(house, "GET", "/api/status", { token, headers: { Host: host } });
    expect([host, answer.status, answer.json.code]).toEqual([host, 421, "http.host_rejected"]);
  }
  for (const host of ["localhost:9999", "LOCALHOST", "127.0.0.1", "[::1]:1", "rumi.example:443"]) {
    expect([host, (await ask(house, "GET", "/api/status", { token, headers: { Host: host } })).status]).toEqual([host, 200]);
  }
  expect(house.audit.events.filter((event) => event.action === "api_denied").length).toBe(5);
});

test("H7 a foreign or null Origin is 403 even with a good token; our own passes", async () => {
  const house = new FakeHouse({ corsOrigins: ["http://localhost:*"] });
  const token = await house.token("read");
  for (const origin of ["https://evil.test", "null", "http://localhost.evil.test:80", "http://localhost:80.evil.test"]) {
    const answer = await ask(house, "GET", "/api/status", { token, headers: { Origin: origin } });
    expect([origin, answer.status, answer.json.code]).toEqual([origin, 403, "http.origin_rejected"]);
  }
  expect((await ask(house, "GET", "/api/status", { token, headers: { Origin: BASE, Host: "127.0.0.1:8765" } })).status).toBe(200);
  const allowed = await ask(house, "GET", "/api/status", { token, headers: { Origin: "http://localhost:5173" } });
  expect([allowed.status, allowed.headers.get("access-control-allow-origin"), allowed.headers.get("vary")]).toEqual([
    200,
    "http://localhost:5173",
    "Origin",
  ]);
  expect(allowed.headers.get("access-control-allow-credentials")).toBeNull();
});

test("H8 a preflight of an allowed origin is 204 with Vary; of a foreign one 403", async () => {
  const house = new FakeHouse({ corsOrigins: ["https://ui.example"] });
  const headers = { "Access-Control-Request-Method": "POST" };
  const allowed = await ask(house, "OPTIONS", "/api/packs", { headers: { ...headers, Origin: "https://ui.example" } });
  expect([allowed.status, allowed.text, allowed.headers.get("vary"), allowed.headers.get("access-control-max-age")]).toEqual([
    204,
    "",
    "Origin",
    "600",
  ]);
  expect(allowed.headers.get("access-control-allow-headers")).toContain("Idempotency-Key");
  expect((await ask(house, "OPTIONS", "/api/packs", { headers: { ...headers, Origin: "https://evil.test" } })).status).toBe(403);
});

test("H10 the 601st request in a minute is 429 with Retry-After, and another token is fine", async () => {
  const clock = new ManualClock();
  const house = new FakeHouse({ clock });
  const token = await house.token("read");
  for (let n = 0; n < 600; n += 1) expect((await ask(house, "GET", "/api/status", { token })).status).toBe(200);
  clock.advance(20_000);
  const refused = await ask(house, "GET", "/api/status", { token });
  expect([refused.status, refused.json.code, refused.headers.get("retry-after")]).toEqual([429, "rate.limited", "40"]);
  expect((await ask(house, "GET", "/api/status", { token: await house.token("read") })).status).toBe(200);
  clock.advance(40_000);
  expect((await ask(house, "GET", "/api/status", { token })).status).toBe(200);
});

test("H11 a flood of bad tokens is limited by address and never touches the operator's own limit", async () => {
  const house = new FakeHouse();
  const token = await house.token("read");
  const statuses: number[] = [];
  for (let n = 0; n < 200; n += 1) statuses.push((await ask(house, "GET", "/api/status", { token: "bad" })).status);
  expect(statuses.slice(0, 60).every((status) => status === 401)).toBe(true);
  expect(statuses.slice(60).every((status) => status === 429)).toBe(true);
  expect((await ask(house, "GET", "/api/status", { token })).status).toBe(200);
  expect((await ask(house, "GET", "/health")).status).toBe(429);
  expect(house.audit.events.filter((event) => event.action === "api_denied").length).toBe(60);
});

test("H74 with raised limits the 601st request and the 61st /health pass", async () => {
  const house = new FakeHouse({ limits: { tokenRateLimit: 1000, addressRateLimit: 100 } });
  const token = await house.token("read");
  let last = 0;
  for (let n = 0; n < 601; n += 1) last = (await ask(house, "GET", "/api/status", { token })).status;
  for (let n = 0; n < 61; n += 1) expect((await ask(house, "GET", "/health")).status).toBe(200);
  expect(last).toBe(200);
});
