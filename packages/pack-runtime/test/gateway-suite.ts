import { createServer as createHttpServer } from "node:http";
import type { Socket } from "node:net";
import type { JsonObject } from "@rumi/core";
import type { Runtime } from "@rumi/sandbox";
import { JsonFrameDecoder } from "@rumi/wire";
import { afterEach, describe, expect, test, vi } from "vitest";
import { EchoCapability, KeptEgress } from "../src/testing/gateway-place.ts";
import { sandboxed } from "./sandboxed.ts";
import type { Adapter, Sandboxed, SandboxedOptions } from "./sandboxed.ts";

/** Blocks that use the sockets as they are meant, and as they are not, in both languages. */
const FILES: Readonly<Record<string, string>> = {
  "ask.py": "import rumi_capability\ndef run(i, context):\n    return [rumi_capability.call('a.b', i), context['capability_socket']]\n",
  "ask.mjs":
    'import { call } from "@rumi/pack-sdk";\nexport const run = async (input, context) => [await call("a.b", input), context.capability_socket];\n',
  "many.py": "import rumi_capability\ndef run(i):\n    return sum(rumi_capability.call('a.b')['success'] for n in range(i['count']))\n",
  "many.mjs":
    'import { call } from "@rumi/pack-sdk";\nexport const run = async ({ count }) => { let good = 0; for (let n = 0; n < count; n += 1) good += (await call("a.b")).success; return good; };\n',
  "look.py": [
    "import os, socket",
    "def run(i):",
    "    seen = {}",
    "    for name in os.listdir('/run/rumi'):",
    "        try:",
    "            seen[name] = os.listdir('/run/rumi/' + name)",
    "        except PermissionError:",
    "            seen[name] = None",
    "    out = []",
    "    for path in i['paths']:",
    "        try:",
    "            socket.socket(socket.AF_UNIX).connect(path); out.append('connected')",
    "        except OSError as error:",
    "            out.append(type(error).__name__)",
    "    try:",
    "        open('/run/rumi/capability/x', 'w'); out.append('written')",
    "    except OSError as error:",
    "        out.append(error.errno)",
    "    return [seen, out]",
  ].join("\n"),
  "rude.py": [
    "import socket, time, json",
    "PATH = '/run/rumi/capability/capability.sock'",
    "def connect():",
    "    s = socket.socket(socket.AF_UNIX); s.connect(PATH); s.settimeout(10); return s",
    "def answer(s):",
    "    try:",
    "        head = s.recv(4, socket.MSG_WAITALL)",
    "        return json.loads(s.recv(int.from_bytes(head, 'big'), socket.MSG_WAITALL))['error_type'] if head else 'closed'",
    "    except OSError as error:",
    "        return type(error).__name__",
    "def run(i):",
    "    out = {}",
    "    for name, data in [('list', b'\\0\\0\\0\\2[]'), ('bad', b'\\0\\0\\0\\2{{'), ('long', (4 * 1024 * 1024 + 1).to_bytes(4, 'big'))]:",
    "        s = connect(); s.sendall(data); out[name] = [answer(s), answer(s)]",
    "    s = connect(); s.sendall(b'\\0\\0'); s.shutdown(socket.SHUT_WR); out['half'] = answer(s)",
    "    s = connect(); s.sendall(b'\\0'); began = time.monotonic(); out['slow'] = answer(s); out['slow_s'] = round(time.monotonic() - began)",
    "    held = [connect() for n in range(40)]",
    "    time.sleep(0.2)",
    "    out['late'] = answer(held[-1])",
    "    for s in held: s.close()",
    "    return out",
  ].join("\n"),
  "crowd.py": [
    "import socket, time",
    "def run(i):",
    "    held, failed, until = [], 0, time.monotonic() + i['seconds']",
    "    total = 0",
    "    while total < i['count'] or time.monotonic() < until:",
    "        s = socket.socket(socket.AF_UNIX)",
    "        s.settimeout(5)",
    "        try:",
    "            s.connect('/run/rumi/' + i['name'] + '/' + i['name'] + '.sock')",
    "            held.append(s)",
    "        except OSError:",
    "            failed += 1",
    "        total += 1",
    "        if len(held) > 200: held.pop(0).close()",
    "    return [total, failed]",
  ].join("\n"),
  "deaf.py": [
    "import socket, time",
    "def run(i):",
    "    held = []",
    "    for n in range(20):",
    "        s = socket.socket(socket.AF_UNIX); s.connect('/run/rumi/capability/capability.sock'); s.sendall(b'\\0\\0\\0\\2{}'); held.append(s)",
    "    time.sleep(i['seconds'])",
    "    return len(held)",
  ].join("\n"),
  "spin.py": "import time\ndef run(i):\n    time.sleep(i['seconds'])\n    return 1\n",
  "spin.mjs": "export const run = ({ seconds }) => new Promise((done) => setTimeout(() => done(1), seconds * 1000));\n",
  "die.py": "import os, signal\ndef run(i):\n    os.kill(os.getpid(), signal.SIGKILL)\n",
  "library.py": [
    "import urllib.request, urllib.error",
    "def run(i):",
    "    out = []",
    "    for url in i['urls']:",
    "        try:",
    "            request = urllib.request.Request(url, method=i.get('method', 'GET'), data=b'x' if i.get('method') == 'POST' else None)",
    "            out.append(urllib.request.urlopen(request, timeout=5).read().decode())",
    "        except urllib.error.HTTPError as error:",
    "            out.append(error.code)",
    "        except OSError as error:",
    "            out.append(str(error))",
    "    return out",
  ].join("\n"),
  "fetch.mjs":
    "export async function run({ urls, method = 'GET' }) { const out = []; for (const url of urls) { try { const got = await fetch(url, { method, body: method === 'POST' ? 'x' : undefined }); out.push(got.ok ? await got.text() : got.status); } catch (error) { let told = ''; for (let at = error; at; at = at.cause) told += `${at.message} `; out.push(told); } } return out; }\n",
  "retry.mjs":
    "export async function run({ url, times }) { let failed = 0; for (let n = 0; n < times; n += 1) await fetch(url).then((got) => { if (!got.ok) failed += 1; }, () => { failed += 1; }); return failed; }\n",
  "retry.py":
    "import urllib.request\ndef run(i):\n    failed = 0\n    for n in range(i['times']):\n        try: urllib.request.urlopen(i['url'], timeout=5)\n        except OSError: failed += 1\n    return failed\n",
  "env.py": "import os\ndef run(i):\n    return sorted(name for name in os.environ if 'proxy' in name.lower())\n",
  "env.mjs": "export const run = () => Object.keys(process.env).filter((name) => /proxy/iu.test(name)).sort();\n",
};

