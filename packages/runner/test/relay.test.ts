import { connect } from "node:net";
import type { Socket } from "node:net";
import { describe, expect, test, vi } from "vitest";
import { fakeProxy, fakeSocket, freePort } from "./fake-host.ts";
import type { ProxiedRequest } from "./fake-host.ts";
import { startRunner } from "./start-runner.ts";
import type { Runtime } from "@rumi/sandbox";

const FILES: Readonly<Record<Runtime, Readonly<Record<string, string>>>> = {
  python: {
    "get.py": [
      "import urllib.request, urllib.error",
      "def run(i):",
      "    try:",
      "        return urllib.request.urlopen(i['url'], timeout=5).read().decode()",
      "    except urllib.error.HTTPError as error:",
      "        return error.code",
      "    except OSError as error:",
      "        return str(error)",
    ].join("\n"),
    "hold.py":
      "import socket, time\ndef run(i):\n    held = [socket.create_connection(('127.0.0.1', i['port'])) for n in range(i['count'])]\n    time.sleep(i.get('seconds', 0))\n    return len(held)\n",
    "size.py":
      "import urllib.request\ndef run(i):\n    return len(urllib.request.urlopen(i['url'], i['body'].encode() * i['times'], timeout=20).read())\n",
    "plain.py": "def run(i):\n    return 1\n",
  },
  node: {
    "get.mjs":
      "export async function run({ url }) { try { const got = await fetch(url); return got.ok ? await got.text() : got.status; } catch (error) { let told = ''; for (let at = error; at; at = at.cause) told += at.message + ' '; return told; } }\n",
    "hold.mjs":
      "import { connect } from 'node:net';\nexport async function run({ port, count, seconds = 0 }) { const held = await Promise.all(Array.from({ length: count }, () => new Promise((done, fail) => { const s = connect(port, '127.0.0.1', () => done(s)); s.on('error', fail); }))); await new Promise((done) => setTimeout(done, seconds * 1000)); return held.length; }\n",
    "size.mjs":
      "export async function run({ url, body, times }) { return (await (await fetch(url, { method: 'POST', body: body.repeat(times) })).arrayBuffer()).byteLength; }\n",
    "plain.mjs": "export const run = () => 1;\n",
  },
};

