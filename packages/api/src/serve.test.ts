import { connect } from "node:net";
import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { createClient } from "./client/index.ts";
import { serveApi } from "./serve.ts";
import type { ApiServer } from "./serve.ts";
import { FakeHouse } from "./testing/index.ts";

const LOOPBACK = { host: "127.0.0.1", port: 0 } as const;

/** Sends raw bytes and resolves with everything that came back when the server closed. */
function raw(server: ApiServer, text: string, onOpen?: (socket: Socket) => void): Promise<string> {
  return new Promise((resolve) => {
    let seen = "";
    const socket = connect(server.port, "127.0.0.1", () => {
      socket.write(text);
      onOpen?.(socket);
    });
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => (seen += chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      resolve(seen);
    });
  });
}

test("the typed client reads answers and refusals from a listening server", async () => {
  const house = new FakeHouse();
  house.addPack("hello");
  await using server = await serveApi(house.api, LOOPBACK);
  const client = createClient({ url: server.url, token: await house.token("admin") });
  const listed = await client.call("packs.list", { query: { limit: 10 } });
  expect(listed.ok && listed.data.packs.map((pack) => pack.pack_id)).toEqual(["hello"]);
  const approved = await client.call("packs.approve", { params: { id: "hello" }, body: { notes: "fine" } });
  expect(approved.ok && approved.data.status).toBe("approved");
  const missing = await client.call("packs.status", { params: { id: "none" } });
  expect(missing.ok ? null : [missing.status, missing.code, missing.data?.["remedy"]]).toEqual([
    404,
    "approval.pack_not_found",
    "rumi pack list",
  ]);
  const document = await client.call("openapi");
  expect(document.ok && document.data["openapi"]).toBe("3.1.0");
});

test("a client without a daemon throws client.unreachable, and one that meets another program client.not_rumi", async () => {
  await expect(createClient({ url: "http://127.0.0.1:1" }).call("status")).rejects.toMatchObject({ code: "client.unreachable" });
  const html = () => Promise.resolve(new Response("<html>", { status: 200 }));
  await expect(createClient({ url: "http://127.0.0.1:1", fetch: html }).call("status")).rejects.toMatchObject({ code: "client.not_rumi" });
});

test("H1 over the wire a body that never comes does not delay the 401", async () => {
  const house = new FakeHouse();
  await using server = await serveApi(house.api, LOOPBACK);
  const answer = await raw(
    server,
    "POST /api/packs/scan HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
  );
  expect(answer).toMatch(/^HTTP\/1\.1 401 /u);
});

test("H1 a client that asks before it sends is invited only with a token", async () => {
  const house = new FakeHouse();
  const token = await house.token("approve");
  await using server = await serveApi(house.api, LOOPBACK);
  const head =
    "POST /api/packs/scan HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n";
  expect(await raw(server, `${head}\r\n`)).toMatch(/^HTTP\/1\.1 401 /u);
  expect(await raw(server, `${head}Authorization: Bearer ${token}\r\n\r\n{}`)).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /u);
});

test("H6 over the wire a foreign Host, also in an absolute URL, is 421", async () => {
  const house = new FakeHouse();
  await using server = await serveApi(house.api, LOOPBACK);
  for (const line of ["GET /health HTTP/1.1\r\nHost: evil.test", "GET http://127.0.0.1/health HTTP/1.1\r\nHost: evil.test"]) {
    expect(await raw(server, `${line}\r\nConnection: close\r\n\r\n`)).toMatch(/^HTTP\/1\.1 421 /u);
  }
  expect(await raw(server, "GET /health HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n")).toMatch(/^HTTP\/1\.1 4(?:00|21) /u);
});

test("H12 over the wire Content-Length: abc is a 400 envelope", async () => {
  const house = new FakeHouse();
  await using server = await serveApi(house.api, LOOPBACK);
  const answer = await raw(server, "POST /api/packs/scan HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\n");
  expect(answer).toMatch(/^HTTP\/1\.1 400 /u);
  expect(answer).toContain('"code":"request.bad_length"');
});

test("H13 over the wire a chunked body over the limit is 413", async () => {
  const house = new FakeHouse({ limits: { maxBodyBytes: 1000 } });
  const token = await house.token("approve");
  await using server = await serveApi(house.api, LOOPBACK);
  const chunk = `200\r\n${" ".repeat(512)}\r\n`;
  const answer = await raw(
    server,
    `POST /api/packs/scan HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunk.repeat(4)}`,
  );
  expect(answer).toMatch(/^HTTP\/1\.1 413 /u);
  expect(house.calls).toEqual([]);
});

test("headers over the limit are 431", async () => {
  const house = new FakeHouse();
  await using server = await serveApi(house.api, LOOPBACK);
  expect(await raw(server, `GET /health HTTP/1.1\r\nHost: localhost\r\nX-Big: ${"a".repeat(17_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /u);
});

test("H16 slow headers and slow bodies are cut, and others are served meanwhile", async () => {
  const house = new FakeHouse({ limits: { bodySeconds: 0.2 } });
  const token = await house.token("approve");
  await using server = await serveApi(house.api, { ...LOOPBACK, limits: { headersMs: 200, requestMs: 60_000, checkMs: 50 } });
  const slowHeaders = raw(server, "GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: ");
  const slowBody = raw(
    server,
    `POST /api/packs/scan HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{`,
  );
  expect((await fetch(`${server.url}/health`)).status).toBe(200);
  expect(await slowHeaders).toMatch(/^HTTP\/1\.1 408 /u);
  const cut = await slowBody;
  expect(cut === "" || cut.startsWith("HTTP/1.1 400 ")).toBe(true);
  expect(house.calls).toEqual([]);
});

test("a client that leaves stops nothing: its run goes on to its end", async () => {
  const house = new FakeHouse();
  house.held.add("slow");
  const token = await house.token("admin");
  await using server = await serveApi(house.api, LOOPBACK);
  const gone = new AbortController();
  const run = createClient({ url: server.url, token }).call("flows.run", { params: { id: "slow" }, body: {}, signal: gone.signal });
  await expect.poll(() => house.runs.size).toBe(1);
  gone.abort();
  await expect(run).rejects.toThrow();
  const [record] = house.runs.values();
  expect(record?.state).toBe("running");
  house.finish();
  const after = await createClient({ url: server.url, token }).call("runs.get", { params: { id: record?.run_id ?? "" } });
  expect(after.ok && after.data.state).toBe("completed");
});

test("closing lets an answer in flight end and takes no new connection", async () => {
  const house = new FakeHouse();
  house.held.add("slow");
  const server = await serveApi(house.api, LOOPBACK);
  const client = createClient({ url: server.url, token: await house.token("admin") });
  const run = client.call("flows.run", { params: { id: "slow" }, body: {} });
  await expect.poll(() => house.runs.size).toBe(1);
  const closed = server.close(5000);
  house.finish();
  expect((await run).ok).toBe(true);
  await closed;
  await expect(client.call("status")).rejects.toMatchObject({ code: "client.unreachable" });
});

test("a taken port is an error of the caller", async () => {
  const house = new FakeHouse();
  await using server = await serveApi(house.api, LOOPBACK);
  await expect(serveApi(house.api, { host: "127.0.0.1", port: server.port })).rejects.toMatchObject({ code: "EADDRINUSE" });
});