const BOTH: readonly Runtime[] = ["python", "node"];
const named = (name: string, runtime: Runtime): string => `${name}.${runtime === "python" ? "py" : "mjs"}`;

/** An egress service whose forward proxy answers plain requests to `open.test` with what was asked; all else is 403. */
function openProxy(asked: string[]): KeptEgress {
  const egress = new KeptEgress();
  const http = createHttpServer((request, response) => {
    const url = new URL(request.url ?? "", `http://${request.headers.host ?? ""}`);
    asked.push(`${request.method ?? ""} ${url.href}`);
    request.resume().on("end", () => {
      response.writeHead(url.hostname === "open.test" ? 200 : 403);
      response.end(`${request.method ?? ""} ${url.href}`);
    });
  });
  http.on("connect", (request, socket: Socket) => {
    asked.push(`CONNECT ${request.url ?? ""}`);
    if (request.url === "open.test:80") {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      http.emit("connection", socket);
    } else socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
  });
  egress.onServe = (connection) => {
    const decoder = new JsonFrameDecoder({ maxBytes: 1 << 20 });
    const receive = (chunk: Buffer): void => {
      if ((decoder.next(chunk) as JsonObject | undefined)?.["type"] !== "proxy") return;
      connection.off("data", receive);
      connection.pause();
      const rest = decoder.rest();
      if (rest.length > 0) connection.unshift(rest);
      http.emit("connection", connection);
      connection.resume();
    };
    connection.on("data", receive);
  };
  return egress;
}

