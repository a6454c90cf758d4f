import type { JsonValue } from "@rumi/core";
import { describe, expect, test } from "vitest";
import { startRunner } from "./start-runner.ts";

describe("Python", () => {
  test("X11 run is called with as many of (input, context) as it takes", async () => {
    await using runner = await startRunner("python", {
      files: {
        "two.py": "def run(i, context=None):\n    return [i, sorted(context)]\n",
        "one.py": "def run(i):\n    return i\n",
        "none.py": "def run():\n    return 'called'\n",
        "all.py": "def run(*args):\n    return len(args)\n",
        "object.py": "class Run:\n    def __call__(self, i):\n        return i\nrun = Run()\n",
        "wrapped.py":
          "import functools\ndef deco(f):\n    @functools.wraps(f)\n    def inner(*a):\n        return [len(a), f(*a)]\n    return inner\n@deco\ndef run(i):\n    return i\n",
        "bound.py": "class A:\n    def run(self, i):\n        return i\nrun = A().run\n",
        "nothing.py": "def run(i):\n    pass\n",
      },
    });
    const value = async (file: string): Promise<unknown> => {
      const result = await runner.call(file, { a: 1 });
      return result.kind === "ok" ? result.value : result;
    };
    expect(await value("two.py")).toEqual([
      { a: 1 },
      [
        "attempt",
        "capability_socket",
        "deadline_ts",
        "flow_id",
        "http_request",
        "idempotency_key",
        "inputs",
        "network_check",
        "owner_pack",
        "phase",
        "run_id",
        "step_id",
        "ts",
      ],
    ]);
    expect(await value("one.py")).toEqual({ a: 1 });
    expect(await value("none.py")).toBe("called");
    expect(await value("all.py")).toBe(2);
    expect(await value("object.py")).toEqual({ a: 1 });
    expect(await value("wrapped.py")).toEqual([1, { a: 1 }]);
    expect(await value("bound.py")).toEqual({ a: 1 });
    expect(await value("nothing.py")).toBeNull();
    const empty = await runner.call("one.py", null);
    expect(empty).toMatchObject({ kind: "ok", value: {} });
  });

  test("X88 declared names and the other conventions get their own arguments", async () => {
    await using runner = await startRunner("python", {
      files: {
        "handler.py": "def execute(context, args):\n    return [context['flow_id'], args]\ndef other(context, args):\n    return 'other'\n",
        "convert.py": "def convert(data, context=None):\n    return [data, context['phase']]\n",
        "lib/install.py": "def run(context=None):\n    return context['flow_id']\n",
        "setup.py": "def setup(context=None):\n    return context['flow_id']\n",
        "unit.py": "def main(args):\n    return args\n",
      },
    });
    const call = async (file: string, convention: "handler" | "converter" | "lib" | "component" | "unit", fn: string | null = null) => {
      const result = await runner.call(file, { a: 1 }, { convention, function: fn });
      return result.kind === "ok" ? result.value : result;
    };
    expect(await call("handler.py", "handler", "execute")).toEqual(["test_pack.flow", { a: 1 }]);
    expect(await call("handler.py", "handler", "other")).toBe("other");
    expect(await call("convert.py", "converter")).toEqual([{ a: 1 }, "main"]);
    expect(await call("lib/install.py", "lib")).toBe("test_pack.flow");
    expect(await call("setup.py", "component")).toBe("test_pack.flow");
    expect(await call("unit.py", "unit")).toEqual({ a: 1 });
  });

  test("X12 printing goes to the log and never into the result", async () => {
    await using runner = await startRunner("python", {
      files: {
        "print.py":
          "import os, sys, subprocess\nprint('at import')\ndef run(i):\n    print('one')\n    print('two', file=sys.stderr)\n    os.write(1, '日本\\n'.encode())\n    os.write(1, b'{\"kind\":\"ok\"}')\n    subprocess.run([sys.executable, '-c', 'print(\"child\")'])\n    return {'ok': True}\n",
      },
    });
    const result = await runner.call("print.py");
    expect(result).toMatchObject({ kind: "ok", value: { ok: true } });
    expect(result.logs.filter(({ stream }) => stream === "stdout").map(({ text }) => text)).toEqual([
      "at import",
      "one",
      "日本",
      '{"kind":"ok"}child',
    ]);
    expect(result.logs.filter(({ stream }) => stream === "stderr")).toEqual([{ stream: "stderr", text: "two" }]);
  });

  test("X13 an exception comes back with type, text and a traceback without any host path", async () => {
    await using runner = await startRunner("python", {
      files: {
        "blocks/raise.py": "import helper\ndef run(i):\n    helper.fail(__file__)\n",
        "helper.py": "def fail(path):\n    raise ValueError('bad value in ' + path)\n",
        "long.py": "def run(i):\n    raise RuntimeError('x' * 100000)\n",
        "weird.py": "class E(Exception):\n    def __str__(self):\n        raise KeyError('no')\ndef run(i):\n    raise E()\n",
        "deep.py": "def run(i):\n    return run(i)\n",
      },
    });
    const result = await runner.call("blocks/raise.py");
    expect(result).toMatchObject({ kind: "block_error", exception_type: "ValueError", message: "bad value in /pack/blocks/raise.py" });
    const traceback = result.kind === "ok" ? "" : (result.traceback ?? "");
    expect(traceback).toContain('File "/pack/helper.py", line 2, in fail');
    expect(traceback).toContain("raise ValueError");
    expect(JSON.stringify(result)).not.toContain(runner.pack);
    expect(JSON.stringify(result)).not.toContain("/programs/python");
    const long = await runner.call("long.py");
    expect(long.kind === "ok" ? 0 : Buffer.byteLength(long.message)).toBeLessThanOrEqual(2048);
    expect(long.kind === "ok" ? 0 : Buffer.byteLength(long.traceback ?? "")).toBeLessThanOrEqual(4096);
    expect(await runner.call("weird.py")).toMatchObject({ kind: "block_error", exception_type: "E" });
    expect(await runner.call("deep.py")).toMatchObject({ kind: "block_error", exception_type: "RecursionError" });
  });

  test("X14 no run, a syntax error, a failing import have types of their own", async () => {
    await using runner = await startRunner("python", {
      files: {
        "empty.py": "x = 1\n",
        "syntax.py": "def run(:\n",
        "missing.py": "import not_there\ndef run():\n    pass\n",
        "nul.py": "def run():\n    return '\0'\n",
        "value.py": "run = 3\n",
      },
    });
    expect(await runner.call("empty.py")).toMatchObject({ kind: "no_run_function" });
    expect(await runner.call("value.py")).toMatchObject({ kind: "no_run_function" });
    expect(await runner.call("syntax.py")).toMatchObject({ kind: "module_load_error", exception_type: "SyntaxError" });
    expect(await runner.call("missing.py")).toMatchObject({ kind: "module_load_error", exception_type: "ModuleNotFoundError" });
    expect(await runner.call("nul.py")).toMatchObject({ kind: "module_load_error" });
    expect(await runner.call("gone.py")).toMatchObject({ kind: "module_load_error", exception_type: "FileNotFoundError" });
  });

  test("X15 generators, async generators and coroutines are drained or awaited", async () => {
    await using runner = await startRunner("python", {
      files: {
        "gen.py": "def run(i):\n    yield 1\n    yield {'two': 2}\n",
        "agen.py": "async def run(i):\n    yield 'a'\n    yield 'b'\n",
        "coro.py": "import asyncio\nasync def run(i):\n    await asyncio.sleep(0)\n    return 'done'\n",
        "fails.py": "def run(i):\n    yield 1\n    raise ValueError('half')\n",
      },
    });
    const gen = await runner.call("gen.py");
    expect(gen).toMatchObject({ kind: "ok", streaming: true, value: { chunks: [1, { two: 2 }], is_streaming: true } });
    expect(gen.chunks).toEqual([1, { two: 2 }]);
    expect(await runner.call("agen.py")).toMatchObject({ kind: "ok", streaming: true, value: { chunks: ["a", "b"], is_streaming: true } });
    expect(await runner.call("coro.py")).toMatchObject({ kind: "ok", streaming: false, value: "done" });
    expect(await runner.call("fails.py")).toMatchObject({ kind: "block_error", message: "half", chunks: [1] });
  });

  test("X16 what JSON does not have becomes its nearest form with a warning; a cycle is invalid", async () => {
    await using runner = await startRunner("python", {
      files: {
        "values.py":
          "import datetime, decimal, enum\nclass C(enum.IntEnum):\n    A = 1\nclass S(str):\n    pass\ndef run(i):\n    return {'t': (1, 2), 's': {3, 1}, 'd': datetime.date(2026, 1, 2), 'b': b'hi', 'n': float('nan'), 'i': float('inf'), 'x': decimal.Decimal('1.5'), 'e': C.A, 'str': S('s'), 1: 'key', 'plain': [1, None, True, 'x', 1.5]}\n",
        "cycle.py": "def run(i):\n    a = {}\n    a['a'] = a\n    return a\n",
        "twice.py": "def run(i):\n    a = {'x': 1}\n    return [a, a]\n",
        "deep.py": "def run(i):\n    a = 1\n    for _ in range(i['n']):\n        a = [a]\n    return a\n",
        "surrogate.py": "def run(i):\n    return {'a': '\\ud800'}\n",
        "nostr.py": "class X:\n    def __str__(self):\n        raise ValueError\ndef run(i):\n    return X()\n",
      },
    });
    const values = await runner.call("values.py");
    expect(values).toMatchObject({
      kind: "ok",
      value: {
        t: [1, 2],
        s: [1, 3],
        d: "2026-01-02",
        b: "aGk=",
        n: null,
        i: null,
        x: "1.5",
        e: 1,
        str: "s",
        "1": "key",
        plain: [1, null, true, "x", 1.5],
      },
    });
    expect(values.kind === "ok" ? values.warnings : []).toEqual([
      "result.t: a tuple became a list",
      "result.s: a set became a list",
      "result.d: a date became ISO text",
      "result.b: bytes became base64 text",
      "result.n: nan became null",
      "result.i: inf became null",
      "result.x: a Decimal became text",
      "result: key 1 became text",
    ]);
    expect(await runner.call("cycle.py")).toMatchObject({ kind: "invalid_output" });
    expect(await runner.call("twice.py")).toMatchObject({ kind: "ok", value: [{ x: 1 }, { x: 1 }] });
    expect(await runner.call("deep.py", { n: 200 })).toMatchObject({ kind: "ok" });
    expect(await runner.call("deep.py", { n: 201 })).toMatchObject({ kind: "invalid_output" });
    expect(await runner.call("surrogate.py")).toMatchObject({ kind: "ok" });
    expect(await runner.call("nostr.py")).toMatchObject({ kind: "invalid_output" });
  });

  test("X42 X43 bytecode beside a source file, .pth and sitecustomize are never run", async () => {
    await using runner = await startRunner("python", {
      files: {
        "hello.py": "import helper, sys\ndef run(i):\n    return [helper.WHO, 'sitecustomize' in sys.modules]\n",
        "helper.py": "WHO = 'source'\n",
        "sitecustomize.py": "raise SystemExit(9)\n",
        "evil.pth": "import os; os._exit(9)\n",
        "only.py": "import legacy\ndef run(i):\n    return 1\n",
      },
    });
    const { execFileSync } = await import("node:child_process");
    execFileSync("python3", [
      "-c",
      "import py_compile,sys,os\nd=sys.argv[1]\nopen(d+'/evil.txt','w').write(\"WHO='bytecode'\\n\")\nimport importlib.util\nos.makedirs(d+'/__pycache__',exist_ok=True)\nt=importlib.util.cache_from_source(d+'/helper.py')\npy_compile.compile(d+'/evil.txt',cfile=t,invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)\npy_compile.compile(d+'/evil.txt',cfile=d+'/legacy.pyc')",
      runner.pack,
    ]);
    expect(await runner.call("hello.py")).toMatchObject({ kind: "ok", value: ["source", false] });
    expect(await runner.call("only.py")).toMatchObject({ kind: "module_load_error", exception_type: "ModuleNotFoundError" });
  });

  test("rumi_capability and rumi_syscall answer a local error type and never raise", async () => {
    await using runner = await startRunner("python", {
      files: {
        "ask.py":
          "import rumi_capability, rumi_syscall\ndef run(i, context):\n    c = rumi_capability.call('store.get', {'key': 'x'})\n    h = rumi_syscall.post_json('https://example.com', {'a': 1})\n    n = context['network_check']('example.com', 443)\n    r = context['http_request'](method='GET', url='https://example.com', timeout_seconds=1.0)\n    return [c, h, rumi_capability.get_secret('K'), n, r['error_type'], h['headers'].get('x')]\n",
      },
    });
    const result = await runner.call("ask.py");
    const value = result.kind === "ok" ? (result.value as JsonValue[]) : [];
    expect(value[0]).toMatchObject({ success: false, error_type: "socket_not_found", output: { error_type: "socket_not_found" } });
    expect(Object.keys(value[1] as object).sort()).toEqual([
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
    expect(value.slice(2)).toMatchObject([null, { allowed: false }, "socket_not_found", null]);
  });
});

describe("Node", () => {
  test("X11 run is called with (input, context), wherever the file exports it", async () => {
    await using runner = await startRunner("node", {
      files: {
        "named.mjs": "export function run(i, c) { return [i, Object.keys(c).sort()]; }",
        "default.mjs": "export default (i) => i;",
        "holding.mjs": "export default { run(i) { return [i, this.own]; }, own: 1 };",
        "function.cjs": "module.exports = (i) => i;",
        "holding.cjs": "module.exports = { run: (i) => i };",
        "plain.js": "exports.run = () => 'called';",
        "typed.ts": "interface In { a: number }\nexport const run = async (i: In): Promise<number> => i.a;",
        "nothing.mjs": "export function run() {}",
      },
    });
    const value = async (file: string): Promise<unknown> => {
      const result = await runner.call(file, { a: 1 });
      return result.kind === "ok" ? result.value : result;
    };
    expect(await value("named.mjs")).toEqual([
      { a: 1 },
      expect.arrayContaining(["capability_socket", "deadline_ts", "http_request", "network_check", "run_id"]),
    ]);
    expect(await value("default.mjs")).toEqual({ a: 1 });
    expect(await value("holding.mjs")).toEqual([{ a: 1 }, 1]);
    expect(await value("function.cjs")).toEqual({ a: 1 });
    expect(await value("holding.cjs")).toEqual({ a: 1 });
    expect(await value("plain.js")).toBe("called");
    expect(await value("typed.ts")).toBe(1);
    expect(await value("nothing.mjs")).toBeNull();
  });

  test("X88 declared names get (context, args)", async () => {
    await using runner = await startRunner("node", {
      files: { "h.mjs": "export const execute = (c, a) => [c.flow_id, a]; export const other = () => 'other';" },
    });
    expect(await runner.call("h.mjs", { a: 1 }, { convention: "handler", function: "execute" })).toMatchObject({
      kind: "ok",
      value: ["test_pack.flow", { a: 1 }],
    });
    expect(await runner.call("h.mjs", {}, { convention: "function", function: "other" })).toMatchObject({ kind: "ok", value: "other" });
  });

  test("X12 printing goes to the log and never into the result", async () => {
    await using runner = await startRunner("node", {
      files: {
        "p.mjs":
          "import fs from 'node:fs'; console.log('at import'); export function run() { console.log('one'); console.error('two'); fs.writeSync(1, '日本\\n'); return {ok: true}; }",
      },
    });
    const result = await runner.call("p.mjs");
    expect(result).toMatchObject({ kind: "ok", value: { ok: true } });
    expect(result.logs.filter(({ stream }) => stream === "stdout").map(({ text }) => text)).toEqual(["at import", "one", "日本"]);
    expect(result.logs.filter(({ stream }) => stream === "stderr").map(({ text }) => text)).toEqual(["two"]);
  });

  test("X13 an error comes back with type, text and a traceback without any host path", async () => {
    await using runner = await startRunner("node", {
      files: {
        "blocks/t.mjs": "import { fail } from '../helper.mjs'; export function run() { fail(import.meta.filename); }",
        "helper.mjs": "export function fail(p) { throw new RangeError('bad value in ' + p); }",
        "later.mjs": "export function run() { setTimeout(() => { throw new TypeError('later'); }, 1); return new Promise(() => {}); }",
        "text.mjs": "export async function run() { throw 'only text'; }",
        "odd.mjs": "export async function run() { throw Object.create(null); }",
      },
    });
    const result = await runner.call("blocks/t.mjs");
    expect(result).toMatchObject({ kind: "block_error", exception_type: "RangeError", message: "bad value in /pack/blocks/t.mjs" });
    expect(result.kind === "ok" ? "" : result.traceback).toContain("/pack/helper.mjs:1");
    expect(JSON.stringify(result)).not.toContain(runner.pack);
    expect(JSON.stringify(result)).not.toContain("/programs/node");
    expect(await runner.call("later.mjs")).toMatchObject({ kind: "block_error", exception_type: "TypeError", message: "later" });
    expect(await runner.call("text.mjs")).toMatchObject({ kind: "block_error", message: "only text" });
    expect(await runner.call("odd.mjs")).toMatchObject({ kind: "block_error" });
  });

  test("X14 no run, a syntax error, a failing import have types of their own", async () => {
    await using runner = await startRunner("node", {
      files: {
        "empty.mjs": "export const x = 1;",
        "syntax.mjs": "export function run( {",
        "enum.ts": "export enum A { B }\nexport const run = () => 1;",
        "missing.mjs": "import 'not-there'; export const run = () => 1;",
        "throws.mjs": "throw new Error('at import');",
      },
    });
    expect(await runner.call("empty.mjs")).toMatchObject({ kind: "no_run_function" });
    expect(await runner.call("syntax.mjs")).toMatchObject({ kind: "module_load_error", exception_type: "SyntaxError" });
    expect(await runner.call("enum.ts")).toMatchObject({ kind: "module_load_error" });
    expect(await runner.call("missing.mjs")).toMatchObject({ kind: "module_load_error" });
    expect(await runner.call("throws.mjs")).toMatchObject({ kind: "module_load_error", message: "at import" });
    expect(await runner.call("gone.mjs")).toMatchObject({ kind: "module_load_error" });
  });

  test("X15 generators, async generators and promises are drained or awaited", async () => {
    await using runner = await startRunner("node", {
      files: {
        "gen.mjs": "export function* run() { yield 1; yield {two: 2}; }",
        "agen.mjs": "export async function* run() { yield 'a'; yield 'b'; }",
        "promise.mjs": "export const run = () => new Promise((done) => setTimeout(done, 5, 'done'));",
      },
    });
    expect(await runner.call("gen.mjs")).toMatchObject({
      kind: "ok",
      streaming: true,
      value: { chunks: [1, { two: 2 }], is_streaming: true },
      chunks: [1, { two: 2 }],
    });
    expect(await runner.call("agen.mjs")).toMatchObject({ kind: "ok", streaming: true, chunks: ["a", "b"] });
    expect(await runner.call("promise.mjs")).toMatchObject({ kind: "ok", streaming: false, value: "done" });
  });

  test("X16 what JSON does not have becomes its nearest form with a warning; a cycle is invalid", async () => {
    await using runner = await startRunner("node", {
      files: {
        "values.mjs":
          "export const run = () => ({ d: new Date(0), m: new Map([['k', 1]]), s: new Set([1]), b: Buffer.from('hi'), g: 10n, n: NaN, u: undefined, a: [undefined], f: () => 1, e: new Error('x'), url: new URL('https://a.b/'), ['__proto__']: 1 });",
        "cycle.mjs": "export const run = () => { const a = {}; a.a = a; return a; };",
        "deep.mjs": "export const run = ({ n }) => { let a = 1; for (let i = 0; i < n; i += 1) a = [a]; return a; };",
      },
    });
    const values = await runner.call("values.mjs");
    expect(values).toMatchObject({
      kind: "ok",
      value: {
        d: "1970-01-01T00:00:00.000Z",
        m: { k: 1 },
        s: [1],
        b: "aGk=",
        g: "10",
        n: null,
        a: [null],
        e: "Error: x",
        url: "https://a.b/",
      },
    });
    expect(values.kind === "ok" ? values.warnings.length : 0).toBe(9);
    expect(await runner.call("cycle.mjs")).toMatchObject({ kind: "invalid_output" });
    expect(await runner.call("deep.mjs", { n: 200 })).toMatchObject({ kind: "ok" });
    expect(await runner.call("deep.mjs", { n: 201 })).toMatchObject({ kind: "invalid_output" });
  });
});
