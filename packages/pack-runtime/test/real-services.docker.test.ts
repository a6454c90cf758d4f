import { CapabilityBroker } from "@rumi/capability";
import { fakeCapability, fakeSource, openTestGrants } from "@rumi/capability/testing";
import { openTestEgress, TRUSTED_CERTIFICATE } from "@rumi/egress/testing";
import type { TestEgress } from "@rumi/egress/testing";
import { systemClock } from "@rumi/core";
import type { JsonObject, JsonValue } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import type { Runtime } from "@rumi/sandbox";
import { temporaryFolder } from "@rumi/testkit";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { sandboxed } from "./sandboxed.ts";
import type { Sandboxed } from "./sandboxed.ts";

/** Ordinary code over ordinary libraries, in both languages; and the same through what the runner offers. */
const FILES: Readonly<Record<string, string>> = {
  "library.py": [
    "import ssl, urllib.request, urllib.error",
    "def run(i, context):",
    "    trust = ssl.create_default_context(cadata=i['trust'])",
    "    out = []",
    "    for url in i['urls']:",
    "        try:",
    "            got = urllib.request.urlopen(urllib.request.Request(url, headers={'X-Own': 'a'}), timeout=10, context=trust)",
    "            out.append([got.status, got.read().decode()])",
    "        except urllib.error.HTTPError as error:",
    "            out.append(error.code)",
    "        except OSError as error:",
    "            out.append(str(error))",
    "    return out",
  ].join("\n"),
  "library.mjs": [
    "import { setDefaultCACertificates } from 'node:tls';",
    "export async function run({ urls, trust }) {",
    "  setDefaultCACertificates([trust]);",
    "  const out = [];",
    "  for (const url of urls) {",
    "    try { const got = await fetch(url, { headers: { 'X-Own': 'a' } }); out.push(got.ok ? [got.status, await got.text()] : got.status); }",
    "    catch (error) { let told = ''; for (let at = error; at; at = at.cause) told += `${at.message} `; out.push(told); }",
    "  }",
    "  return out;",
    "}",
  ].join("\n"),
  "pooled.py": [
    "import http.client, ssl",
    "def run(i):",
    "    connection = http.client.HTTPSConnection('127.0.0.1', 3128, timeout=10, context=ssl.create_default_context(cadata=i['trust']))",
    "    connection.set_tunnel(i['host'])",
    "    out = []",
    "    for n in range(5):",
    "        connection.request('GET', f'/{n}')",
    "        out.append(connection.getresponse().read().decode())",
    "    return out",
  ].join("\n"),
  "asked.py": [
    "import rumi_syscall",
    "def run(i, context):",
    "    out = [rumi_syscall.get(i['url'], idempotent=True), rumi_syscall.get(i['url']), context['http_request']('POST', i['url'], {'X-Own': 'a'}, 'body')]",
    "    return [out, context['network_check']('api.rumi.example', 443), context['network_check']('other.example', 443)]",
  ].join("\n"),
  "asked.mjs": [
    'import { get, networkCheck } from "@rumi/pack-sdk";',
    "export const run = async ({ url }, context) => [[await get(url, { idempotent: true }), await get(url), await context.http_request('POST', url, { 'X-Own': 'a' }, 'body')], await networkCheck('api.rumi.example', 443), await context.network_check('other.example', 443)];",
  ].join("\n"),
  "stream.mjs": [
    'import { stream } from "@rumi/pack-sdk";',
    "export async function run({ url }) { const kinds = []; let bytes = 0; let end = null; for await (const piece of stream('GET', url)) { kinds.push(piece.type); if (piece.type === 'chunk') bytes += piece.bytes.length; if (piece.type === 'end') end = piece; } return { first: kinds[0], last: kinds.at(-1), chunks: kinds.length - 2, bytes, end }; }",
  ].join("\n"),
  "hold.py": [
    "import socket, time",
    "def run(i):",
    "    s = socket.create_connection(('127.0.0.1', 3128))",
    "    s.sendall(b'CONNECT api.rumi.example:443 HTTP/1.1\\r\\nHost: api.rumi.example:443\\r\\n\\r\\n')",
    "    got = s.recv(100)",
    "    time.sleep(i['seconds'])",
    "    return got.decode()",
  ].join("\n"),
  "loop.mjs":
    "export async function run({ url, times }) { let failed = 0; for (let n = 0; n < times; n += 1) await fetch(url).then((got) => { failed += got.ok ? 0 : 1; }, () => { failed += 1; }); return failed; }\n",
  "claim.py":
    "import rumi_runner.gateway as g\ndef run(i):\n    return [g.ask('RUMI_CAPABILITY_SOCKET', dict(m), 10) for m in i['messages']]\n",
};