/** What holds for an instance's sockets inside a real sandbox, with services that the test stands in for. */
export function gatewaySuite(adapter: Adapter): void {
  const open: AsyncDisposable[] = [];

  afterEach(async () => {
    for (const place of open.splice(0)) await place[Symbol.asyncDispose]();
  });

  async function start(over: Partial<SandboxedOptions> = {}): Promise<Sandboxed> {
    const place = await sandboxed({ adapter, files: FILES, ...over });
    open.push(place);
    return place;
  }

  describe.each(BOTH)("%s", (runtime) => {
    test("X54 a block asks, and is who its instance is; the context names the socket", async () => {
      const place = await start();
      const alpha = place.seed("alpha", runtime);
      const got = await place.value(alpha, named("ask", runtime), { principal: "beta" });
      expect(got).toMatchObject([{ success: true, output: { principal: "alpha" } }, "/run/rumi/capability/capability.sock"]);
      const [{ output }] = got as unknown as [{ output: { call_id: string; echo: { call_id: string; args: JsonObject } } }];
      expect(output.echo).toMatchObject({ args: { principal: "beta" } });
      expect(output.call_id).toBe(output.echo.call_id);
    });

    test("many calls of many packs at once never cross", async () => {
      const place = await start();
      const packs = ["a", "b", "c"].map((name) => place.seed(name, runtime));
      const answers = await Promise.all(
        Array.from({ length: 24 }, async (_, n) => {
          const from = packs[n % 3] ?? packs[0];
          if (from === undefined) throw new Error("no pack");
          const [answer] = (await place.value(from, named("ask", runtime), { n })) as unknown as [
            { output: { principal: string; echo: { args: JsonObject } } },
          ];
          return [answer.output.principal, answer.output.echo.args["n"]];
        }),
      );
      expect(answers).toEqual(Array.from({ length: 24 }, (_, n) => [["a", "b", "c"][n % 3], n]));
      expect(await place.value(packs[0] ?? place.seed("a", runtime), named("many", runtime), { count: 500 })).toBe(500);
    });

    test("X81 X82 an ordinary library goes through the forward proxy; a refusal is heard, also in a loop", async () => {
      const asked: string[] = [];
      const place = await start({ egress: openProxy(asked), proxied: ["alpha"] });
      const alpha = place.seed("alpha", runtime);
      const library = runtime === "python" ? "library.py" : "fetch.mjs";
      expect(await place.value(alpha, library, { urls: ["http://open.test/a?b"] })).toEqual(["GET http://open.test/a?b"]);
      expect(await place.value(alpha, library, { urls: ["http://open.test/"], method: "POST" })).toEqual(["POST http://open.test/"]);
      const refused = (await place.value(alpha, library, { urls: ["http://shut.test/", "https://shut.test/"] })) as unknown[];
      for (const told of refused) expect(String(told)).toMatch(/403/u);
      asked.length = 0;
      expect(await place.value(alpha, named("retry", runtime), { url: "https://shut.test/", times: 20 })).toBe(20);
      expect(asked).toHaveLength(20);
    });

    test("X83 without a network grant there is no proxy variable and no proxy", async () => {
      const place = await start({ proxied: ["alpha"] });
      expect(await place.value(place.seed("beta", runtime), named("env", runtime))).toEqual([]);
      const names = ["HTTPS_PROXY", "HTTP_PROXY", "NODE_USE_ENV_PROXY", "http_proxy", "https_proxy"];
      expect(await place.value(place.seed("alpha", runtime), named("env", runtime))).toEqual(names);
    });
  });

  test("with groups of their own the sockets can be opened all the same", async () => {
    const place = await start({ rights: { gid: 54_321 }, egressRights: { gid: 54_322 } });
    const alpha = place.seed("alpha", "python");
    expect(await place.value(alpha, "ask.py")).toMatchObject([{ success: true }, {}]);
    const [, [egress]] = (await place.value(alpha, "look.py", { paths: ["/run/rumi/egress/egress.sock"] })) as [unknown, string[]];
    expect(egress).toBe("connected");
  });

  test("X53 another instance's socket is nowhere to be found, and nothing can be put beside one's own", async () => {
    const place = await start();
    const beta = place.seed("beta", "python");
    await place.value(beta, "ask.py");
    const paths = (await place.sockets()).flatMap((id) => [
      `/run/rumi/capability/${id}/capability.sock`,
      `/run/rumi/${id}/capability.sock`,
      `/run/rumi/capability/../../${id}/capability.sock`,
    ]);
    const [seen, out] = (await place.value(place.seed("alpha", "python"), "look.py", { paths })) as [JsonObject, unknown[]];
    // Not even the own folders can be listed.
    expect(seen).toEqual({ capability: null, egress: null, runner: null });
    expect(new Set(out.slice(0, -1))).toEqual(new Set(["FileNotFoundError"]));
    expect([13, 30]).toContain(out.at(-1));
  });

  test("X55 T49 bad frames, half frames, slow ones and a 33rd connection are answered; the daemon lives", async () => {
    const place = await start();
    const alpha = place.seed("alpha", "python");
    const invalid = ["protocol_error", "closed"];
    expect(await place.value(alpha, "rude.py")).toEqual({
      list: invalid,
      bad: invalid,
      long: invalid,
      half: "protocol_error",
      slow: "protocol_error",
      slow_s: 5,
      late: "busy",
    });
    expect(await place.value(alpha, "ask.py")).toMatchObject([{ success: true }, {}]);
  });

  test.each(["capability", "egress"])("1,000 connections to the %s socket: another pack's calls go on", async (name) => {
    const place = await start();
    const [alpha, beta] = [place.seed("alpha", "python"), place.seed("beta", "python")];
    await place.value(beta, "many.py", { count: 1 });
    await place.value(alpha, "many.py", { count: 1 });
    let done = false;
    const crowd = place.value(alpha, "crowd.py", { name, count: 1_000, seconds: 1 }).finally(() => (done = true));
    let asked = 0;
    while (!done) asked += Number(await place.value(beta, "many.py", { count: 5 }));
    const [total] = (await crowd) as [number, number];
    expect(total).toBeGreaterThanOrEqual(1_000);
    expect(asked).toBeGreaterThanOrEqual(5);
    expect(await place.value(alpha, "many.py", { count: 5 })).toBe(5);
  });

  test("readers that do not read hold up nobody but themselves", async () => {
    const capability = new EchoCapability();
    const place = await start({ capability });
    capability.answer = (_message, owner) =>
      Promise.resolve({
        success: true,
        output: { text: owner.caller().principal === "alpha" ? "x".repeat(2 * 1024 * 1024) : "" },
        error: null,
        error_type: null,
        latency_ms: 0,
      });
    const [alpha, beta] = [place.seed("alpha", "python"), place.seed("beta", "python")];
    const deaf = place.value(alpha, "deaf.py", { seconds: 1 });
    await vi.waitFor(() => expect(capability.asked.length).toBeGreaterThanOrEqual(16), { timeout: 10_000 });
    expect(await place.value(beta, "many.py", { count: 50 })).toBe(50);
    expect(await deaf).toBe(20);
    expect(await place.value(alpha, "many.py", { count: 2 })).toBe(2);
  });

  test("X45 sockets go with their instance: on removal, with its calls; on a crash; when all stop", async () => {
    const egress = new KeptEgress();
    const capability = new EchoCapability();
    const place = await start({ egress, capability });
    const alpha = place.seed("alpha", "python");
    await place.value(alpha, "ask.py");
    expect(await place.sockets()).toHaveLength(2);
    const cut = place.call(alpha, "spin.py", { seconds: 30 });
    await vi.waitFor(() => expect(place.pool.list()[0]?.busy).toBe(1));
    const { owner } = capability.asked[0] ?? {};
    expect(owner?.caller().call).not.toBeNull();
    await place.pool.remove({ pack_id: alpha.pack_id }, "the operator said so");
    expect(await cut).toMatchObject({ kind: "cancelled" });
    expect(owner?.gone.aborted).toBe(true);
    expect(owner?.caller().call).toBeNull();
    expect(await place.sockets()).toEqual([]);

    await place.value(alpha, "ask.py");
    const [held] = await place.sandbox.list();
    expect(held).toBeDefined();
    await place.value(alpha, "ask.py");
    await place.pool.close();
    expect(await place.sockets()).toEqual([]);
    expect(await place.sandbox.list()).toEqual([]);
  });

  test("a call that is killed is in flight no more, and its connections have ended", async () => {
    const capability = new EchoCapability();
    const place = await start({ capability });
    const alpha = place.seed("alpha", "python");
    await place.value(alpha, "ask.py");
    expect(await place.call(alpha, "die.py")).toMatchObject({ kind: "crashed" });
    expect(capability.asked[0]?.owner.caller().call).toBeNull();
    await vi.waitFor(() => expect(capability.asked[0]?.signal.aborted).toBe(true));
    expect(await place.call(alpha, "spin.py", { seconds: 30 }, { timeoutMs: 300 })).toMatchObject({ kind: "timeout" });
    expect(capability.asked[0]?.owner.caller().call).toBeNull();
  });

  test("first and last network grant: the next instance has the variables, calls before end well", async () => {
    const proxied: string[] = [];
    const place = await start({ proxied });
    const alpha = place.seed("alpha", "python");
    expect(await place.value(alpha, "env.py")).toEqual([]);
    const running = place.call(alpha, "spin.py", { seconds: 1 });
    await vi.waitFor(() => expect(place.pool.list()[0]?.busy).toBe(1));
    proxied.push("alpha");
    const drained = place.pool.drain({ pack_id: alpha.pack_id });
    expect(await place.value(alpha, "env.py")).toHaveLength(5);
    expect(await running).toMatchObject({ kind: "ok", value: 1 });
    await drained;
    expect(await place.sockets()).toHaveLength(2);
  });
}
