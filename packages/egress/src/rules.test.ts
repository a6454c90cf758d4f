import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import { openTestEgress, TestFrames, TRUSTED_CERTIFICATE } from "./testing/index.ts";
import type { TestEgress, TestGrant } from "./testing/index.ts";

beforeAll(() => setDefaultCACertificates([...getCACertificates("bundled"), TRUSTED_CERTIFICATE.cert]));

const HOST = "api.rumi.example";
const OUTSIDE = "93.184.216.34";
const ANYWHERE: TestGrant = { domains: ["*"], ports: "*" };

async function open(grant: TestGrant | null = ANYWHERE, options: Parameters<typeof openTestEgress>[0] = {}): Promise<TestEgress> {
  const egress = await openTestEgress(options);
  if (grant !== null) egress.policy.grant("my_pack", grant);
  egress.net.names.set(HOST, [OUTSIDE]);
  return egress;
}

test("X56 the order is URL, rate, grant, name: nothing is looked up without a grant", async () => {
  await using egress = await open(null, { requestsPerMinute: 1 });
  const get = (url: string) => egress.ask({ method: "GET", url });
  expect(await get("ftp://x/")).toMatchObject({ error_type: "validation_error" });
  expect(await get(`http://${HOST}/`)).toMatchObject({
    error_type: "grant_denied",
    error: "Network access denied: No network grant for this pack",
    status_code: 0,
    success: false,
  });
  expect(await get(`http://${HOST}/`)).toMatchObject({ error_type: "rate_limited" });
  expect(await get("ftp://x/")).toMatchObject({ error_type: "validation_error" });
  expect(egress.net.looked).toEqual([]);
  expect(egress.net.dialled).toEqual([]);
});

test("X59 one public and one private answer: blocked, nothing dialled", async () => {
  await using egress = await open();
  egress.net.names.set("mixed.example", [OUTSIDE, "10.0.0.1"]);
  expect(await egress.ask({ method: "GET", url: "http://mixed.example/" })).toMatchObject({
    error_type: "blocked",
    error: "Request blocked by security policy",
  });
  expect(egress.net.dialled).toEqual([]);
});

test("names that do not resolve, or to too much, are said so", async () => {
  await using egress = await open();
  egress.net.names.set(
    "many.example",
    Array.from({ length: 17 }, (_, n) => `93.184.216.${n}`),
  );
  egress.net.names.set("none.example", []);
  for (const host of ["many.example", "none.example", "absent.example"]) {
    expect(await egress.ask({ method: "GET", url: `http://${host}/` })).toMatchObject({ error_type: "dns_error" });
  }
});

test("an address that does not answer gives way to the next one", async () => {
  await using egress = await open();
  egress.net.names.set(HOST, ["2606:2800:220:1:248:1893:25c8:1946", OUTSIDE]);
  egress.net.refuse.add("2606:2800:220:1:248:1893:25c8:1946");
  await egress.net.http(80, (_request, response) => response.end("x"));
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/` })).toMatchObject({ success: true });
  expect(egress.net.dialled).toEqual(["2606:2800:220:1:248:1893:25c8:1946 80", `${OUTSIDE} 80`]);
  egress.net.refuse.add(OUTSIDE);
  egress.net.names.set("down.example", [OUTSIDE]);
  expect(await egress.ask({ method: "GET", url: "http://down.example:81/" })).toMatchObject({ error_type: "connection_refused" });
});

test("X61 redirects are judged hop by hop, and lose credentials on the way to another origin", async () => {
  await using egress = await open({ domains: [HOST, "b.rumi.example", "10.0.0.1"], ports: "*" });
  egress.net.names.set("b.rumi.example", [OUTSIDE]);
  egress.net.names.set("c.rumi.example", [OUTSIDE]);
  const seen: { host: string | undefined; authorization: string | undefined; cookie: string | undefined; own: unknown }[] = [];
  const to: Record<string, string> = {
    "/private": "http://10.0.0.1/",
    "/metadata": "http://169.254.169.254/latest/",
    "/ungranted": "http://c.rumi.example/",
    "/loop": "/loop",
    "/other": "http://b.rumi.example/end",
    "/same": "/end",
    "/userinfo": "http://u:p@b.rumi.example/",
    "/scheme": "file:///etc/passwd",
  };
  const serve = (request: { url?: string | undefined; headers: NodeJS.Dict<string | string[]> }, response: ServerResponse) => {
    const { host, authorization, cookie } = request.headers;
    seen.push({ host: String(host), authorization: authorization as string, cookie: cookie as string, own: request.headers["x-own"] });
    const location = to[request.url ?? ""];
    if (location === undefined) response.end("end");
    else response.writeHead(302, { location }).end("see there");
  };
  await egress.net.http(80, serve);
  await egress.net.https(443, (request, response) => {
    if (request.url === "/down") response.writeHead(302, { location: `http://${HOST}/end` }).end();
    else response.end("secure");
  });
  const get = (path: string, scheme = "http") =>
    egress.ask({
      method: "GET",
      url: `${scheme}://${HOST}${path}`,
      headers: { Authorization: "Bearer t", Cookie: "c=1", "X-Own": "y" },
    });
  expect(await get("/private")).toMatchObject({ error_type: "blocked", redirect_hops: 1 });
  expect(await get("/metadata")).toMatchObject({ error_type: "grant_denied" });
  expect(await get("/ungranted")).toMatchObject({ error_type: "grant_denied", status_code: 0 });
  expect(await get("/userinfo")).toMatchObject({ error_type: "validation_error" });
  expect(await get("/scheme")).toMatchObject({ error_type: "validation_error" });
  expect(await get("/loop")).toMatchObject({ error_type: "too_many_redirects", redirect_hops: 3 });
  expect(await get("/down", "https")).toMatchObject({ error_type: "blocked" });
  seen.length = 0;
  expect(await get("/other")).toMatchObject({ success: true, redirect_hops: 1, final_url: "http://b.rumi.example/end", body: "end" });
  expect(seen[1]).toEqual({ host: "b.rumi.example", authorization: undefined, cookie: undefined, own: "y" });
  seen.length = 0;
  expect(await get("/same")).toMatchObject({ success: true });
  expect(seen[1]).toMatchObject({ host: HOST, authorization: "Bearer t", cookie: "c=1" });
});

