import { Buffer } from "node:buffer";
import type { JsonObject } from "@rumi/core";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import { openTestEgress, TestFrames, TRUSTED_CERTIFICATE } from "./testing/index.ts";
import type { TestEgress } from "./testing/index.ts";

beforeAll(() => setDefaultCACertificates([...getCACertificates("bundled"), TRUSTED_CERTIFICATE.cert]));

const HOST = "api.rumi.example";
const OUTSIDE = "93.184.216.34";
const VALUE = "s3cr3t-value-0123456789";

/** A host that holds a binding and sends everything back it is told to. */
async function open(): Promise<TestEgress> {
  const egress = await openTestEgress();
  egress.policy.grant("my_pack", { domains: ["*"], ports: "*" });
  egress.net.every = [OUTSIDE];
  egress.secrets.bind(HOST, "KEY", VALUE);
  await egress.net.https(443, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const told = `${request.url} ${JSON.stringify(request.headers)} ${Buffer.concat(chunks).toString()}`;
      const secret = String(request.headers["x-key"] ?? "");
      const path = (request.url ?? "").split("?")[0];
      if (path === "/gzip") return response.setHeader("content-encoding", "gzip").end(gzipSync(told));
      if (path === "/br") return response.setHeader("content-encoding", "br").end(brotliCompressSync(told));
      if (path === "/zstd") return response.setHeader("content-encoding", "zstd").end(told);
      if (path === "/base64") return response.end(Buffer.from(secret).toString("base64"));
      if (path === "/hex") return response.end(Buffer.from(secret).toString("hex"));
      if (path === "/header") return response.writeHead(200, { "X-Back": secret, [`X-${secret}`]: "1" }).end();
      if (path === "/same") return response.writeHead(302, { location: `/echo?back=${secret}&again={{secret:KEY}}` }).end();
      if (path === "/long") return response.writeHead(302, { location: `/echo/${"x".repeat(240)}${secret}` }).end();
      if (path === "/stored") return response.writeHead(302, { location: `https://b.rumi.example/?back=${VALUE}` }).end();
      if (path === "/cut") return response.writeHead(200, { "content-length": 1000 }).write(VALUE, () => response.destroy());
      if (path === "/cross") return response.writeHead(302, { location: `https://b.rumi.example/?back=${secret}` }).end();
      if (path !== "/split") return response.end(told);
      for (const one of told) response.write(one);
      response.end();
    });
  });
  return egress;
}

test("X70 the server gets the value, and no byte of it comes back, in any form, header or piece", async () => {
  await using egress = await open();
  for (const path of ["/echo", "/gzip", "/br", "/base64", "/hex", "/header", "/split", "/same"]) {
    const answer = await egress.ask({ method: "GET", url: `https://${HOST}${path}`, headers: { "X-Key": "{{secret:KEY}}" } });
    expect(answer.success, path).toBe(true);
    const seen = JSON.stringify(answer);
    for (const form of [VALUE, Buffer.from(VALUE).toString("base64"), Buffer.from(VALUE).toString("hex")])
      expect(seen, path).not.toContain(form);
    if (path !== "/header") expect(seen, path).toContain("[REDACTED]");
  }
  const sent = await egress.ask({ method: "POST", url: `https://${HOST}/echo?k={{secret:KEY}}`, body: "b={{secret:KEY}}" });
  expect(sent.body.match(/\[REDACTED\]/gu)).toHaveLength(2);
  expect(JSON.stringify(egress.audit.events)).not.toContain(VALUE);
  expect(egress.audit.events.at(-1)).toMatchObject({ details: { secret_keys: ["KEY", "KEY"] } });
});

test("X70 streamed answers are scrubbed over their pieces", async () => {
  await using egress = await open();
  const frames = new TestFrames(await egress.dial());
  let frame = await frames.ask({ method: "GET", url: `https://${HOST}/split`, headers: { "X-Key": "{{secret:KEY}}" }, stream: true });
  const all: JsonObject[] = [];
  for (; frame !== null && frame["type"] !== "end"; frame = await frames.next()) all.push(frame);
  expect(frame).toMatchObject({ success: true });
  const body = Buffer.concat(all.slice(1).map((one) => Buffer.from(one["body_base64"] as string, "base64"))).toString();
  expect(all[0]).toMatchObject({ type: "head", status_code: 200 });
  expect(body).toContain("[REDACTED]");
  expect(body).not.toContain(VALUE);
});