const named = (name: string, runtime: Runtime): string => `${name}.${runtime === "python" ? "py" : "mjs"}`;
const trust = TRUSTED_CERTIFICATE.cert;

describe("the real egress proxy, from inside a real container", () => {
  let egress: TestEgress;
  let place: Sandboxed;

  beforeEach(async () => {
    egress = await openTestEgress({ requestsPerMinute: 10_000 });
    egress.net.every = ["93.184.216.34"];
    const answer = (request: { method?: string | undefined; url?: string | undefined; headers: NodeJS.Dict<string | string[]> }): string =>
      JSON.stringify({
        method: request.method,
        url: request.url,
        host: request.headers["host"],
        key: request.headers["idempotency-key"] ?? null,
      });
    await egress.net.https(443, (request, response) => response.end(answer(request)));
    await egress.net.http(80, (request, response) => {
      if (request.url !== "/large") response.end(answer(request));
      else response.end(Buffer.alloc(3 * 1024 * 1024, 120));
    });
    egress.policy.grant("alpha", { domains: ["api.rumi.example"], ports: [80, 443] });
    place = await sandboxed({ adapter: "docker", files: FILES, egress: egress.proxy, proxied: ["alpha"] });
  });

  afterEach(async () => {
    await place[Symbol.asyncDispose]();
    await egress[Symbol.asyncDispose]();
  });

  test.each(["python", "node"] as const)(
    "X72 X81 X82 %s: http and https pass through the proxy, others are refused and heard",
    async (runtime) => {
      const alpha = place.seed("alpha", runtime);
      const urls = [
        "http://api.rumi.example/a?b=c",
        "https://api.rumi.example/d",
        "http://other.example/",
        "https://other.example/",
        "http://169.254.169.254/",
      ];
      const [plain, secure, ...refused] = (await place.value(alpha, named("library", runtime), { urls, trust })) as JsonValue[];
      expect(plain).toEqual([200, JSON.stringify({ method: "GET", url: "/a?b=c", host: "api.rumi.example", key: null })]);
      expect(secure).toEqual([200, JSON.stringify({ method: "GET", url: "/d", host: "api.rumi.example", key: null })]);
      for (const told of refused) expect(JSON.stringify(told)).toMatch(/403/u);
      const entries = egress.audit.events.filter(({ action }) => action === "network_request");
      // Node opens a tunnel for plain requests too: it is told of beside each request in it.
      expect(entries.filter(({ success }) => success).length).toBeGreaterThanOrEqual(2);
      expect(entries[0]?.details).toMatchObject({ host: "api.rumi.example", port: 80 });
    },
  );

  test("X82 a client that tries again and again gets its 403 each time, and no more than it asked", async () => {
    const alpha = place.seed("alpha", "node");
    expect(await place.value(alpha, "loop.mjs", { url: "https://other.example/", times: 30 })).toBe(30);
    expect(egress.audit.events.filter(({ action }) => action === "network_request")).toHaveLength(30);
  });

  test("a library that keeps its tunnel asks many times through it", async () => {
    const got = (await place.value(place.seed("alpha", "python"), "pooled.py", { host: "api.rumi.example", trust })) as string[];
    expect(got.map((text) => (JSON.parse(text) as JsonObject)["url"])).toEqual(["/0", "/1", "/2", "/3", "/4"]);
  });

  test.each(["python", "node"] as const)(
    "X90 %s: what the runner offers: every key, the idempotency key only where wished, checks",
    async (runtime) => {
      const url = "http://api.rumi.example/x";
      const [answers, yes, no] = (await place.value(place.seed("alpha", runtime), named("asked", runtime), { url })) as unknown as [
        JsonObject[],
        JsonObject,
        JsonObject,
      ];
      const keys = answers.map(({ body }) => (JSON.parse(body as string) as JsonObject)["key"]);
      expect(keys).toEqual([`key-${named("asked", runtime)}`, null, null]);
      for (const answer of answers) {
        expect(answer).toMatchObject({ success: true, status_code: 200, error: null, error_type: null, redirect_hops: 0, final_url: url });
        expect(Object.keys(answer).sort()).toEqual([
          "body",
          "bytes_read",
          "error",
          "error_type",
          "final_url",
          "headers",
          "latency_ms",
          "redirect_hops",
          "status_code",
          "success",
        ]);
      }
      expect([yes["allowed"], no["allowed"]]).toEqual([true, false]);
      const other = (await place.value(place.seed("beta", runtime), named("asked", runtime), { url })) as unknown as [JsonObject[]];
      for (const answer of other[0]) expect(answer).toMatchObject({ success: false, error_type: "grant_denied" });
    },
  );

  test("an answer is read as it comes, whole or refused", async () => {
    const alpha = place.seed("alpha", "node");
    expect(await place.value(alpha, "stream.mjs", { url: "http://api.rumi.example/large" })).toMatchObject({
      first: "head",
      last: "end",
      bytes: 3 * 1024 * 1024,
      end: { success: true, status_code: 200, bytes_read: 3 * 1024 * 1024, body: "" },
    });
    expect(await place.value(alpha, "stream.mjs", { url: "http://other.example/" })).toMatchObject({
      last: "end",
      bytes: 0,
      end: { success: false, error_type: "grant_denied" },
    });
  });

  test("a tunnel ends with its call", async () => {
    const alpha = place.seed("alpha", "python");
    expect(await place.value(alpha, "hold.py", { seconds: 0 })).toMatch(/^HTTP\/1.1 200 /u);
    const cut = place.call(alpha, "hold.py", { seconds: 30 }, { timeoutMs: 500 });
    expect(await cut).toMatchObject({ kind: "timeout" });
    await vi.waitFor(() => expect(egress.audit.events.filter(({ action }) => action === "network_request")).toHaveLength(2));
  });
});