test("X62 a POST that is redirected is answered with the redirect", async () => {
  await using egress = await open();
  await egress.net.http(80, (_request, response) => response.writeHead(302, { location: "/x" }).end());
  expect(await egress.ask({ method: "POST", url: `http://${HOST}/`, body: "x" })).toMatchObject({
    success: true,
    status_code: 302,
    headers: { location: "/x" },
    redirect_hops: 0,
  });
});

test.each([
  ["Host", "evil.example"],
  ["content-length", "0"],
  ["Transfer-Encoding", "chunked"],
  ["Connection", "close"],
  ["TE", "trailers"],
  ["Trailer", "x"],
  ["Upgrade", "h2c"],
  ["Expect", "100-continue"],
  ["Accept-Encoding", "zstd"],
  ["Proxy-Authorization", "x"],
  ["X-A", "a\r\nHost: evil"],
  ["X-A", "a\nb"],
  ["X-A", "a\0b"],
  ["X-A", "日"],
  ["X-A", "x".repeat(8193)],
  ["X A", "x"],
  ["X\r\nHost", "x"],
  ["", "x"],
  ["x".repeat(257), "x"],
])("X63 the header %j: %j is refused before anything is asked", async (name, value) => {
  await using egress = await open();
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/`, headers: { [name]: value } })).toMatchObject({
    error_type: "validation_error",
  });
  expect(egress.net.looked).toEqual([]);
});

test("X63 a hundred headers pass, one more does not", async () => {
  await using egress = await open();
  await egress.net.http(80, (_request, response) => response.end("x"));
  const headers = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`x-${n}`, "v"]));
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/`, headers })).toMatchObject({ success: true });
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/`, headers: { ...headers, y: "v" } })).toMatchObject({
    error_type: "validation_error",
  });
});

test("X64 a grant for one host and port: another port and a subdomain no, a trailing dot yes", async () => {
  await using egress = await open({ domains: [HOST], ports: [443] });
  await egress.net.https(443, (request, response) => response.end(request.headers.host));
  egress.net.names.set(`x.${HOST}`, [OUTSIDE]);
  const get = (url: string) => egress.ask({ method: "GET", url });
  expect(await get(`https://${HOST}:8443/`)).toMatchObject({ error: "Network access denied: Port not in allowed list" });
  expect(await get(`https://x.${HOST}/`)).toMatchObject({ error: "Network access denied: Domain not in allowed list" });
  expect(await get(`https://${HOST.toUpperCase()}./`)).toMatchObject({ success: true, body: HOST });
});