test("X70 what came to that host once is searched for in every later answer, brokered or not", async () => {
  await using egress = await open();
  const answer = await egress.ask({ method: "GET", url: `https://${HOST}/echo`, headers: { "X-Key": VALUE } });
  expect(answer.body).toContain("[REDACTED]");
  expect(answer.body).not.toContain(VALUE);
});

test("X70 other hosts, plain http, Range and codings that cannot be undone get nothing, and no name is looked up", async () => {
  await using egress = await open();
  const ask = (url: string, headers: Record<string, string> = {}) =>
    egress.ask({ method: "GET", url, headers: { "X-Key": "{{secret:KEY}}", ...headers } });
  for (const answer of [await ask("https://b.rumi.example/"), await ask(`http://${HOST}/`)]) {
    expect(answer).toMatchObject({ success: false, error_type: "secret_denied", error: "Access denied or secret not found" });
  }
  expect(await ask(`https://${HOST}/`, { Range: "bytes=0-3" })).toMatchObject({ error_type: "secret_denied" });
  expect(await egress.ask({ method: "GET", url: `https://${HOST}/`, headers: { range: "bytes=0-3" } })).toMatchObject({
    error_type: "secret_denied",
  });
  expect(egress.net.looked).toEqual([]);
  const withheld = await ask(`https://${HOST}/zstd`);
  expect(withheld).toMatchObject({ success: false, error_type: "blocked", body: "" });
  expect(JSON.stringify(withheld)).not.toContain(VALUE);
});

test("a brokered request that is redirected to another origin is answered with the redirect, nothing sent there", async () => {
  await using egress = await open();
  const answer = await egress.ask({ method: "GET", url: `https://${HOST}/cross`, headers: { "X-Key": "{{secret:KEY}}" } });
  expect(answer).toMatchObject({ success: true, status_code: 302, headers: { location: "https://b.rumi.example/?back=[REDACTED]" } });
  expect(egress.net.looked).toEqual([HOST]);
});

test("a redirect's own text is never filled", async () => {
  await using egress = await open();
  const answer = await egress.ask({ method: "GET", url: `https://${HOST}/same`, headers: { "X-Key": "{{secret:KEY}}" } });
  expect(answer).toMatchObject({ success: true, redirect_hops: 1 });
  expect(answer.body).toContain("again={{secret:KEY}}");
  expect(answer.final_url).toContain("back=[REDACTED]");
});

test("X70 what a host kept of a secret does not reach another one by a redirect of a later request without it", async () => {
  await using egress = await open();
  const answer = await egress.ask({ method: "GET", url: `https://${HOST}/stored` });
  expect(answer).toMatchObject({ success: true, status_code: 302, headers: { location: "https://b.rumi.example/?back=[REDACTED]" } });
  expect(JSON.stringify(answer)).not.toContain(VALUE);
  expect(egress.net.looked).toEqual([HOST]);
});

test("T67 the search of an answer that is cut ends too: what it ended with counts", async () => {
  await using egress = await open();
  expect(await egress.ask({ method: "GET", url: `https://${HOST}/cut` })).toMatchObject({ success: false, error_type: "connection_lost" });
  expect(egress.secrets.ended).toBe(1);
});

test("X71 a redirect's path is kept without any part of the secret", async () => {
  await using egress = await open();
  await egress.ask({ method: "GET", url: `https://${HOST}/long`, headers: { "X-Key": "{{secret:KEY}}" } });
  expect(JSON.stringify(egress.audit.events)).not.toContain(VALUE.slice(0, 8));
});

test("X70 a host that got a secret is searched, and has no tunnel, by its address too, in each form", async () => {
  await using egress = await open();
  await egress.net.https(443, (_request, response) => response.end(`kept: ${VALUE}`));
  await egress.ask({ method: "GET", url: `https://${HOST}/echo`, headers: { "X-Key": "{{secret:KEY}}" } });
  for (const address of [OUTSIDE, "0x5db8d822", `[::ffff:${OUTSIDE}]`]) {
    const answer = await egress.ask({ method: "GET", url: `https://${address}/` });
    expect(JSON.stringify(answer), address).not.toContain(VALUE);
    if (answer.success) expect(answer.body).toContain("[REDACTED]");
    const tunnel = await new TestFrames(await egress.dial()).ask({ type: "tunnel", host: address, port: 443 });
    expect(tunnel, address).toMatchObject({ success: false, error_type: "grant_denied" });
  }
});
