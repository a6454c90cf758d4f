import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { startRunner } from "./start-runner.ts";

/** Helpers of hostile blocks: raw frames on fd 3, and who else the runner started. */
const TOOLS = `
import json, os, signal, time

def frame(header, payload=b""):
    text = json.dumps(header).encode()
    return len(text).to_bytes(4, "big") + text + payload

def send(header, payload=b""):
    data = frame(header, payload)
    while data:
        data = data[os.write(3, data):]

def siblings():
    parent = os.getppid()
    with open(f"/proc/{parent}/task/{parent}/children") as file:
        return [int(pid) for pid in file.read().split() if int(pid) != os.getpid()]
`;

/** 600 bytes whose compilation doubles its work with each level. */
function slowSource(levels: number): string {
  const lines: string[] = [];
  for (let level = 0; level < levels; level += 1) lines.push(`${" ".repeat(level)}try:a`, `${" ".repeat(level)}finally:`);
  return `${lines.join("\n")}\n${" ".repeat(levels)}b\n`;
}

const PYTHON = {
  "tools.py": TOOLS,
  "echo.py": "def run(i):\n    return i\n",
  "forge.py": "from tools import *\ndef run(i):\n    send(i['header'], i.get('payload', '').encode())\n    time.sleep(5)\n",
  "wide.py":
    "from tools import *\ndef run(i):\n    text = json.dumps({'kind': 'block_error', 'message': '\\U0001F600' * 8000, 'traceback': '\\U0001F600' * 4000}, ensure_ascii=False).encode()\n    os.write(3, len(text).to_bytes(4, 'big') + text)\n    time.sleep(5)\n",
  "empty_chunks.py":
    "from tools import *\ndef run(i):\n    one = frame({'kind': 'chunk'}) * 1000\n    while True:\n        os.write(3, one)\n",
  "slow.py": slowSource(18),
  "claims.py":
    "from tools import *\ndef run(i):\n    send({'kind': 'ok', 'payload': 4, 'compiled': [i['pack'] + '/' * n + 'slow.py' for n in range(1, 60)]}, b'null')\n",
  "late.py":
    "from tools import *\ndef run(i):\n    data = frame({'kind': 'chunk', 'payload': 1000}, b'\"' + b'x' * 998 + b'\"') * 100 + frame({'kind': 'ok', 'payload': 1}, b'7')\n    os.kill(os.getppid(), signal.SIGSTOP)\n    os.write(3, data)\n    os._exit(0)\n",
  "starve.py":
    "from tools import *\ndef run(i):\n    until = time.monotonic() + 1\n    others = siblings()\n    while time.monotonic() < until:\n        for pid in others:\n            os.kill(pid, signal.SIGSTOP)\n        time.sleep(0.001)\n    for pid in others:\n        os.kill(pid, signal.SIGKILL)\n    time.sleep(0.3)\n    return True\n",
  "freeze.py": "from tools import *\ndef run(i):\n    for pid in siblings():\n        os.kill(pid, signal.SIGSTOP)\n    return True\n",
  "limit.py": "import os, resource\ndef run(i):\n    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (8, 8))\n    return True\n",
  "lock.py":
    "import os\ndef run(i):\n    seen = os.path.exists(i['temp'] + '/secret')\n    open(i['temp'] + '/secret', 'w').close()\n    os.chmod(i['temp'], 0)\n    return seen\n",
  "look.py":
    "import os\ndef run(i):\n    os.chmod(i['temp'], 0o700)\n    return [n for n in os.listdir(i['temp']) if not n.startswith('call-')]\n",
};

const SENDING = `
import fs from "node:fs";
const send = (header, payload = "") => {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  fs.writeSync(3, Buffer.concat([length, text, Buffer.from(payload)]));
};
`;

const NODE = {
  "echo.mjs": "export const run = (i) => i;",
  "forge.mjs": `${SENDING} export const run = ({ header, payload }) => { send(header, payload); return new Promise((d) => setTimeout(d, 5000)); };`,
  // Bytes that are no UTF-8: each becomes three.
  "wide.mjs": `import fs from "node:fs"; export const run = () => { const bad = Buffer.alloc(16000, 0xff); const text = Buffer.concat([Buffer.from('{"kind":"block_error","message":"'), bad, Buffer.from('","traceback":"'), bad, Buffer.from('"}')]); const length = Buffer.alloc(4); length.writeUInt32BE(text.length); fs.writeSync(3, Buffer.concat([length, text])); return new Promise((d) => setTimeout(d, 5000)); };`,
  "empty_chunks.mjs": `${SENDING} export const run = () => { for (;;) send({ kind: "chunk" }); };`,
  "lock.mjs":
    "import fs from 'node:fs'; export const run = ({ temp }) => { fs.writeFileSync(Buffer.concat([Buffer.from(temp + '/'), Buffer.from([0xff, 0xfe, 0x0a])]), ''); fs.mkdirSync(Buffer.concat([Buffer.from(temp + '/d'), Buffer.from([0xff])])); fs.chmodSync(temp, 0); return true; };",
  "look.mjs":
    "import fs from 'node:fs'; export const run = ({ temp }) => { fs.chmodSync(temp, 0o700); return fs.readdirSync(temp).filter((n) => !n.startsWith('call-')); };",
  "own.mjs":
    "import fs from 'node:fs'; import os from 'node:os'; export const run = async ({ temp, ms }) => { await new Promise((d) => setTimeout(d, ms)); return { mine: os.tmpdir(), all: fs.readdirSync(temp) }; };",
};

