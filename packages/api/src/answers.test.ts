import { expect, test } from "vitest";
import { ALL_ROUTES } from "./route-table.ts";
import { ask } from "./testing/ask.ts";
import { FakeHouse } from "./testing/index.ts";

test("H17 a verb the path lacks is 405 with Allow; other case or a trailing slash is 404", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  const patch = await ask(house, "PATCH", "/api/packs", { token });
  expect([patch.status, patch.json.code, patch.headers.get("allow")]).toEqual([405, "http.method", "GET, HEAD"]);
  expect((await ask(house, "DELETE", "/api/tokens", { token })).headers.get("allow")).toBe("GET, HEAD, POST");
  for (const path of ["/api/packs/", "/API/packs", "/api", "/api/packs/hello/status/"])
    expect([path, (await ask(house, "GET", path, { token })).status]).toEqual([path, 404]);
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
  expect([answer.status, answer.json]).toEqual([
    500,
    { success: false, data: { retryable: false }, error: "Internal server error", code: "internal" },
  ]);
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
  const document = (await ask(house, "GET", "/openapi.json", { token })).json as unknown as {
    openapi: string;
    paths: Record<string, Record<string, { "x-rumi-scope": unknown }>>;
  };
  const described = Object.entries(document.paths).flatMap(([path, verbs]) =>
    Object.keys(verbs).map((verb) => `${verb.toUpperCase()} ${path}`),
  );
  expect(document.openapi).toBe("3.1.0");
  expect(described.sort()).toEqual(ALL_ROUTES.map((row) => `${row.method} ${row.path}`).sort());
  expect(document.paths["/api/packs/{id}/approve"]?.["post"]?.["x-rumi-scope"]).toBe("approve");
});
