import { ManualClock } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { ALL_ROUTES } from "./route-table.ts";
import { FakeHouse } from "./testing/index.ts";

const BASE = "http://127.0.0.1:8765";

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: { success: boolean; data: Record<string, unknown> | null; error: string | null; code: string | null };
}

async function ask(house: FakeHouse, method: string, path: string, init: { token?: string; headers?: Record<string, string>; body?: BodyInit } = {}): Promise<Answer> {
  const headers: Record<string, string> = { ...init.headers };
  if (init.token !== undefined) headers["Authorization"] = `Bearer ${init.token}`;
  if (init.body !== undefined) headers["Content-Type"] ??= "application/json";
  const request: RequestInit & { duplex?: "half" } = { method, headers };
  if (init.body !== undefined) {
    request.body = init.body;
    request.duplex = "half";
  }
  const response = await house.api.app.request(BASE + path, request);
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: text === "" ? {} : JSON.parse(text) } as Answer;
}

const examplePath = (path: string): string =>
  path.replace("/api/runs/{id}", "/api/runs/run_0190a0a0-0000-7000-8000-000000000000").replace("/api/tokens/{id}", "/api/tokens/tok_0000000000000000").replaceAll(/\{\w+\}/gu, "hello");

test("H1 without a token every OpenAPI route and an unknown path is 401, with the body unread and nothing changed", async () => {
  const house = new FakeHouse();
  house.addPack("hello");
  for (const [method, path] of [...ALL_ROUTES.filter((row) => row.scope !== "open").map((row) => [row.method, examplePath(row.path)] as const), ["GET", "/nothing"] as const]) {
    let pulled = 0;
    const body = new ReadableStream({ pull: (controller) => { pulled += 1; controller.enqueue(new Uint8Array(1024)); } }, { highWaterMark: 0 });
    const answer = await ask(new FakeHouse({ deps: house.deps }), method, path, method === "GET" ? {} : { body });
    expect([path, answer.status, answer.json]).toEqual([path, 401, { success: false, data: { retryable: false, remedy: "rumi token show" }, error: "Unauthorized", code: "auth.required" }]);
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

test("H3 the scheme's case is free; revoked, expired, wrong and absent tokens give the same 401 bytes", async () => {
  const clock = new ManualClock();
  const house = new FakeHouse({ clock });
  await house.token("admin");
  const expiring = await house.tokens.create({ name: "short", scopes: ["read"], expires_at: "2026-01-01T00:00:01.000Z" }, "test");
  const revoked = await house.tokens.create({ name: "gone", scopes: ["read"] }, "test");
  expect((await ask(house, "GET", "/api/packs", { headers: { Authorization: `bearer ${expiring.token}` } })).status).toBe(200);
  expect((await ask(house, "GET", "/api/packs", { headers: { Authorization: `BEARER ${expiring.token}` } })).status).toBe(200);
  await house.tokens.remove(revoked.id, "test");
  clock.advance(1000);
  const answers = [];
  for (const token of [expiring.token, revoked.token, `rumi_${"A".repeat(43)}`, "nonsense", undefined]) {
    const answer = await ask(house, "GET", "/api/packs", token === undefined ? {} : { token });
    answers.push([answer.status, answer.text]);
  }
  expect(new Set(answers.map((item) => JSON.stringify(item))).size).toBe(1);
  expect(answers[0]?.[0]).toBe(401);
});

test("H4 a rotated token passes for its grace, then is 401; without grace it is 401 at once", async () => {
  const clock = new ManualClock();
  const house = new FakeHouse({ clock });
  const first = await house.tokens.create({ name: "one", scopes: ["admin"] }, "test");
  const rotated = await ask(house, "POST", `/api/tokens/${first.id}/rotate`, { token: first.token, body: '{"grace_seconds":10}' });
  const second = String(rotated.json.data?.["token"]);
  expect(second).toMatch(/^rumi_[A-Za-z0-9_-]{43}$/u);
  expect((await ask(house, "GET", "/api/status", { token: first.token })).status).toBe(200);
  expect((await ask(house, "GET", "/api/status", { token: second })).status).toBe(200);
  clock.advance(10_000);
  expect((await ask(house, "GET", "/api/status", { token: first.token })).status).toBe(401);
  const third = await ask(house, "POST", `/api/tokens/${first.id}/rotate`, { token: second, body: '{"grace_seconds":0}' });
  expect(third.status).toBe(200);
  expect((await ask(house, "GET", "/api/status", { token: second })).status).toBe(401);
});

test("H5 the first admin token is made once, only its hash is kept, and no answer or audit entry shows it", async () => {
  const house = new FakeHouse();
  expect(await house.tokens.load()).toBe("absent");
  const first = await house.tokens.createFirstAdmin();
  const value = first?.token ?? "";
  expect(value).toMatch(/^rumi_/u);
  expect(await house.tokens.createFirstAdmin()).toBeNull();
  const listed = await ask(house, "GET", "/api/tokens", { token: value });
  expect(listed.status).toBe(200);
  expect(listed.text + JSON.stringify(house.audit.events) + JSON.stringify(house.tokenStore.tokens)).not.toContain(value);
  expect(listed.text).not.toContain("sha256");
});

test("a tampered token file lets no token hold", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  house.tokenStore.tampered = true;
  expect(await house.tokens.load()).toBe("tampered");
  expect(await house.tokens.createFirstAdmin()).toBeNull();
  expect((await ask(house, "GET", "/api/status", { token })).status).toBe(401);
});

test("the last admin token stays, and an unknown token is 404", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  const [only] = house.tokens.list();
  expect((await ask(house, "DELETE", `/api/tokens/${only?.id}`, { token })).json.code).toBe("token.last_admin");
  expect((await ask(house, "DELETE", "/api/tokens/tok_00000000000000ff", { token })).status).toBe(404);
  const other = await house.tokens.create({ name: "b", scopes: ["admin"] }, "test");
  expect((await ask(house, "DELETE", `/api/tokens/${other.id}`, { token })).status).toBe(200);
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
  expect([allowed.status, allowed.headers.get("access-control-allow-origin"), allowed.headers.get("vary")]).toEqual([200, "http://localhost:5173", "Origin"]);
  expect(allowed.headers.get("access-control-allow-credentials")).toBeNull();
});

test("H8 a preflight of an allowed origin is 204 with Vary; of a foreign one 403", async () => {
  const house = new FakeHouse({ corsOrigins: ["https://ui.example"] });
  const headers = { "Access-Control-Request-Method": "POST" };
  const allowed = await ask(house, "OPTIONS", "/api/packs", { headers: { ...headers, Origin: "https://ui.example" } });
  expect([allowed.status, allowed.text, allowed.headers.get("vary"), allowed.headers.get("access-control-max-age")]).toEqual([204, "", "Origin", "600"]);
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

test("H12 a Content-Length that is no number is 400", async () => {
  const house = new FakeHouse();
  const token = await house.token("approve");
  const answer = await ask(house, "POST", "/api/packs/scan", { token, body: "{}", headers: { "Content-Length": "abc" } });
  expect([answer.status, answer.json.code]).toEqual([400, "request.bad_length"]);
});

test("H13 a body one byte too large is 413, declared or chunked, and is not read to its end", async () => {
  const house = new FakeHouse();
  const token = await house.token("approve");
  const declared = await ask(house, "POST", "/api/packs/scan", { token, body: "{}", headers: { "Content-Length": String(10 * 1024 * 1024 + 1) } });
  expect([declared.status, declared.json.code]).toEqual([413, "request.too_large"]);
  let sent = 0;
  const endless = new ReadableStream({ pull: (controller) => { sent += 65_536; controller.enqueue(new Uint8Array(65_536).fill(32)); } });
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

test("H17 a verb the path lacks is 405 with Allow; other case or a trailing slash is 404", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  const patch = await ask(house, "PATCH", "/api/packs", { token });
  expect([patch.status, patch.json.code, patch.headers.get("allow")]).toEqual([405, "http.method", "GET, HEAD"]);
  expect((await ask(house, "DELETE", "/api/tokens", { token })).headers.get("allow")).toBe("GET, HEAD, POST");
  for (const path of ["/api/packs/", "/API/packs", "/api", "/api/packs/hello/status/"]) expect([path, (await ask(house, "GET", path, { token })).status]).toEqual([path, 404]);
  const head = await ask(house, "HEAD", "/api/packs", { token });
  expect([head.status, head.text]).toEqual([200, ""]);
});

test("H18 a throwing handler is one 500 without detail; the audit log holds it under the request id", async () => {
  const house = new FakeHouse();
  const token = await house.token("read");
  house.deps.packs.list = () => {
    throw new TypeError("secret detail at /home/operator/rumi/file.ts");
  };
  const answer = await ask(house, "GET", "/api/packs", { token });
  expect([answer.status, answer.json]).toEqual([500, { success: false, data: { retryable: false }, error: "Internal server error", code: "internal" }]);
  const entry = house.audit.events.find((event) => event.action === "api_internal_error");
  expect(entry?.category).toBe("system");
  expect(entry?.details?.["request_id"]).toBe(answer.headers.get("x-request-id"));
  expect(JSON.stringify(entry)).toContain("secret detail");
});

test("every answer carries the fixed headers and its own request id", async () => {
  const house = new FakeHouse();
  const ids = new Set<string | null>();
  for (const path of ["/health", "/api/status", "/nothing"]) {
    const { headers } = await ask(house, "GET", path);
    ids.add(headers.get("x-request-id"));
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("content-security-policy")).toBe("default-src 'none'; frame-ancestors 'none'");
  }
  expect(ids.size).toBe(3);
});

test("H20 a long run does not delay /health", async () => {
  const house = new FakeHouse();
  house.held.add("slow");
  const token = await house.token("run");
  const run = ask(house, "POST", "/api/flows/slow/run", { token });
  expect((await ask(house, "GET", "/health")).json.data).toEqual({ status: "ok" });
  house.finish();
  expect((await run).status).toBe(200);
});

test("/health says nothing but its status, and is 503 while starting or stopping", async () => {
  const house = new FakeHouse();
  expect((await ask(house, "GET", "/health")).json).toEqual({ success: true, data: { status: "ok" }, error: null, code: null });
  const token = await house.token("admin");
  house.phase = "starting";
  expect((await ask(house, "GET", "/health")).json.code).toBe("daemon.starting");
  expect((await ask(house, "GET", "/api/status", { token })).status).toBe(200);
  expect((await ask(house, "POST", "/api/flows/hello/run", { token })).json.code).toBe("daemon.starting");
  house.phase = "stopping";
  expect((await ask(house, "GET", "/api/status", { token })).status).toBe(503);
  expect((await ask(house, "GET", "/health")).json.code).toBe("daemon.stopping");
});

test("H21 approving a reviewed digest after an edit is 409 and leaves the pack unapproved", async () => {
  const house = new FakeHouse();
  house.addPack("hello");
  const token = await house.token("approve");
  const review = await ask(house, "GET", "/api/packs/hello/review", { token });
  const pack = house.packs.get("hello");
  if (pack !== undefined) pack.content = "v2";
  const body = JSON.stringify({ expected_digest: review.json.data?.["digest"] });
  const answer = await ask(house, "POST", "/api/packs/hello/approve", { token, body });
  expect([answer.status, answer.json.code, answer.json.data?.["remedy"]]).toEqual([409, "approval.digest_moved", "rumi pack review hello"]);
  expect(pack?.status).toBe("installed");
});

test("H22 an unknown pack is 404 for approve, reject and status; an id that cannot be one is 400", async () => {
  const house = new FakeHouse();
  const token = await house.token("approve");
  for (const [method, path] of [["POST", "/api/packs/none/approve"], ["POST", "/api/packs/none/reject"], ["GET", "/api/packs/none/status"]] as const) {
    const answer = await ask(house, method, path, { token });
    expect([answer.status, answer.json.code]).toEqual([404, "approval.pack_not_found"]);
  }
  for (const id of ["a%2Fb", "..%2Fetc", "a%00", "%ff", "a%252Fb", "x".repeat(65), "a b"]) {
    const answer = await ask(house, "GET", `/api/packs/${id}/status`, { token });
    expect([id, answer.status, answer.json.code]).toEqual([id, 400, "request.invalid_id"]);
  }
  house.addPack("hello");
  expect((await ask(house, "GET", "/api/packs/%68ello/status", { token })).status).toBe(200);
});

test("H28 disable and enable answer and leave the digest as it is", async () => {
  const house = new FakeHouse();
  house.addPack("hello", "v1", "approved");
  const token = await house.token("admin");
  const before = await ask(house, "GET", "/api/packs/hello/status", { token });
  expect((await ask(house, "POST", "/api/packs/hello/disable", { token })).json.data).toEqual({ enabled: false });
  const after = await ask(house, "GET", "/api/packs/hello/status", { token });
  expect(after.json.data?.["enabled"]).toBe(false);
  expect(after.json.data?.["approved_digest"]).toBe(before.json.data?.["approved_digest"]);
  expect((await ask(house, "POST", "/api/packs/hello/enable", { token })).json.data).toEqual({ enabled: true });
});

test.each(["steps", "flow", "code", "principal_id", "_principal_id"])("H35 a run body with %s is 400", async (key) => {
  const house = new FakeHouse();
  const token = await house.token("run");
  const answer = await ask(house, "POST", "/api/flows/hello/run", { token, body: JSON.stringify({ inputs: {}, [key]: "x" }) });
  expect([answer.status, answer.json.code]).toEqual([400, "request.invalid"]);
  expect(JSON.stringify(answer.json.data?.["issues"])).toContain(`/${key}`);
  expect(house.calls).toEqual([]);
});

test("H36 a run past its timeout is answered timed_out with its run", async () => {
  const house = new FakeHouse();
  house.held.add("slow");
  const token = await house.token("run");
  const answer = await ask(house, "POST", "/api/flows/slow/run", { token, body: '{"timeout":0.2}' });
  expect([answer.status, answer.json.code, answer.json.data?.["state"]]).toEqual([408, "flow.timeout", "timed_out"]);
});

test("H37 one run too many is 429 with Retry-After; H74 with a raised limit it passes", async () => {
  for (const [max, expected] of [[10, 429], [11, 200]] as const) {
    const house = new FakeHouse({ maxConcurrentRuns: max });
    house.held.add("slow");
    const token = await house.token("run");
    const ten = Array.from({ length: 10 }, () => ask(house, "POST", "/api/flows/slow/run", { token }));
    await expect.poll(() => house.calls.length).toBe(10);
    const eleventh = ask(house, "POST", "/api/flows/slow/run", { token });
    await expect.poll(() => house.calls.length).toBe(11);
    house.finish();
    const answer = await eleventh;
    expect(answer.status).toBe(expected);
    if (expected === 429) expect([answer.json.code, answer.headers.get("retry-after")]).toEqual(["flow.too_many_runs", "1"]);
    expect((await Promise.all(ten)).every((item) => item.status === 200)).toBe(true);
  }
});

test("H38 one Idempotency-Key sent twice is one run, also while it runs; another body is 409; another token is its own", async () => {
  const house = new FakeHouse();
  house.held.add("slow");
  const token = await house.token("run");
  const headers = { "Idempotency-Key": "k1" };
  const first = ask(house, "POST", "/api/flows/slow/run", { token, headers, body: '{"inputs":{"a":1}}' });
  const again = ask(house, "POST", "/api/flows/slow/run", { token, headers, body: '{"inputs":{"a":1}}' });
  await expect.poll(() => house.calls.length).toBe(1);
  house.finish();
  expect((await first).json.data?.["run_id"]).toBe((await again).json.data?.["run_id"]);
  const other = await ask(house, "POST", "/api/flows/slow/run", { token, headers, body: '{"inputs":{"a":2}}' });
  expect([other.status, other.json.code]).toEqual([409, "request.idempotency_mismatch"]);
  expect(house.runs.size).toBe(1);
  house.held.clear();
  expect((await ask(house, "POST", "/api/flows/slow/run", { token: await house.token("run"), headers })).status).toBe(200);
  expect(house.runs.size).toBe(2);
});

test("H38 a refused start is not remembered under its key", async () => {
  const house = new FakeHouse({ maxConcurrentRuns: 0 });
  const token = await house.token("run");
  const headers = { "Idempotency-Key": "k1" };
  expect((await ask(house, "POST", "/api/flows/hello/run", { token, headers })).status).toBe(429);
  expect((await ask(house, "POST", "/api/flows/hello/run", { token, headers })).status).toBe(429);
  expect(house.calls.length).toBe(2);
});

test("H40 a cancelled run answers its state, and cancelling again is 409", async () => {
  const house = new FakeHouse();
  house.held.add("slow");
  const token = await house.token("run");
  const started = await ask(house, "POST", "/api/flows/slow/run", { token, body: '{"async":true}' });
  expect(started.status).toBe(202);
  const id = String(started.json.data?.["run_id"]);
  expect((await ask(house, "POST", `/api/runs/${id}/cancel`, { token })).json.data).toEqual({ state: "cancelled" });
  const again = await ask(house, "POST", `/api/runs/${id}/cancel`, { token });
  expect([again.status, again.json.code]).toEqual([409, "flow.run_finished"]);
});

test("H41 a run token may not run another flow (audited), and another's run is 404 to it", async () => {
  const house = new FakeHouse();
  const narrow = (await house.tokens.create({ name: "n", scopes: ["run"], allowed_flow_ids: ["hello"] }, "test")).token;
  const none = (await house.tokens.create({ name: "0", scopes: ["run"] }, "test")).token;
  const admin = await house.token("admin");
  expect((await ask(house, "POST", "/api/flows/hello/run", { token: narrow })).status).toBe(200);
  for (const [token, flow] of [[narrow, "slow"], [narrow, "no.such"], [none, "hello"]] as const) {
    const answer = await ask(house, "POST", `/api/flows/${flow}/run`, { token });
    expect([answer.status, answer.json.code]).toEqual([403, "auth.scope"]);
  }
  const others = String((await ask(house, "POST", "/api/flows/slow/run", { token: admin })).json.data?.["run_id"]);
  expect((await ask(house, "GET", `/api/runs/${others}`, { token: narrow })).status).toBe(404);
  expect((await ask(house, "POST", `/api/runs/${others}/cancel`, { token: narrow })).status).toBe(404);
  expect((await ask(house, "GET", "/api/runs", { token: narrow })).json.data?.["count"]).toBe(1);
  expect((await ask(house, "GET", "/api/runs", { token: admin })).json.data?.["count"]).toBe(2);
  expect(house.audit.events.filter((event) => event.action === "api_denied" && event.rejection_reason === "auth.scope").length).toBe(3);
});

test("a failed run has its code's status, the run in data, and no path or second line in its text", async () => {
  const house = new FakeHouse();
  house.outcomes.set("hello", { state: "failed", code: "sandbox.block_error", reason: "Traceback\nValueError: bad file /srv/rumi/user_data/x.py here" });
  const token = await house.token("run");
  const answer = await ask(house, "POST", "/api/flows/hello/run", { token });
  expect([answer.status, answer.json.code, answer.json.error]).toEqual([502, "sandbox.block_error", "ValueError: bad file <path> here"]);
  expect([answer.json.data?.["state"], answer.json.data?.["reason"], answer.json.data?.["retryable"]]).toEqual(["failed", "ValueError: bad file <path> here", false]);
});

test("an aborted run is 200", async () => {
  const house = new FakeHouse();
  house.outcomes.set("hello", { state: "aborted", reason: "enough" });
  const answer = await ask(house, "POST", "/api/flows/hello/run", { token: await house.token("run") });
  expect([answer.status, answer.json.success, answer.json.data?.["state"], answer.json.data?.["reason"]]).toEqual([200, true, "aborted", "enough"]);
});

test("lists are paged by an opaque cursor, and a foreign cursor or unknown query name is 400", async () => {
  const house = new FakeHouse();
  for (let n = 0; n < 5; n += 1) house.addPack(`p${n}`);
  const token = await house.token("read");
  const ids: string[] = [];
  let cursor = "";
  do {
    const { json } = await ask(house, "GET", `/api/packs?limit=2${cursor}`, { token });
    const data = json.data as { packs: { pack_id: string }[]; next_cursor: string | null };
    ids.push(...data.packs.map((pack) => pack.pack_id));
    cursor = data.next_cursor === null ? "" : `&cursor=${data.next_cursor}`;
  } while (cursor !== "");
  expect(ids).toEqual(["p0", "p1", "p2", "p3", "p4"]);
  for (const query of ["cursor=zzzz", "limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "what=1", "__proto__=1"]) {
    expect([query, (await ask(house, "GET", `/api/packs?${query}`, { token })).status]).toEqual([query, 400]);
  }
});

test("H59 Accept-Language: ja changes the error sentence only", async () => {
  const ja = new Map([["error.approval.pack_not_found", "パック {pack_id} はありません"]]);
  const house = new FakeHouse({ messages: { ja } });
  const token = await house.token("read");
  const english = await ask(house, "GET", "/api/packs/none/status", { token });
  const japanese = await ask(house, "GET", "/api/packs/none/status", { token, headers: { "Accept-Language": "ja-JP,en;q=0.5" } });
  expect(japanese.json.error).toBe("パック none はありません");
  expect({ ...japanese.json, error: english.json.error }).toEqual(english.json);
  expect(japanese.status).toBe(english.status);
});

test("H65 OpenAPI lists every route of the table and no other, and needs a token", async () => {
  const house = new FakeHouse();
  const token = await house.token("read");
  expect((await ask(house, "GET", "/openapi.json")).status).toBe(401);
  const document = (await ask(house, "GET", "/openapi.json", { token })).json as unknown as { openapi: string; paths: Record<string, Record<string, { "x-rumi-scope": unknown }>> };
  const described = Object.entries(document.paths).flatMap(([path, verbs]) => Object.keys(verbs).map((verb) => `${verb.toUpperCase()} ${path}`));
  expect(document.openapi).toBe("3.1.0");
  expect(described.sort()).toEqual(ALL_ROUTES.map((row) => `${row.method} ${row.path}`).sort());
  expect(document.paths["/api/packs/{id}/approve"]?.["post"]?.["x-rumi-scope"]).toBe("approve");
});