const RUNTIMES = [
  { runtime: "python", extension: "py", files: PYTHON },
  { runtime: "node", extension: "mjs", files: NODE },
] as const;

test.each(RUNTIMES)(
  "X38 an answer of any shape on fd 3 of $runtime spoils its own call and no other",
  async ({ runtime, extension, files }) => {
    await using runner = await startRunner(runtime, { files });
    const kinds = [[], {}, null, 7, "__proto__", ["ok"]];
    for (const kind of kinds) {
      const result = await runner.call(`forge.${extension}`, { header: { kind } });
      expect({ kind, result: result.kind }).toEqual({ kind, result: "protocol_error" });
    }
    expect(await runner.call(`echo.${extension}`, 1)).toMatchObject({ kind: "ok", value: 1 });
    expect(runner.faults).toEqual([]);
  },
);

test.each(RUNTIMES)(
  "X38 error texts of $runtime that would not fit a header fail their own call only",
  async ({ runtime, extension, files }) => {
    await using runner = await startRunner(runtime, { files });
    expect(await runner.call(`wide.${extension}`)).toMatchObject({ kind: "block_error" });
    expect(await runner.call(`echo.${extension}`, 1)).toMatchObject({ kind: "ok", value: 1 });
    expect(runner.faults).toEqual([]);
  },
);

test.each(RUNTIMES)("pieces without bytes end a call of $runtime instead of flooding the host", async ({ runtime, extension, files }) => {
  await using runner = await startRunner(runtime, { files });
  const result = await runner.call(`empty_chunks.${extension}`, {}, { timeout_ms: 20_000 });
  expect(result).toMatchObject({ kind: "protocol_error", chunks: [] });
  expect(await runner.call(`echo.${extension}`, 1)).toMatchObject({ kind: "ok", value: 1 });
});

test.each(RUNTIMES)(
  "X24 a temporary folder of $runtime made unreadable, and names of any bytes, are empty in the next call",
  async ({ runtime, extension, files }) => {
    await using runner = await startRunner(runtime, { files });
    expect((await runner.call(`lock.${extension}`, { temp: runner.temp })).kind).toBe("ok");
    const result = await runner.call(`look.${extension}`, { temp: runner.temp });
    expect(result).toMatchObject({ kind: "ok", value: [] });
  },
);

test("X38 files named by a forged answer are not compiled in the runner's own process", async () => {
  await using runner = await startRunner("python", { files: PYTHON });
  expect(await runner.call("claims.py", { pack: runner.pack })).toMatchObject({ kind: "ok" });
  expect(await runner.call("echo.py", 1, { timeout_ms: 1500 })).toMatchObject({ kind: "ok", value: 1 });
  expect(runner.faults).toEqual([]);
});

test("a result that was written before its process ended is not lost behind many pieces", async () => {
  await using runner = await startRunner("python", { files: PYTHON });
  const running = runner.call("late.py");
  await sleep(500);
  process.kill(runner.pid, "SIGCONT");
  const result = await running;
  expect(result).toMatchObject({ kind: "ok", value: 7 });
  expect(result.chunks).toHaveLength(100);
});

test("X38 a call that is killed by a sibling while it is handed its input ends alone", async () => {
  await using runner = await startRunner("python", { files: PYTHON });
  const hostile = runner.call("starve.py");
  await sleep(400);
  const victim = await runner.call("echo.py", "x".repeat(3_000_000));
  expect(victim.kind).toBe("crashed");
  expect(await hostile).toMatchObject({ kind: "ok", value: true });
  expect(runner.faults).toEqual([]);
});

test("processes that a call stopped serve the calls after it", async () => {
  await using runner = await startRunner("python", { files: PYTHON });
  for (let n = 0; n < 2; n += 1) {
    await runner.call("echo.py", 1);
    await runner.call("freeze.py");
    await sleep(100);
  }
  expect(await runner.call("freeze.py")).toMatchObject({ kind: "ok" });
  for (let n = 0; n < 3; n += 1) expect(await runner.call("echo.py", n, { timeout_ms: 2000 })).toMatchObject({ kind: "ok", value: n });
});

test("X24 the temporary folder of a call goes with the call, also while others run", async () => {
  await using runner = await startRunner("node", { files: NODE });
  const long = runner.call("own.mjs", { temp: runner.temp, ms: 1500 });
  for (let n = 0; n < 3; n += 1) await runner.call("own.mjs", { temp: runner.temp, ms: 0 });
  const last = await runner.call("own.mjs", { temp: runner.temp, ms: 300 });
  const { mine, all } = (last.kind === "ok" ? last.value : {}) as { mine: string; all: string[] };
  expect(all.map((name) => `${runner.temp}/${name}`)).toContain(mine);
  expect(all).toHaveLength(2);
  await long;
});

test("a runner whose means a call took away asks to be removed, instead of serving no call ever again", async () => {
  await using runner = await startRunner("python", { files: PYTHON });
  await runner.call("echo.py", 1);
  await runner.call("limit.py");
  const kinds: string[] = [];
  for (let n = 0; n < 5 && runner.faults.length === 0; n += 1) kinds.push((await runner.call("echo.py", n, { timeout_ms: 2000 })).kind);
  expect(kinds).not.toContain("timeout");
  expect(runner.faults).toMatchObject([{ code: "start_failed" }]);
});