test("T48 X53 the real broker: another principal in a message is nobody, and audited; ungranted and unknown look the same", async () => {
  await using home = await temporaryFolder("rumi-home-");
  const book = await openTestGrants(home.path, { clock: systemClock, handlers: ["a.b"] });
  await book.give("beta", "a.b");
  const power = fakeCapability("a.b");
  const { grants, gate, audit } = book;
  const broker = new CapabilityBroker({ grants, gate, source: fakeSource(power), audit, clock: systemClock, logger: silentLogger });
  await using place = await sandboxed({ adapter: "docker", files: FILES, capability: broker });
  const messages = [
    { permission_id: "a.b", args: { n: 1 }, principal_id: "beta" },
    { permission_id: "a.b", args: { n: 1 } },
    { permission_id: "no.such", args: {} },
    { permission_id: "a.b", args: {}, timeout_seconds: -1 },
  ];
  const ask = async (pack: string): Promise<JsonObject[]> => {
    const answers = (await place.value(place.seed(pack, "python"), "claim.py", { messages })) as unknown as [JsonObject, null][];
    return answers.map(([answer]) => ({ ...answer, latency_ms: 0 }));
  };
  const [claimed, ungranted, unknown, invalid] = await ask("alpha");
  expect(claimed).toMatchObject({ success: false, error_type: "permission_denied", error: "Permission denied" });
  expect(ungranted).toEqual(claimed);
  expect(unknown).toEqual(claimed);
  expect(invalid).toMatchObject({ error_type: "invalid_request" });
  expect((await ask("beta")).map(({ success }) => success)).toEqual([true, true, false, false]);
  await broker.settled();
  expect(power.used.map(({ caller }) => caller.principal)).toEqual(["beta", "beta"]);
  expect(audit.events).toContainEqual(expect.objectContaining({ category: "security", action: "principal_id_overridden" }));
});
