import type { JsonObject } from "@rumi/core";
import { encodeJsonFrame } from "@rumi/wire";
import { describe, expect, test, vi } from "vitest";
import { fakeSocket } from "./fake-host.ts";
import { startRunner } from "./start-runner.ts";

const OK = { error: null, error_type: null, latency_ms: 1 };

/** Gives back what it was asked. */
const echo = (message: JsonObject): JsonObject => ({ success: true, output: { success: true, asked: message }, ...OK });

describe("python", () => {
  test("many capability calls of one call go over one connection, and name their call", async () => {
    await using host = await fakeSocket(echo);
    await using runner = await startRunner("python", {
      env: { RUMI_CAPABILITY_SOCKET: host.path },
      files: {
        "a.py": "import rumi_capability\ndef run(i):\n    return [rumi_capability.call('a.b', {'n': n}, 7.5, 'r') for n in range(20)]\n",
      },
    });
    const result = await runner.call("a.py");
    expect(result).toMatchObject({ kind: "ok" });
    const asked = { permission_id: "a.b", args: { n: 0 }, timeout_seconds: 7.5, request_id: "r", call_id: "call-1" };
    expect(result).toHaveProperty("value.0", { success: true, output: { success: true, asked }, ...OK });
    expect(host.connections.map((messages) => messages.length)).toEqual([20]);
    await vi.waitFor(() => expect(host.open.size).toBe(0));
    await runner.call("a.py");
    expect(host.connections.at(-1)?.[0]?.["call_id"]).toBe("call-2");
  });

  test("threads have a connection each, at most eight, and every answer comes to who asked", async () => {
    await using host = await fakeSocket(async (message) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return echo(message);
    });
    await using runner = await startRunner("python", {
      env: { RUMI_CAPABILITY_SOCKET: host.path },
      files: {
        "a.py": [
          "import threading, rumi_capability",
          "def run(i):",
          "    wrong = []",
          "    def work(k):",
          "        for n in range(10):",
          "            got = rumi_capability.call('a.b', {'k': k, 'n': n})",
          "            if not got['success'] or got['output']['asked']['args'] != {'k': k, 'n': n}: wrong.append(got)",
          "    threads = [threading.Thread(target=work, args=(k,)) for k in range(20)]",
          "    for t in threads: t.start()",
          "    for t in threads: t.join()",
          "    return wrong",
        ].join("\n"),
      },
    });
    expect(await runner.call("a.py")).toMatchObject({ kind: "ok", value: [] });
    expect(host.connections.length).toBeLessThanOrEqual(8);
    expect(host.connections.flat()).toHaveLength(200);
  });

  test("a forked process speaks on connections of its own", async () => {
    await using host = await fakeSocket(echo);
    await using runner = await startRunner("python", {
      env: { RUMI_CAPABILITY_SOCKET: host.path },
      files: {
        "a.py": [
          "import os, rumi_capability",
          "def run(i):",
          "    rumi_capability.call('a.b')",
          "    pid = os.fork()",
          "    if pid == 0:",
          "        for n in range(50): rumi_capability.call('child', {'n': n})",
          "        os._exit(0)",
          "    good = all(rumi_capability.call('parent', {'n': n})['output']['asked']['permission_id'] == 'parent' for n in range(50))",
          "    os.waitpid(pid, 0)",
          "    return good",
        ].join("\n"),
      },
    });
    expect(await runner.call("a.py")).toMatchObject({ kind: "ok", value: true });
    expect(host.connections).toHaveLength(2);
  });

  test("a connection that the daemon ended is replaced; an answer that is none, or too late, is a local error", async () => {
    await using host = await fakeSocket((message, socket) => {
      switch (message["permission_id"]) {
        case "close":
          setImmediate(() => socket.destroy());
          return echo(message);
        case "cut":
          socket.end(encodeJsonFrame({ a: 1 }).subarray(0, 6));
          return undefined;
        case "list":
          return [1];
        case "busy":
          return {
            success: false,
            output: { success: false, error: "Busy", error_type: "busy" },
            ...OK,
            error: "Busy",
            error_type: "busy",
          };
        case "silent":
          return undefined;
        default:
          return echo(message);
      }
    });
    await using runner = await startRunner("python", {
      env: { RUMI_CAPABILITY_SOCKET: host.path },
      files: {
        "a.py": [
          "import time, rumi_capability, rumi_runner.gateway",
          "rumi_runner.gateway.GRACE_SECONDS = 0.1",
          "def run(i):",
          "    out = []",
          "    for name in ['fine', 'close', 'fine', 'cut', 'fine', 'list', 'busy', 'silent', 'fine']:",
          "        time.sleep(0.02)",
          "        got = rumi_capability.call(name, timeout_seconds=0.1)",
          "        out.append(got['error_type'] or got['success'])",
          "    return out + [rumi_capability.call('a.b', {'x': object()})['error_type'], rumi_capability.call('a.b', timeout_seconds='x')['success']]",
        ].join("\n"),
      },
    });
    expect(await runner.call("a.py")).toMatchObject({
      kind: "ok",
      value: [true, true, true, "protocol_error", true, "protocol_error", "busy", "timeout", true, "protocol_error", true],
    });
  });

  test("with reuse the connection stays over the calls", async () => {
    await using host = await fakeSocket(echo);
    await using runner = await startRunner("python", {
      reuse: true,
      env: { RUMI_CAPABILITY_SOCKET: host.path },
      files: { "a.py": "import rumi_capability\ndef run(i):\n    return rumi_capability.call('a.b')['output']['asked']['call_id']\n" },
    });
    for (const id of ["call-1", "call-2", "call-3"]) expect(await runner.call("a.py")).toMatchObject({ value: id });
    expect(host.connections).toHaveLength(1);
  });

  test("get_secret gives the text or None; http_request has every key always, and headers in any case", async () => {
    await using host = await fakeSocket((message) => {
      if (message["permission_id"] === "secrets.get") {
        const { key } = message["args"] as JsonObject;
        const error = "Access denied or secret not found";
        return key === "YES"
          ? { success: true, output: { success: true, value: "s" }, ...OK }
          : { success: false, output: { success: false, error, error_type: "access_denied" }, ...OK, error, error_type: "access_denied" };
      }
      if (message["type"] === "check") return { allowed: true, reason: "Access granted" };
      return { success: true, status_code: 200, headers: { "content-type": "text/plain" }, body: JSON.stringify(message), ...OK };
    });
    await using runner = await startRunner("python", {
      env: { RUMI_CAPABILITY_SOCKET: host.path, RUMI_EGRESS_SOCKET: host.path },
      files: {
        "a.py": [
          "import json, rumi_capability, rumi_syscall",
          "def run(i, context):",
          "    got = rumi_syscall.post_json('https://x.y/', {'a': 1}, headers={'X-A': 'b'}, timeout_seconds=3.0, idempotent=True)",
          "    raw = rumi_syscall.put('https://x.y/', b'\\xff')",
          "    bad = rumi_syscall.post_json('https://x.y/', object())",
          "    return [rumi_capability.get_secret('YES'), rumi_capability.get_secret('NO'), sorted(got), json.loads(got['body']),",
          "            json.loads(raw['body'])['body_base64'], got['headers'].get('Content-Type'), got['headers']['CONTENT-TYPE'],",
          "            bad['error_type'], sorted(bad) == sorted(got), context['network_check']('x.y', 443), context['http_request']('GET', 'https://x.y')['success']]",
        ].join("\n"),
      },
    });
    expect(await runner.call("a.py")).toMatchObject({
      kind: "ok",
      value: [
        "s",
        null,
        ["body", "bytes_read", "error", "error_type", "final_url", "headers", "latency_ms", "redirect_hops", "status_code", "success"],
        {
          method: "POST",
          url: "https://x.y/",
          headers: { "X-A": "b", "Content-Type": "application/json" },
          body: '{"a": 1}',
          timeout_seconds: 3,
          idempotent: true,
          call_id: "call-1",
        },
        "/w==",
        "text/plain",
        "text/plain",
        "protocol_error",
        true,
        { allowed: true, reason: "Access granted" },
        true,
      ],
    });
  });
});

