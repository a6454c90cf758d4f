import { Buffer } from "node:buffer";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls, getCACertificates, setDefaultCACertificates } from "node:tls";
import { promisify } from "node:util";
import { encodeJsonFrame } from "@rumi/wire";
import { temporaryFolder } from "@rumi/testkit";
import { beforeAll, expect, test, vi } from "vitest";
import { FIRST_FLIGHT_MS } from "./limits.ts";
import { openTestEgress, TestFrames, TRUSTED_CERTIFICATE } from "./testing/index.ts";
import type { TestEgress, TestGrant } from "./testing/index.ts";

beforeAll(() => setDefaultCACertificates([...getCACertificates("bundled"), TRUSTED_CERTIFICATE.cert]));

const HOST = "api.rumi.example";
const OUTSIDE = "93.184.216.34";
const ANYWHERE: TestGrant = { domains: ["*"], ports: "*" };
const ALERT = Buffer.from([21, 3, 3, 0, 2, 2, 49]);

async function open(grant: TestGrant | null = ANYWHERE, options: Parameters<typeof openTestEgress>[0] = {}): Promise<TestEgress> {
  const egress = await openTestEgress(options);
  if (grant !== null) egress.policy.grant("my_pack", grant);
  for (const host of [HOST, "b.rumi.example"]) egress.net.names.set(host, [OUTSIDE]);
  const say = (scheme: string) => (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      response.setHeader("Set-Cookie", ["a=1", "b=2"]);
      response.end(`${scheme} ${request.method} ${request.url} ${request.headers.host} ${Buffer.concat(chunks).toString()}`);
    });
  };
  await egress.net.http(80, say("http"));
  await egress.net.https(443, say("https"));
  return egress;
}

/** A connection that has become a proxy's. */
async function proxied(egress: TestEgress): Promise<Socket> {
  const socket = await egress.dial();
  socket.write(encodeJsonFrame({ type: "proxy" }));
  return socket;
}

/** Everything that comes until the other side ends. */
async function rest(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  if (!socket.closed) await once(socket, "close");
  return Buffer.concat(chunks);
}

/** The head of the answer to a CONNECT. */
async function headOf(socket: Socket, until = "\r\n\r\n"): Promise<string> {
  let text = "";
  while (!text.includes(until)) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    text += chunk.toString("latin1");
  }
  return text;
}

