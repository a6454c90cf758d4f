import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { startRunner } from "./start-runner.ts";

const RUNTIMES = ["python", "node"] as const;

/** The same block in both languages. */
function files(python: Record<string, string>, node: Record<string, string>): Record<"python" | "node", Record<string, string>> {
  return {
    python: Object.fromEntries(Object.entries(python).map(([name, text]) => [`${name}.py`, text])),
    node: Object.fromEntries(Object.entries(node).map(([name, text]) => [`${name}.mjs`, text])),
  };
}

const EXTENSION = { python: "py", node: "mjs" } as const;

const BLOCKS = files(
  {
    echo: "def run(i):\n    return i\n",
    text: "def run(i):\n    return 'x' * i['n']\n",
    many: "def run(i):\n    for _ in range(i['count']):\n        yield 'x' * i['n']\n",
    exit: "import os, sys\ndef run(i):\n    print('last words')\n    os._exit(3)\n",
    sysexit: "import sys\ndef run(i):\n    sys.exit(4)\n",
    segv: "import os, signal\ndef run(i):\n    os.kill(os.getpid(), signal.SIGSEGV)\n    import time\n    time.sleep(5)\n",
    sleep: "import time\ndef run(i):\n    time.sleep(60)\n",
    loop: "def run(i):\n    while True:\n        pass\n",
    deaf: "import signal, time\ndef run(i):\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    while True:\n        time.sleep(1)\n",
    tree: "import subprocess, sys, os\ndef run(i):\n    p = subprocess.Popen(['sleep', '60'])\n    q = subprocess.Popen(['sleep', '60'], start_new_session=True)\n    if i.get('wait'):\n        import time\n        time.sleep(60)\n    return [p.pid, q.pid]\n",
    flood: "import sys\ndef run(i):\n    for _ in range(5 * 64):\n        sys.stdout.write('x' * 16383 + '\\n')\n    return 'done'\n",
    lines: "def run(i):\n    print('y' * 20000)\n    print('short')\n    print('no end', end='')\n",
    forge:
      "import os, json\ndef run(i):\n    h = json.dumps(i['header']).encode()\n    os.write(3, len(h).to_bytes(4, 'big') + h + i['payload'].encode())\n    return 'mine'\n",
    garbage: "import os\ndef run(i):\n    os.write(3, b'\\xff' * 64)\n    return 'mine'\n",
    silent: "import os\ndef run(i):\n    os.close(3)\n    import time\n    time.sleep(20)\n",
    state:
      "import os\ncount = 0\ndef run(i):\n    global count\n    count += 1\n    if i.get('crash'):\n        os._exit(1)\n    return [count, os.getpid()]\n",
    leave:
      "import os, tempfile\ndef run(i):\n    base = i['temp']\n    seen = sorted(n for n in os.listdir(base) if not n.startswith('call-'))\n    os.environ['LEFT'] = os.environ.get('LEFT', '') + 'x'\n    open(base + '/file', 'w').close()\n    d = base + '/deep'\n    for _ in range(300):\n        os.mkdir(d)\n        d += '/d' if len(d) < 3000 else ''\n        if len(d) >= 3000:\n            break\n    open(tempfile.mkdtemp() + '/x', 'w').close()\n    os.chmod(base + '/deep', 0)\n    fds = sorted(int(n) for n in os.listdir('/proc/self/fd'))\n    return {'seen': seen, 'env': os.environ['LEFT'], 'fds': fds[:-1], 'inside': tempfile.gettempdir().startswith(base)}\n",
  },
  {
    echo: "export const run = (i) => i;",
    text: "export const run = ({ n }) => 'x'.repeat(n);",
    many: "export function* run({ n, count }) { for (let i = 0; i < count; i += 1) yield 'x'.repeat(n); }",
    exit: "export const run = () => { console.log('last words'); process.reallyExit(3); };",
    sysexit: "export const run = () => { process.exit(4); };",
    segv: "export const run = () => { process.kill(process.pid, 'SIGSEGV'); return new Promise((d) => setTimeout(d, 5000)); };",
    sleep: "export const run = () => new Promise((done) => setTimeout(done, 60000));",
    loop: "export const run = () => { for (;;); };",
    deaf: "export const run = () => { process.on('SIGTERM', () => {}); return new Promise((done) => setTimeout(done, 60000)); };",
    tree: "import { spawn } from 'node:child_process'; export const run = ({ wait }) => { const p = spawn('sleep', ['60']); const q = spawn('sleep', ['60'], { detached: true }); if (wait) return new Promise((d) => setTimeout(d, 60000)); return [p.pid, q.pid]; };",
    flood:
      "import fs from 'node:fs'; export const run = () => { const l = 'x'.repeat(16383) + '\\n'; for (let i = 0; i < 320; i += 1) process.stdout.write(l); return 'done'; };",
    lines: "export const run = () => { console.log('y'.repeat(20000)); console.log('short'); process.stdout.write('no end'); };",
    forge:
      "import fs from 'node:fs'; export const run = ({ header, payload }) => { const h = Buffer.from(JSON.stringify(header)); const l = Buffer.alloc(4); l.writeUInt32BE(h.length); fs.writeSync(3, Buffer.concat([l, h, Buffer.from(payload)])); return 'mine'; };",
    garbage: "import fs from 'node:fs'; export const run = () => { fs.writeSync(3, Buffer.alloc(64, 255)); return 'mine'; };",
    silent: "import fs from 'node:fs'; export const run = () => { fs.closeSync(3); return new Promise((d) => setTimeout(d, 20000)); };",
    state:
      "let count = 0; export const run = ({ crash }) => { count += 1; if (crash) process.reallyExit(1); return [count, process.pid]; };",
    leave:
      "import fs from 'node:fs'; import os from 'node:os'; export const run = ({ temp }) => { const seen = fs.readdirSync(temp).filter((n) => !n.startsWith('call-')).sort(); process.env.LEFT = (process.env.LEFT ?? '') + 'x'; fs.writeFileSync(temp + '/file', ''); fs.mkdirSync(temp + '/deep/' + 'd/'.repeat(1000), { recursive: true }); fs.writeFileSync(fs.mkdtempSync(os.tmpdir() + '/t') + '/x', ''); fs.chmodSync(temp + '/deep', 0); return { seen, env: process.env.LEFT, fds: [0, 1, 2, 3], inside: os.tmpdir().startsWith(temp) }; };",
  },
);

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 200 && !condition(); turn += 1) await sleep(10);
  expect(condition()).toBe(true);
}