test("X65 a bomb in any coding ends at the limit", async () => {
  await using egress = await open(ANYWHERE, { maxResponseBytes: 100_000 });
  const zeros = Buffer.alloc(20_000_000);
  const bodies: Record<string, [string, Buffer]> = {
    "/one": ["gzip", gzipSync(zeros)],
    "/two": ["gzip, gzip", gzipSync(gzipSync(zeros))],
    "/plain": ["identity", Buffer.alloc(100_001)],
    "/fits": ["gzip", gzipSync(Buffer.alloc(100_000))],
  };
  await egress.net.http(80, (request, response) => {
    const [encoding, body] = bodies[request.url ?? ""] ?? ["identity", Buffer.alloc(0)];
    response.setHeader("Content-Encoding", encoding);
    response.write(body.subarray(0, 10));
    response.end(body.subarray(10));
  });
  for (const path of ["/one", "/two", "/plain"]) {
    expect(await egress.ask({ method: "GET", url: `http://${HOST}${path}` })).toMatchObject({
      success: false,
      error_type: "response_too_large",
      body: "",
    });
  }
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/fits` })).toMatchObject({ success: true, bytes_read: 100_000 });
});

test("X66 a body that is cut short is an error, whatever its framing", async () => {
  await using egress = await open();
  const gzip = gzipSync(Buffer.from("hello ".repeat(100)));
  const answers: Record<string, (string | Buffer)[]> = {
    "/length": ["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"],
    "/chunked": ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"],
    "/gzip": [
      `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${gzip.length - 20}\r\n\r\n`,
      gzip.subarray(0, gzip.length - 20),
    ],
    "/junk": ["HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\njunk"],
    "/head": ["HTTP/1.1 200 OK\r\nContent-Le"],
    "/nothing": [""],
    "/garbage": ["SSH-2.0-x\r\n\r\n"],
    "/both": ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nhello"],
  };
  await egress.net.raw(80, (socket) => {
    socket.once("data", (chunk: Buffer) => {
      for (const part of answers[/GET (\S+)/u.exec(chunk.toString())?.[1] ?? ""] ?? []) socket.write(part);
      socket.end();
    });
  });
  for (const path of Object.keys(answers)) {
    expect(await egress.ask({ method: "GET", url: `http://${HOST}${path}` }), path).toMatchObject({
      success: false,
      error_type: "connection_lost",
    });
  }
});

test("an answer with too many headers, or too long ones, is refused", async () => {
  await using egress = await open();
  await egress.net.raw(80, (socket) => {
    socket.once("data", (chunk: Buffer) => {
      const many = /GET \/many/u.test(chunk.toString());
      const lines = many ? Array.from({ length: 201 }, (_, n) => `x-${n}: v`) : [`x: ${"v".repeat(70_000)}`];
      socket.end(`HTTP/1.1 200 OK\r\n${lines.join("\r\n")}\r\ncontent-length: 0\r\n\r\n`);
    });
  });
  for (const path of ["/many", "/long"]) {
    expect(await egress.ask({ method: "GET", url: `http://${HOST}${path}` }), path).toMatchObject({ error_type: "response_too_large" });
  }
});

test("X67 the timeout bounds a slow drip, over every hop", async () => {
  await using egress = await open();
  await egress.net.http(80, (request, response) => {
    if (request.url === "/hop") return void setTimeout(() => response.writeHead(302, { location: "/drip" }).end(), 200);
    const timer = setInterval(() => response.write("x"), 50);
    response.once("close", () => clearInterval(timer));
  });
  for (const path of ["/drip", "/hop"]) {
    expect(await egress.ask({ method: "GET", url: `http://${HOST}${path}`, timeout_seconds: 0.5 })).toMatchObject({
      success: false,
      error_type: "timeout",
    });
  }
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/drip`, timeout_seconds: 0 })).toMatchObject({
    error_type: "validation_error",
  });
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/drip`, timeout_seconds: 121 })).toMatchObject({
    error_type: "validation_error",
  });
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/drip`, connect_timeout_seconds: 61 })).toMatchObject({
    error_type: "validation_error",
  });
});

test("X68 the 61st request of a minute is refused, and other principals are not touched", async () => {
  await using egress = await open({ ...ANYWHERE, perMinute: 60 });
  egress.policy.grant("other", ANYWHERE);
  await egress.net.http(80, (_request, response) => response.end("x"));
  for (let n = 0; n < 60; n++) expect(await egress.ask({ method: "GET", url: `http://${HOST}/` })).toMatchObject({ success: true });
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/` })).toMatchObject({ success: false, error_type: "rate_limited" });
});

test("twenty requests at once, the next is told to wait", async () => {
  await using egress = await open();
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  await egress.net.http(80, (_request, response) => void held.then(() => response.end("x")));
  const asked = Array.from({ length: 20 }, () => egress.ask({ method: "GET", url: `http://${HOST}/` }));
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/` })).toMatchObject({ error_type: "busy" });
  release();
  for (const answer of await Promise.all(asked)) expect(answer.success).toBe(true);
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/` })).toMatchObject({ success: true });
});