describe("node", () => {
  test("many capability calls of one call go over one connection, those at once over at most eight", async () => {
    await using host = await fakeSocket(async (message) => {
      await new Promise((resolve) => setImmediate(resolve));
      return echo(message);
    });
    await using runner = await startRunner("node", {
      env: { RUMI_CAPABILITY_SOCKET: host.path },
      files: {
        "a.mjs": [
          'import { call } from "@rumi/pack-sdk";',
          "export async function run({ many }) {",
          "  const wrong = [];",
          "  const ask = async (n) => { const got = await call('a.b', { n }); if (got.output.asked.args.n !== n) wrong.push(got); return got; };",
          "  if (many) await Promise.all(Array.from({ length: 200 }, (_, n) => ask(n)));",
          "  else for (let n = 0; n < 20; n += 1) await ask(n);",
          "  return [wrong, await call('a.b', {}, { timeoutSeconds: 7.5, requestId: 'r' })];",
          "}",
        ].join("\n"),
      },
    });
    const asked = { permission_id: "a.b", args: {}, timeout_seconds: 7.5, request_id: "r", call_id: "call-1" };
    expect(await runner.call("a.mjs")).toMatchObject({
      kind: "ok",
      value: [[], { success: true, output: { success: true, asked }, ...OK }],
    });
    expect(host.connections.map((messages) => messages.length)).toEqual([21]);
    expect(await runner.call("a.mjs", { many: true })).toMatchObject({ kind: "ok", value: [[], { success: true }] });
    expect(host.connections.length).toBe(9);
  });

  test("with reuse the connection stays over the calls and does not keep the process from resting", async () => {
    await using host = await fakeSocket(echo);
    await using runner = await startRunner("node", {
      reuse: true,
      env: { RUMI_CAPABILITY_SOCKET: host.path },
      files: {
        "a.mjs":
          'import { call } from "@rumi/pack-sdk";\nconst active = () => process.getActiveResourcesInfo().length;\nexport const run = async () => { const before = active(); return [(await call("a.b")).output.asked.call_id, active() <= before]; };\n',
      },
    });
    for (const id of ["call-1", "call-2", "call-3"]) expect(await runner.call("a.mjs")).toMatchObject({ value: [id, true] });
    expect(host.connections).toHaveLength(1);
  });

  test("a connection that the daemon ended is replaced; an answer that is none is a local error", async () => {
    await using host = await fakeSocket((message, socket) => {
      switch (message["permission_id"]) {
        case "close":
          setImmediate(() => socket.destroy());
          return echo(message);
        case "cut":
          socket.end(encodeJsonFrame({ a: 1 }).subarray(0, 6));
          return undefined;
        case "list":
          return [1];
        default:
          return echo(message);
      }
    });
    await using runner = await startRunner("node", {
      env: { RUMI_CAPABILITY_SOCKET: host.path },
      files: {
        "a.mjs": [
          'import { call } from "@rumi/pack-sdk";',
          "export async function run() {",
          "  const out = [];",
          "  for (const name of ['fine', 'close', 'fine', 'cut', 'fine', 'list', 'fine']) {",
          "    if (out.length === 2) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);",
          "    const got = await call(name);",
          "    out.push(got.error_type ?? got.success);",
          "  }",
          "  const circle = {}; circle.circle = circle;",
          "  out.push((await call('a.b', circle)).error_type);",
          "  return out;",
          "}",
        ].join("\n"),
      },
    });
    expect(await runner.call("a.mjs")).toMatchObject({
      kind: "ok",
      value: [true, true, true, "protocol_error", true, "protocol_error", true, "protocol_error"],
    });
  });

  test("each request has its own limit, on a connection that had others before", async () => {
    await using host = await fakeSocket((message) => (message["permission_id"] === "silent" ? undefined : echo(message)));
    await using runner = await startRunner("node", {
      env: { RUMI_CAPABILITY_SOCKET: host.path },
      files: {
        "a.mjs": [
          'import { call } from "@rumi/pack-sdk";',
          "export async function run() {",
          "  const before = [await call('fine', {}, { timeoutSeconds: 100 }), await call('fine', {}, { timeoutSeconds: 0.001 })];",
          "  const late = call('silent', {}, { timeoutSeconds: 0.001 });",
          "  const beside = await call('fine');",
          "  return [...before, beside, await late, await call('fine')].map((got) => got.error_type ?? got.success);",
          "}",
        ].join("\n"),
      },
    });
    expect(await runner.call("a.mjs")).toMatchObject({ kind: "ok", value: [true, true, true, "timeout", true] });
  });

  test("an answer can be read as it comes; who stops early or is refused gets what there is", async () => {
    const end = {
      type: "end",
      success: true,
      status_code: 200,
      headers: {},
      body: "",
      redirect_hops: 0,
      bytes_read: 3,
      final_url: "u",
      ...OK,
    };
    await using host = await fakeSocket((message, socket) => {
      if (message["url"] === "https://x.y/denied") return { ...end, success: false, error: "no", error_type: "grant_denied" };
      socket.write(encodeJsonFrame({ type: "head", status_code: 200, headers: { a: "b" }, redirect_hops: 0, final_url: "u" }));
      for (let n = 0; n < 40; n += 1) socket.write(encodeJsonFrame({ type: "chunk", body_base64: Buffer.from([n]).toString("base64") }));
      return end;
    });
    await using runner = await startRunner("node", {
      env: { RUMI_EGRESS_SOCKET: host.path },
      files: {
        "a.mjs": [
          'import { stream } from "@rumi/pack-sdk";',
          "const all = async (url, most = Infinity) => { const pieces = []; for await (const piece of stream('GET', url)) { pieces.push(piece.type === 'chunk' ? [...piece.bytes] : piece); if (pieces.length >= most) break; } return pieces; };",
          "export async function run() {",
          "  const whole = await all('https://x.y/');",
          "  const again = await all('https://x.y/');",
          "  return [whole.length, whole[0], whole[1], whole[40], whole[41].type, again.length, await all('https://x.y/', 2), await all('https://x.y/denied')];",
          "}",
        ].join("\n"),
      },
    });
    expect(await runner.call("a.mjs")).toMatchObject({
      kind: "ok",
      value: [
        42,
        { type: "head", status_code: 200, headers: { a: "b" } },
        [0],
        [39],
        "end",
        42,
        [{ type: "head" }, [0]],
        [{ type: "end", success: false, error_type: "grant_denied" }],
      ],
    });
    expect(host.connections[0]?.[0]).toMatchObject({ stream: true, call_id: "call-1" });
  });
});