describe.each(["python", "node"] as const)("%s", (runtime) => {
  const file = (name: string): string => `${name}.${runtime === "python" ? "py" : "mjs"}`;
  const environment = (port: number, egress: string): Record<string, string> => ({
    http_proxy: `http://127.0.0.1:${port}`,
    https_proxy: `http://127.0.0.1:${port}`,
    NODE_USE_ENV_PROXY: "1",
    RUMI_EGRESS_SOCKET: egress,
  });

  test("X81 an ordinary library reaches the proxy, and nothing is open after the call", async () => {
    const asked: ProxiedRequest[] = [];
    await using host = await fakeSocket(fakeProxy(asked));
    const port = await freePort();
    await using runner = await startRunner(runtime, { files: FILES[runtime], env: environment(port, host.path) });
    expect(await runner.call(file("get"), { url: "http://plain.test/a?b=c" })).toMatchObject({ kind: "ok", value: "fine" });
    expect(asked.some(({ target }) => target.includes("plain.test"))).toBe(true);
    expect(host.connections[0]).toEqual([{ type: "proxy" }]);
    await vi.waitFor(() => expect(host.open.size).toBe(0));
  });

  test("X82 a refused tunnel is heard, not retried", async () => {
    const asked: ProxiedRequest[] = [];
    await using host = await fakeSocket(fakeProxy(asked));
    await using runner = await startRunner(runtime, { files: FILES[runtime], env: environment(await freePort(), host.path) });
    expect(String(((await runner.call(file("get"), { url: "https://denied.test/" })) as { value?: unknown }).value)).toMatch(/403/u);
    expect(asked).toEqual([{ method: "CONNECT", target: "denied.test:443" }]);
  });

  test("megabytes pass whole in both directions", async () => {
    const asked: ProxiedRequest[] = [];
    await using host = await fakeSocket(fakeProxy(asked, () => Buffer.alloc(8 * 1024 * 1024, 120)));
    await using runner = await startRunner(runtime, { files: FILES[runtime], env: environment(await freePort(), host.path) });
    expect(await runner.call(file("size"), { url: "http://plain.test/", body: "0123456789abcdef", times: 256 * 1024 })).toMatchObject({
      kind: "ok",
      value: 8 * 1024 * 1024,
    });
  });

  test.each([
    ["there is no egress socket", null, /502/u],
    ["the daemon closes without a word", (socket: Socket) => void socket.destroy(), /429/u],
    [
      "the daemon says in a frame that there are too many",
      (socket: Socket) => void socket.end(Buffer.from([0, 0, 0, 2, 0x7b, 0x7d])),
      /429/u,
    ],
  ])("X82 where %s, the client gets an answer", async (_what, act, status) => {
    await using host = await fakeSocket((_message, socket) => (act?.(socket), undefined));
    const egress = act === null ? "/nowhere/egress.sock" : host.path;
    await using runner = await startRunner(runtime, { files: FILES[runtime], env: environment(await freePort(), egress) });
    for (const url of ["http://plain.test/", "https://denied.test/"]) {
      expect(String(((await runner.call(file("get"), { url })) as { value?: unknown }).value)).toMatch(status);
    }
    expect(host.connections.length).toBeLessThanOrEqual(2);
  });

  test("a crowd of connections is answered, bounded, and holds up no call", async () => {
    await using host = await fakeSocket((_message, socket) => (socket.resume(), undefined));
    const port = await freePort();
    await using runner = await startRunner(runtime, { files: FILES[runtime], env: environment(port, host.path) });
    const holding = runner.call(file("hold"), { port, count: 32, seconds: 1 });
    await vi.waitFor(() => expect(host.open.size).toBe(32), { timeout: 5_000 });
    const answers = await Promise.all(
      Array.from(
        { length: 20 },
        () =>
          new Promise<string>((resolve) => {
            let text = "";
            const socket = connect(port, "127.0.0.1");
            socket.on("data", (chunk) => (text += chunk.toString()));
            socket.on("error", () => resolve(text));
            socket.on("close", () => resolve(text));
            socket.write("CONNECT a.b:443 HTTP/1.1\r\n\r\n");
          }),
      ),
    );
    expect(answers.every((answer) => answer.startsWith("HTTP/1.1 429 "))).toBe(true);
    expect(await runner.call(file("plain"))).toMatchObject({ kind: "ok", value: 1 });
    expect(host.open.size).toBe(32);
    expect(await holding).toMatchObject({ kind: "ok", value: 32 });
    await vi.waitFor(() => expect(host.open.size).toBe(0));
  });

  test("X83 without the variables nobody listens", async () => {
    const port = await freePort();
    await using runner = await startRunner(runtime, { files: FILES[runtime] });
    expect(String(((await runner.call(file("hold"), { port, count: 1 })) as { message?: unknown }).message)).toMatch(/refused/iu);
  });

  test("a port that is taken is told, and calls run", async () => {
    await using host = await fakeSocket(() => undefined);
    const port = await freePort();
    await using first = await startRunner(runtime, { files: FILES[runtime], env: environment(port, host.path) });
    await using second = await startRunner(runtime, { files: FILES[runtime], env: environment(port, host.path) });
    expect(first.session.runner?.warnings ?? []).not.toContainEqual(expect.stringContaining("forward proxy"));
    expect(second.session.runner?.warnings).toContainEqual(expect.stringContaining("forward proxy"));
    expect(await second.call(file("plain"))).toMatchObject({ kind: "ok", value: 1 });
  });
});