/** What the runner does inside: a TCP port whose connections become a proxy's. */
async function relay(egress: TestEgress): Promise<{ port: number; connections: () => number; [Symbol.asyncDispose](): Promise<void> }> {
  let connections = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    connections++;
    sockets.add(client);
    client.on("error", () => undefined);
    void proxied(egress).then((host) => {
      client.pipe(host).pipe(client);
      client.once("close", () => host.destroy());
      host.once("close", () => client.destroy());
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

test("an absolute-form request is a request: judged, made by the proxy, answered", async () => {
  await using egress = await open();
  const socket = await proxied(egress);
  socket.write(
    `POST http://${HOST}/a?q=1 HTTP/1.1\r\nHost: ${HOST}\r\nProxy-Connection: keep-alive\r\nAccept-Encoding: zstd\r\nConnection: x-hop, close\r\nX-Hop: 1\r\nContent-Length: 4\r\n\r\nbody`,
  );
  const answer = (await rest(socket)).toString();
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/u);
  expect(answer).toContain("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n");
  expect(answer).toContain(`http POST /a?q=1 ${HOST} body`);
  expect(egress.audit.events[0]).toMatchObject({ action: "network_request", details: { method: "POST", path: "/a", status: 200 } });
});

test("X72 X81 urllib, curl and Node's fetch work through the proxy, https and http", async () => {
  await using egress = await open();
  await using proxy = await relay(egress);
  await using folder = await temporaryFolder("rumi-egress-");
  const roots = join(folder.path, "roots.pem");
  await writeFile(roots, TRUSTED_CERTIFICATE.cert);
  const at = `http://127.0.0.1:${proxy.port}`;
  const env = {
    PATH: process.env["PATH"] ?? "",
    http_proxy: at,
    https_proxy: at,
    HTTP_PROXY: at,
    HTTPS_PROXY: at,
    NODE_USE_ENV_PROXY: "1",
    SSL_CERT_FILE: roots,
    NODE_EXTRA_CA_CERTS: roots,
  };
  const run = async (program: string, ...args: string[]) => (await promisify(execFile)(program, args, { env, timeout: 20_000 })).stdout;
  const python = `import urllib.request, sys
for url in sys.argv[1:]: print(urllib.request.urlopen(url, timeout=10).read().decode())`;
  const node = `for (const url of process.argv.slice(1)) console.log(await (await fetch(url)).text())`;
  const urls = [`https://${HOST}/secure`, `http://${HOST}/plain`];
  const wanted = `https GET /secure ${HOST} \nhttp GET /plain ${HOST} \n`;
  expect(await run("python3", "-c", python, ...urls)).toBe(wanted);
  expect(await run(process.execPath, "--input-type=module", "-e", node, "--", ...urls)).toBe(wanted);
  const plain = egress.audit.events.filter(({ details }) => details?.["path"] === "/plain");
  expect(plain.map(({ details }) => details?.["method"])).toEqual(["GET", "GET"]);
});

test("X73 another server name, none, or a hidden one: an alert, then 403; what is neither TLS nor HTTP: 403", async () => {
  await using egress = await open();
  const connectTo = async (): Promise<{ socket: Socket; head: string }> => {
    const socket = await proxied(egress);
    socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}:443\r\n\r\n`);
    return { socket, head: await headOf(socket) };
  };
  let call = "call";
  for (const servername of ["b.rumi.example", ""]) {
    const { socket, head } = await connectTo();
    expect(head).toMatch(/^HTTP\/1\.1 200 /u);
    const tls = connectTls({ socket, servername, host: HOST, checkServerIdentity: () => undefined });
    const [error] = (await once(tls, "error")) as [NodeJS.ErrnoException];
    expect(error.code).toMatch(/ACCESS_DENIED/u);
    const again = await connectTo();
    expect(again.head).toMatch(/^HTTP\/1\.1 403 /u);
    // Another call starts clean.
    egress.owner.end(call);
    call = `after ${servername}`;
    egress.owner.begin(call);
  }
  const first = await connectTo();
  first.socket.write(Buffer.from([0, 1, 2, 3]));
  expect((await rest(first.socket)).toString()).toMatch(/^HTTP\/1\.1 403 /u);
  const second = await connectTo();
  second.socket.write("NOT HTTP\r\n\r\n");
  expect((await rest(second.socket)).toString()).toMatch(/^HTTP\/1\.1 403 /u);
  const third = await connectTo();
  third.socket.write(Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]));
  expect(await rest(third.socket)).toEqual(ALERT);
});

test("X74 no tunnel where methods are limited, nor to a host that secrets are bound to", async () => {
  await using egress = await open({ ...ANYWHERE, methods: ["GET"] });
  const socket = await proxied(egress);
  socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`);
  expect(await headOf(socket)).toMatch(/^HTTP\/1\.1 403 /u);
  egress.policy.grant("my_pack", ANYWHERE);
  egress.secrets.bind(HOST, "KEY", "v".repeat(20));
  const second = await proxied(egress);
  second.write(`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`);
  expect(await headOf(second)).toMatch(/^HTTP\/1\.1 403 /u);
  expect(egress.net.dialled).toEqual([]);
});

test("X82 every refusal answers, also in a loop: 403, 429 or 502, never a bare close", async () => {
  await using egress = await open({
    domains: [HOST, "private.example", "absent.example", "down.rumi.example"],
    ports: [80, 443],
    perMinute: 1000,
  });
  egress.net.names.set("private.example", ["10.0.0.1"]);
  egress.net.names.set("down.rumi.example", ["93.184.216.99"]);
  egress.net.refuse.add("93.184.216.99");
  const refused: [string, number][] = [
    [`CONNECT evil.example:443 HTTP/1.1\r\n\r\n`, 403],
    [`CONNECT ${HOST}:22 HTTP/1.1\r\n\r\n`, 403],
    [`CONNECT private.example:443 HTTP/1.1\r\n\r\n`, 403],
    [`CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n`, 403],
    [`CONNECT absent.example:443 HTTP/1.1\r\n\r\n`, 502],
    [`CONNECT down.rumi.example:443 HTTP/1.1\r\n\r\n`, 502],
    [`CONNECT ${HOST} HTTP/1.1\r\n\r\n`, 403],
    [`CONNECT ${HOST}:0 HTTP/1.1\r\n\r\n`, 403],
    [`CONNECT u:p@${HOST}:443 HTTP/1.1\r\n\r\n`, 403],
    [`GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n`, 403],
    [`GET http://private.example/ HTTP/1.1\r\nHost: private.example\r\n\r\n`, 403],
    [`GET http://absent.example/ HTTP/1.1\r\nHost: absent.example\r\n\r\n`, 502],
    [`GET http://${HOST}/ HTTP/1.1\r\nHost: evil.example\r\n\r\n`, 403],
    [`GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nHost: evil.example\r\n\r\n`, 403],
    [`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`, 403],
    [`OPTIONS http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`, 403],
    [`TRACE http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`, 403],
    [`GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`, 403],
    [`GET http://evil.example/ HTTP/1.1\r\n\r\n`, 403],
    [`GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nExpect: magic\r\n\r\n`, 403],
    [`GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`, 403],
    [`GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nX: ${"x".repeat(70_000)}\r\n\r\n`, 403],
    [`GET http://${HOST}/ HTTP/9.9\r\nHost: ${HOST}\r\n\r\n`, 403],
    [`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`, 403],
    [`nonsense\r\n\r\n`, 403],
    [`\x16\x03\x01`, 403],
  ];
  for (let round = 0; round < 3; round++) {
    for (const [text, status] of refused) {
      const socket = await proxied(egress);
      socket.write(text);
      expect(await headOf(socket), JSON.stringify(text)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `, "u"));
      socket.destroy();
    }
  }
  egress.policy.grant("my_pack", { ...ANYWHERE, perMinute: 1 });
  for (const text of [`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`, `GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`]) {
    const socket = await proxied(egress);
    socket.write(text);
    expect(await headOf(socket)).toMatch(/^HTTP\/1\.1 429 /u);
  }
});

test("X82 Node's fetch that is refused asks once", async () => {
  await using egress = await open(null);
  await using proxy = await relay(egress);
  const at = `http://127.0.0.1:${proxy.port}`;
  const env = { PATH: process.env["PATH"] ?? "", https_proxy: at, http_proxy: at, NODE_USE_ENV_PROXY: "1" };
  const script = `for (const url of ["https://${HOST}/", "http://${HOST}/"]) console.log(await fetch(url).then(() => "yes", () => "no"))`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], { env, timeout: 20_000 });
  expect(stdout).toBe("no\nno\n");
  expect(proxy.connections()).toBeLessThanOrEqual(4);
});

test("plain HTTP in a tunnel keeps to the tunnel's host, and each request is judged", async () => {
  await using egress = await open({ ...ANYWHERE, perMinute: 3 });
  const socket = await proxied(egress);
  socket.write(`CONNECT ${HOST}:80 HTTP/1.1\r\n\r\n`);
  await headOf(socket);
  socket.write(`GET /one HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
  expect(await headOf(socket, "\r\n0\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /u);
  socket.write(`GET /two HTTP/1.1\r\nHost: ${HOST}:80\r\n\r\n`);
  expect(await headOf(socket, "\r\n0\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /u);
  socket.write(`GET /three HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
  expect(await headOf(socket)).toMatch(/^HTTP\/1\.1 429 /u);
  for (const text of [
    `GET /x HTTP/1.1\r\nHost: b.rumi.example\r\n\r\n`,
    `GET http://b.rumi.example/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`,
    `CONNECT b.rumi.example:443 HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`,
    `GET /x HTTP/1.0\r\n\r\n`,
  ]) {
    egress.policy.grant("my_pack", ANYWHERE);
    const tunnel = await proxied(egress);
    tunnel.write(`CONNECT ${HOST}:80 HTTP/1.1\r\n\r\n`);
    await headOf(tunnel);
    tunnel.write(text);
    expect(await headOf(tunnel), text).toMatch(/^HTTP\/1\.1 403 /u);
  }
});

test("a frame opens a tunnel too, and its bytes may come at once", async () => {
  await using egress = await open();
  const socket = await egress.dial();
  const frames = new TestFrames(socket);
  expect(await frames.ask({ type: "tunnel", host: HOST, port: 443 })).toEqual({ success: true, error: null, error_type: null });
  const tls = connectTls({ socket: frames.leave(), servername: HOST });
  await once(tls, "secureConnect");
  tls.write(`GET /t HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
  expect((await rest(tls as unknown as Socket)).toString()).toContain("https GET /t");
  await expect.poll(() => egress.audit.events.length).toBe(1);
  expect(egress.audit.events[0]).toMatchObject({ success: true, details: { method: "CONNECT", scheme: "tunnel", host: HOST, port: 443 } });
  const refused = new TestFrames(await egress.dial());
  egress.policy.grant("my_pack", { domains: [], ports: [] });
  expect(await refused.ask({ type: "tunnel", host: HOST, port: 443 })).toMatchObject({ success: false, error_type: "grant_denied" });
});

test("a tunnel ends with its call, one whose call nobody named with the last call, and any with its instance", async () => {
  await using egress = await open();
  const tunnel = async (callId?: string): Promise<Socket> => {
    const frames = new TestFrames(await egress.dial());
    await frames.ask({ type: "tunnel", host: HOST, port: 443, ...(callId === undefined ? {} : { call_id: callId }) });
    const socket = frames.leave();
    const tls = connectTls({ socket, servername: HOST });
    tls.on("error", () => undefined);
    await once(tls, "secureConnect");
    return socket;
  };
  egress.owner.begin("second");
  const named = await tunnel("second");
  const unnamed = await tunnel();
  egress.owner.end("second");
  await once(named, "close");
  expect(unnamed.closed).toBe(false);
  egress.owner.begin("third");
  egress.owner.end("call");
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(unnamed.closed).toBe(false);
  egress.owner.end("third");
  await once(unnamed, "close");
  egress.owner.begin("fourth");
  const last = await tunnel();
  egress.owner.remove();
  await once(last, "close");
});

test("a tunnel whose client says nothing is told so in time; one whose client leaves is no denial", async () => {
  await using egress = await open();
  const leaving = await proxied(egress);
  leaving.write(`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`);
  await headOf(leaving);
  leaving.destroy();
  await expect.poll(() => egress.audit.events.length).toBe(1);
  expect(egress.audit.events[0]).toMatchObject({ category: "network", error_type: "cancelled" });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const silent = await proxied(egress);
    silent.write(`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`);
    await headOf(silent);
    await vi.waitUntil(() => vi.getTimerCount() > 0);
    vi.advanceTimersByTime(FIRST_FLIGHT_MS + 1);
    expect((await rest(silent)).toString()).toMatch(/^HTTP\/1\.1 403 /u);
  } finally {
    vi.useRealTimers();
  }
});

test("with the proxy off, frames say so", async () => {
  await using egress = await open(ANYWHERE, { forwardProxy: false });
  const frames = new TestFrames(await egress.dial());
  expect(await frames.ask({ type: "tunnel", host: HOST, port: 443 })).toMatchObject({ success: false, error_type: "grant_denied" });
  expect(await frames.ask({ type: "proxy" })).toMatchObject({ success: false, error_type: "grant_denied" });
  expect(await frames.ask({ method: "GET", url: `http://${HOST}/` })).toMatchObject({ success: true });
});

test("redirects go back to the proxy's client, an upload over its limit and a cut answer are seen", async () => {
  await using egress = await open();
  await egress.net.http(81, (_request, response) => response.writeHead(302, { location: "http://10.0.0.1/" }).end());
  await egress.net.raw(82, (socket) => socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")));
  const first = await proxied(egress);
  first.write(`GET http://${HOST}:81/ HTTP/1.1\r\nHost: ${HOST}:81\r\nConnection: close\r\n\r\n`);
  expect((await rest(first)).toString()).toMatch(/^HTTP\/1\.1 302 [\s\S]*location: http:\/\/10\.0\.0\.1\//iu);
  const second = await proxied(egress);
  second.write(`GET http://${HOST}:82/ HTTP/1.1\r\nHost: ${HOST}:82\r\n\r\n`);
  const cut = (await rest(second)).toString();
  expect(cut).not.toMatch(/\r\n0\r\n\r\n$/u);
  const third = await proxied(egress);
  third.write(`POST http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 5000000\r\n\r\n`);
  third.write(Buffer.alloc(4_500_000));
  expect(await headOf(third)).toMatch(/^HTTP\/1\.1 403 /u);
});

test("a client that leaves in the middle of its body, or pipelines without end, harms nobody else", async () => {
  await using egress = await open();
  const leaving = await proxied(egress);
  leaving.write(`POST http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 100\r\n\r\nhalf`);
  await new Promise((resolve) => setTimeout(resolve, 20));
  leaving.destroy();
  await expect.poll(() => egress.audit.events.length).toBe(1);
  expect(egress.audit.events[0]).toMatchObject({ success: false, error_type: "cancelled" });
  const greedy = await proxied(egress);
  greedy.write(`GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`.repeat(500));
  await rest(greedy);
  const polite = await proxied(egress);
  polite.write(`GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
  expect((await rest(polite)).toString()).toMatch(/^HTTP\/1\.1 200 /u);
});
