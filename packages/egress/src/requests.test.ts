import { Buffer } from "node:buffer";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import { openTestEgress, TRUSTED_CERTIFICATE, UNTRUSTED_CERTIFICATE } from "./testing/index.ts";
import type { TestEgress } from "./testing/index.ts";

beforeAll(() => setDefaultCACertificates([...getCACertificates("bundled"), TRUSTED_CERTIFICATE.cert]));

const HOST = "api.rumi.example";
const OUTSIDE = "93.184.216.34";

/** A proxy with one name, granted everywhere, and a server that says what it was asked. */
async function open(options: Parameters<typeof openTestEgress>[0] = {}): Promise<TestEgress> {
  const egress = await openTestEgress(options);
  egress.policy.grant("my_pack", { domains: ["*"], ports: "*" });
  egress.net.names.set(HOST, [OUTSIDE]);
  return egress;
}

test("a request over TLS reaches the checked address with the URL's name, and its answer comes whole", async () => {
  await using egress = await open();
  await egress.net.https(443, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      response.setHeader("X-A", ["1", "2"]);
      response.end(
        JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() }),
      );
    });
  });
  const answer = await egress.ask({ method: "POST", url: `https://${HOST}/a/b?q=1#f`, headers: { "X-Own": "y" }, body: "hellö" });
  expect(answer).toMatchObject({
    success: true,
    status_code: 200,
    error: null,
    error_type: null,
    redirect_hops: 0,
    final_url: `https://${HOST}/a/b?q=1`,
    headers: { "x-a": "1, 2" },
  });
  expect(JSON.parse(answer.body)).toMatchObject({
    method: "POST",
    url: "/a/b?q=1",
    headers: { host: HOST, "x-own": "y", "content-length": "6", "accept-encoding": "gzip, deflate, br" },
    body: "hellö",
  });
  expect(egress.net.dialled).toEqual([`${OUTSIDE} 443`]);
  expect(Object.keys(answer).sort()).toEqual(
    ["success", "status_code", "headers", "body", "error", "error_type", "latency_ms", "redirect_hops", "bytes_read", "final_url"].sort(),
  );
});

test("a certificate that nobody vouches for, and one for another name, are refused", async () => {
  await using egress = await open();
  egress.net.names.set("other.example", [OUTSIDE]);
  await egress.net.https(443, (_request, response) => response.end("x"), UNTRUSTED_CERTIFICATE);
  await egress.net.https(8443, (_request, response) => response.end("x"));
  expect(await egress.ask({ method: "GET", url: `https://${HOST}/` })).toMatchObject({ success: false, error_type: "ssl_error" });
  expect(await egress.ask({ method: "GET", url: "https://other.example:8443/" })).toMatchObject({
    success: false,
    error_type: "ssl_error",
  });
  expect(await egress.ask({ method: "GET", url: `https://${HOST}:8443/` })).toMatchObject({ success: true });
});

test("a connection serves the next request of the same principal to the same origin and address", async () => {
  await using egress = await open();
  let connections = 0;
  await egress.net.http(80, (request, response) => {
    request.socket.on("close", () => undefined);
    response.end("x");
  });
  for (let n = 0; n < 3; n++) {
    expect(await egress.ask({ method: "GET", url: `http://${HOST}/` })).toMatchObject({ success: true });
    await new Promise((resolve) => setTimeout(resolve, 5));
    connections = egress.net.dialled.length;
  }
  expect(connections).toBe(1);
  expect(egress.net.looked).toEqual([HOST, HOST, HOST]);
});

test("bodies are decoded, and named when they are no text", async () => {
  await using egress = await open();
  const plain = Buffer.from("plain ".repeat(1000));
  const bodies: Record<string, [string, Buffer]> = {
    "/gzip": ["gzip", gzipSync(plain)],
    "/deflate": ["deflate", deflateSync(plain)],
    "/raw": ["deflate", deflateRawSync(plain)],
    "/br": ["br", brotliCompressSync(plain)],
    "/both": ["gzip, br", brotliCompressSync(gzipSync(plain))],
  };
  await egress.net.http(80, (request, response) => {
    const [encoding, body] = bodies[request.url ?? ""] ?? ["identity", Buffer.from([0xff, 0xfe, 0])];
    response.setHeader("Content-Encoding", encoding);
    response.end(request.method === "HEAD" ? undefined : body);
  });
  for (const path of Object.keys(bodies)) {
    const answer = await egress.ask({ method: "GET", url: `http://${HOST}${path}` });
    expect(answer, path).toMatchObject({ success: true, body: plain.toString(), bytes_read: plain.length });
    expect(answer.headers["content-encoding"], path).toBeUndefined();
    expect(await egress.ask({ method: "HEAD", url: `http://${HOST}${path}` })).toMatchObject({ success: true, body: "" });
  }
  expect(await egress.ask({ method: "GET", url: `http://${HOST}/bytes` })).toMatchObject({
    body: Buffer.from([0xff, 0xfe, 0]).toString("base64"),
    headers: { "x-proxy-body-encoding": "base64" },
  });
});