test("X69 X89 allow_private opens that pair only, by name or by address, and never what is ours or link-local", async () => {
  await using egress = await open({
    ...ANYWHERE,
    allowPrivate: ["127.0.0.1:11434", "box.lan:80", "127.0.0.1:8765", "169.254.169.254:80", "[::1]:11434", "meta.lan:80", "224.0.0.1:80"],
  });
  egress.own.push({ host: "127.0.0.1", port: 8765 });
  await egress.net.http(null, (_request, response) => response.end("inside"));
  egress.net.names.set("box.lan", ["10.1.2.3"]);
  egress.net.names.set("other.lan", ["10.1.2.3"]);
  egress.net.names.set("model.lan", ["127.0.0.1"]);
  egress.net.names.set("meta.lan", ["169.254.169.254"]);
  egress.net.names.set("self.lan", ["127.0.0.1"]);
  const get = async (url: string): Promise<string | null> => {
    const answer = await egress.ask({ method: "GET", url });
    return answer.success ? "inside" : answer.error_type;
  };
  expect(await get("http://127.0.0.1:11434/")).toBe("inside");
  expect(await get("http://[::1]:11434/")).toBe("inside");
  expect(await get("http://model.lan:11434/")).toBe("inside");
  expect(await get("http://box.lan/")).toBe("inside");
  expect(await get("http://2130706433:11434/")).toBe("inside");
  for (const url of [
    "http://127.0.0.1:11435/",
    "http://127.0.0.2:11434/",
    "http://other.lan/",
    "http://box.lan:81/",
    "http://10.1.2.3/",
    "http://[::ffff:127.0.0.1]:11434/",
    "http://127.0.0.1:8765/",
    "http://self.lan:8765/",
    "http://[::1]:8765/",
    "http://169.254.169.254/",
    "http://meta.lan/",
    "http://224.0.0.1/",
  ]) {
    expect(await get(url), url).toBe("blocked");
  }
});

test("what is ours is refused even where its address is global", async () => {
  await using egress = await open();
  egress.own.push({ host: OUTSIDE, port: 8765 });
  await egress.net.http(null, (_request, response) => response.end("x"));
  expect(await egress.ask({ method: "GET", url: `http://${HOST}:8765/` })).toMatchObject({ error_type: "blocked" });
  expect(await egress.ask({ method: "GET", url: `http://${HOST}:8766/` })).toMatchObject({ success: true });
});

test("X71 X93 one entry a request, without query or value; a denial also in security", async () => {
  await using egress = await open({ domains: [HOST], ports: [80] });
  await egress.net.http(80, (_request, response) => response.writeHead(404).end("no"));
  await egress.ask({ method: "GET", url: `http://${HOST}/path?token=t0psecret`, headers: { Authorization: "Bearer t0psecret" } });
  expect(egress.audit.events).toHaveLength(1);
  expect(egress.audit.events[0]).toMatchObject({
    category: "network",
    action: "network_request",
    success: true,
    owner_pack: "my_pack",
    step_id: "step",
    execution_mode: "container",
    details: {
      method: "GET",
      scheme: "http",
      host: HOST,
      port: 80,
      path: "/path",
      decision: "allowed",
      class: "global",
      address: OUTSIDE,
      hops: 0,
      status: 404,
      bytes_read: 2,
    },
  });
  await egress.ask({ method: "GET", url: "http://evil.example/" });
  expect(egress.audit.events.slice(1).map(({ category, action, success }) => [category, action, success])).toEqual([
    ["network", "network_request", false],
    ["security", "network_denied", false],
  ]);
  expect(egress.audit.events[2]).toMatchObject({
    error_type: "grant_denied",
    rejection_reason: "Domain not in allowed list",
    details: { rule: 6 },
  });
  await egress.ask({ method: "GET", url: "http://%zz/" });
  expect(JSON.stringify(egress.audit.events)).not.toContain("t0psecret");
});