describe.each(RUNTIMES)("%s", (runtime) => {
  const start = (options: { reuse?: boolean; slots?: number; spares?: number; env?: Record<string, string> } = {}) =>
    startRunner(runtime, { files: BLOCKS[runtime], ...options });
  const f = (name: string): string => `${name}.${EXTENSION[runtime]}`;

  test("X17 a result at its limit passes, one byte more is response_too_large; chunks count together", async () => {
    await using runner = await start();
    const at = (n: number) => runner.call(f("text"), { n }, { max_result_bytes: 1000 });
    expect(await at(998)).toMatchObject({ kind: "ok" });
    expect(await at(999)).toMatchObject({ kind: "response_too_large" });
    expect(await at(5_000_000)).toMatchObject({ kind: "response_too_large" });
    const many = await runner.call(f("many"), { n: 400, count: 1000 }, { max_result_bytes: 1000 });
    expect(many).toMatchObject({ kind: "response_too_large" });
    expect(many.chunks.length).toBeLessThanOrEqual(2);
  });

  test("a value of 4 MiB goes in and comes back whole", async () => {
    await using runner = await start();
    const big = { text: "x日".repeat(800_000), list: Array.from({ length: 1000 }, (_, index) => index) };
    const result = await runner.call(f("echo"), big, { max_result_bytes: 8 * 1024 * 1024 });
    expect(result.kind).toBe("ok");
    expect(result.kind === "ok" && JSON.stringify(result.value) === JSON.stringify(big)).toBe(true);
  });

  test("X18 a process that ends without an answer is crashed, with its code or signal, and its last log", async () => {
    await using runner = await start();
    const exit = await runner.call(f("exit"));
    expect(exit).toMatchObject({ kind: "crashed", exit_code: 3, logs: [{ text: "last words" }] });
    expect(await runner.call(f("sysexit"))).toMatchObject({ kind: "crashed", exit_code: 4 });
    expect(await runner.call(f("segv"))).toMatchObject({ kind: "crashed", signal: "SIGSEGV" });
    expect(await runner.call(f("echo"), 1)).toMatchObject({ kind: "ok", value: 1 });
  });

  test("a process that gives up its result channel is crashed at once, not at its deadline", async () => {
    await using runner = await start();
    expect(await runner.call(f("silent"))).toMatchObject({ kind: "crashed" });
  });

  test.each(["sleep", "loop", "deaf"])("X20 the deadline ends a block that would %s for ever", async (name) => {
    await using runner = await start();
    const result = await runner.call(f(name), {}, { timeout_ms: 300 });
    expect(result).toMatchObject({ kind: "timeout" });
    expect(result.duration_ms).toBeLessThan(2000);
    expect(runner.faults).toEqual([]);
    expect(await runner.call(f("echo"), 1)).toMatchObject({ kind: "ok" });
  });

  test("X20 the deadline ends the children of a block too", async () => {
    await using runner = await start();
    const { execFileSync } = await import("node:child_process");
    const sleepers = (): string[] =>
      execFileSync("ps", ["-eo", "pid,args"])
        .toString()
        .split("\n")
        .filter((line) => line.endsWith(" sleep 60"));
    const before = sleepers().length;
    expect(await runner.call(f("tree"), { wait: true }, { timeout_ms: 400 })).toMatchObject({ kind: "timeout" });
    if (runtime === "python") expect(sleepers().length).toBe(before);
  });

  test("what a block started does not outlive its call", async () => {
    await using runner = await start();
    const result = await runner.call(f("tree"));
    const pids = result.kind === "ok" ? (result.value as number[]) : [];
    await until(() => !alive(pids[0] ?? 0));
    // A process of a session of its own is found as an orphan: by Python anywhere, by Node only as process 1.
    if (runtime === "python") await until(() => !alive(pids[1] ?? 0));
    else if (pids[1] !== undefined) process.kill(pids[1], "SIGKILL");
  });

  test.each(["sleep", "deaf"])("X22 cancelling ends a block that would %s", async (name) => {
    await using runner = await start();
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 150);
    const result = await runner.call(f(name), {}, { signal: controller.signal });
    expect(result).toMatchObject({ kind: "cancelled" });
    expect(result.duration_ms).toBeLessThan(2000);
    expect(await runner.call(f("echo"), 1, { signal: AbortSignal.abort() })).toMatchObject({ kind: "cancelled" });
    expect(await runner.call(f("echo"), 1)).toMatchObject({ kind: "ok" });
    expect(runner.faults).toEqual([]);
  });

  test("X24 nothing of a call is there in the next: globals, files, environment, descriptors", async () => {
    await using runner = await start({ slots: 1 });
    for (let turn = 0; turn < 3; turn += 1) {
      expect(await runner.call(f("leave"), { temp: runner.temp })).toMatchObject({
        kind: "ok",
        value: { seen: [], env: "x", fds: [0, 1, 2, 3], inside: true },
      });
      expect(await runner.call(f("state"))).toMatchObject({ kind: "ok", value: [1, expect.any(Number)] });
    }
    await until(() => readdirSync(runner.temp).length === 0);
  });

  test("X25 with reuse globals stay, until a crash or a timeout", async () => {
    await using runner = await start({ reuse: true });
    const first = await runner.call(f("state"));
    const second = await runner.call(f("state"));
    expect(first).toMatchObject({ kind: "ok", value: [1, expect.any(Number)] });
    expect(second).toMatchObject({ kind: "ok", value: [2, first.kind === "ok" ? (first.value as number[])[1] : 0] });
    expect(await runner.call(f("state"), { crash: true })).toMatchObject({ kind: "crashed", exit_code: 1 });
    expect(await runner.call(f("state"))).toMatchObject({ kind: "ok", value: [1, expect.any(Number)] });
    expect(await runner.call(f("sleep"), {}, { timeout_ms: 200 })).toMatchObject({ kind: "timeout" });
    expect(await runner.call(f("state"))).toMatchObject({ kind: "ok", value: [1, expect.any(Number)] });
  });

  test("X26 5 MiB of log are cut at the cap and the rest is counted", async () => {
    await using runner = await start();
    const result = await runner.call(f("flood"));
    expect(result).toMatchObject({ kind: "ok", value: "done", log: { bytes: 256 * 1024, dropped: 5 * 1024 * 1024 - 256 * 1024 } });
    expect(result.logs.length).toBe(32);
  });

  test("X26 a line has at most 8 KiB, and the last needs no end", async () => {
    await using runner = await start();
    const { logs } = await runner.call(f("lines"));
    expect(logs.map(({ text }) => text.length)).toEqual([8192, 8192, 20000 - 2 * 8192, 5, 6]);
  });

  test("X38 a forged frame on fd 3 spoils its own call and no other", async () => {
    await using runner = await start();
    const other = runner.call(f("text"), { n: 10 });
    const forge = (header: Record<string, string | number | boolean>, payload = "") => runner.call(f("forge"), { header, payload });
    expect(await forge({ type: "result", call_id: "call-1", kind: "ok", payload: 5 }, "false")).toMatchObject({ kind: "ok", value: false });
    expect(await forge({ kind: "ok", payload: 4 }, "nope")).toMatchObject({ kind: "protocol_error" });
    expect(await forge({ kind: "shell" })).toMatchObject({ kind: "protocol_error" });
    expect(await forge({ kind: "ok", payload: 50_000_000 })).toMatchObject({ kind: "response_too_large" });
    expect(await forge({ kind: "ok", payload: -1 })).toMatchObject({ kind: "protocol_error" });
    expect(await forge({ kind: "chunk", payload: 3 }, "{{{")).toMatchObject({ kind: "protocol_error" });
    expect(await forge({ kind: "ok", payload: 1000 }, "[".repeat(1000))).toMatchObject({ kind: "protocol_error" });
    expect(await forge({ kind: "ok", payload: 1000 }, "[".repeat(500) + "]".repeat(500))).toMatchObject({ kind: "protocol_error" });
    expect(await runner.call(f("garbage"))).toMatchObject({ kind: "protocol_error" });
    expect(await other).toMatchObject({ kind: "ok", value: "xxxxxxxxxx" });
    expect(await runner.call(f("echo"), 1)).toMatchObject({ kind: "ok", value: 1 });
    expect(runner.faults).toEqual([]);
  });

  test("many calls at once come back to their own callers", async () => {
    await using runner = await start();
    const results = await Promise.all(Array.from({ length: 24 }, (_, index) => runner.call(f("echo"), { index })));
    results.forEach((result, index) => expect(result).toMatchObject({ kind: "ok", value: { index } }));
  });

  test("a runner that is drained leaves when its last call is done", async () => {
    await using runner = await start();
    const call = runner.call(f("text"), { n: 3 });
    runner.session.drain();
    expect(await call).toMatchObject({ kind: "ok" });
    await runner.exited;
    await runner.session.closed;
  });

  test("when the host goes, the runner and its blocks go", async () => {
    await using runner = await start();
    const call = runner.call(f("sleep"));
    await sleep(200);
    runner.session.close({ kind: "stopped", message: "gone" });
    expect(await call).toMatchObject({ kind: "cancelled" });
    await runner.exited;
  });

  test("X23 a stopped runner is told of, so that the instance can be killed", async () => {
    await using runner = await start();
    process.kill(runner.pid, "SIGSTOP");
    const result = await runner.call(f("echo"), {}, { timeout_ms: 100 });
    expect(result).toMatchObject({ kind: "timeout" });
    expect(runner.faults).toMatchObject([{ code: "deadline" }]);
    expect(await runner.call(f("echo"))).toMatchObject({ kind: "instance_lost" });
    process.kill(runner.pid, "SIGCONT");
  });

  test("a killed runner ends its calls", async () => {
    await using runner = await start();
    const call = runner.call(f("sleep"));
    await sleep(200);
    process.kill(runner.pid, "SIGKILL");
    expect(await call).toMatchObject({ kind: "instance_lost" });
    expect(await runner.session.closed).toMatchObject({ kind: "instance_lost" });
  });
});