test("X76 the manifest's own no beats the grant, and a report changes nothing about it", async () => {
  await using egress = await open({ ...ANYWHERE, deny: ["*.rumi.example"] });
  egress.reports.start(egress.owner.principal, 60);
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/` })).toMatchObject({ error_type: "grant_denied" });
  expect(egress.net.looked).toEqual([]);
});

test("X90 F93 idempotent sends the call's key, unless there is one; nothing else does", async () => {
  await using egress = await open();
  await egress.net.http(80, (request, response) => response.end(String(request.headers["idempotency-key"] ?? "none")));
  const post = async (more: Record<string, never> | Record<string, string | boolean | Record<string, string>>) =>
    (await egress.ask({ method: "POST", url: `http://${HOST}/`, ...more })).body;
  expect(await post({ idempotent: true })).toBe("run:call");
  expect(await post({ idempotent: true })).toBe("run:call");
  expect(await post({ idempotent: true, headers: { "idempotency-key": "own" } })).toBe("own");
  expect(await post({})).toBe("none");
  egress.owner.begin("second");
  expect(await post({ idempotent: true, call_id: "second" })).toBe("run:second");
  expect(await post({ idempotent: true, call_id: "forged" })).toBe("run:call");
});

test("X75 a report lets global hosts on 80 and 443 pass, marked; nothing private, nothing brokered; it ends in time", async () => {
  await using egress = await open(null);
  egress.secrets.bind(HOST, "KEY", "v".repeat(20));
  egress.net.names.set("inside.example", ["10.0.0.1"]);
  egress.net.names.set("plain.rumi.example", [OUTSIDE]);
  await egress.net.http(null, (_request, response) => response.end("x"));
  const { principal } = egress.owner;
  const get = (url: string, headers = {}) => egress.ask({ method: "GET", url, headers });
  expect(await get("http://plain.rumi.example/")).toMatchObject({ error_type: "grant_denied" });
  expect(egress.reports.start(principal, 3600)).not.toBeNull();
  expect(() => egress.reports.start(principal, 3601)).toThrow(expect.objectContaining({ code: "egress.report_too_long" }));
  expect(await get("http://plain.rumi.example/")).toMatchObject({ success: true });
  expect(egress.audit.events.at(-1)).toMatchObject({ details: { would_deny: "No network grant for this pack" } });
  expect(await get("http://plain.rumi.example:8080/")).toMatchObject({ error_type: "grant_denied" });
  expect(await get("http://inside.example/")).toMatchObject({ error_type: "blocked" });
  expect(await get("http://127.0.0.1/")).toMatchObject({ error_type: "blocked" });
  expect(await get(`http://${HOST}/`, { a: "{{secret:KEY}}" })).toMatchObject({ error_type: "grant_denied" });
  expect(egress.reports.proposed(principal)).toEqual({ allowed_domains: ["plain.rumi.example"], allowed_ports: [80, 8080] });
  expect(egress.reports.observed(principal)[0]).toMatchObject({
    domain: expect.any(String),
    count: expect.any(Number),
    would_allow: false,
  });
  expect(egress.reports.start(principal, 0)).toBeNull();
  expect(await get("http://plain.rumi.example/")).toMatchObject({ error_type: "grant_denied" });
});

test("a check asks nobody outside and uses no place", async () => {
  await using egress = await open({ domains: ["*.rumi.example"], ports: [443], methods: ["POST"] });
  const frames = new TestFrames(await egress.dial());
  expect(await frames.ask({ type: "check", domain: "API.rumi.example.", port: 443 })).toEqual({
    allowed: true,
    reason: "Access granted",
    pack_id: "my_pack",
    domain: HOST,
    port: 443,
  });
  expect(await frames.ask({ type: "check", domain: "evil.example", port: 443 })).toMatchObject({
    allowed: false,
    reason: "Domain not in allowed list",
  });
  expect(await frames.ask({ type: "check", domain: HOST, port: 80 })).toMatchObject({ allowed: false, reason: "Port not in allowed list" });
  expect(egress.net.looked).toEqual([]);
});

test("a request ends with its connection and with its instance, upstream too", async () => {
  await using egress = await open();
  const closed: Promise<unknown>[] = [];
  let arrived = (): void => undefined;
  await egress.net.http(80, (_request, response) => {
    closed.push(once(response, "close"));
    arrived();
  });
  for (const how of ["connection", "instance"]) {
    const socket = await egress.dial();
    const there = new Promise<void>((resolve) => (arrived = resolve));
    void new TestFrames(socket).ask({ method: "GET", url: `http://${HOST}/` });
    await there;
    if (how === "connection") socket.destroy();
    else egress.owner.remove();
    await closed.at(-1);
  }
  expect(closed).toHaveLength(2);
});
