import type { JsonValue } from "@rumi/core";
import type { Runtime } from "../ports.ts";
import { FakeFailure } from "./fake-sandbox.ts";
import type { FakeBlock } from "./fake-sandbox.ts";

/** One block of the contract's pack: the same behaviour in both languages and for the fake. */
interface ContractBlock {
  readonly python: string;
  readonly node: string;
  readonly fake: FakeBlock;
}

const hang: FakeBlock = ({ signal }) =>
  new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true }));

const BLOCKS: Readonly<Record<string, ContractBlock>> = {
  echo: {
    python: "def run(input, context):\n    return {'input': input, 'run_id': context.get('run_id')}\n",
    node: "export const run = (input, context) => ({ input, run_id: context.run_id ?? null });\n",
    fake: ({ input, context }) => ({ input, run_id: context["run_id"] ?? null }),
  },
  prints: {
    python:
      "import sys\ndef run(input, context):\n    print('{\"forged\": 1}')\n    print('to stderr', file=sys.stderr)\n    return 'real'\n",
    node: "export const run = () => { console.log('{\"forged\": 1}'); console.error('to stderr'); return 'real'; };\n",
    fake: ({ log }) => {
      log("stdout", '{"forged": 1}\n');
      log("stderr", "to stderr\n");
      return "real";
    },
  },
  prints_much: {
    python: "def run(input, context):\n    for _ in range(input['lines']):\n        print('x' * 1023)\n    return True\n",
    node: "export const run = (input) => { for (let i = 0; i < input.lines; i += 1) console.log('x'.repeat(1023)); return true; };\n",
    fake: ({ input, log }) => {
      for (let line = 0; line < Number(member(input, "lines")); line += 1) log("stdout", `${"x".repeat(1023)}\n`);
      return true;
    },
  },
  fails: {
    python: "def run(input, context):\n    raise ValueError('no good')\n",
    node: "export const run = () => { throw new TypeError('no good'); };\n",
    fake: () => {
      throw new FakeFailure("block_error", "no good", { exception_type: "ValueError" });
    },
  },
  no_run: {
    python: "answer = 42\n",
    node: "export const answer = 42;\n",
    fake: () => {
      throw new FakeFailure("no_run_function", "the file has no run function");
    },
  },
  syntax_error: {
    python: "def run(:\n",
    node: "export const run = (;\n",
    fake: () => {
      throw new FakeFailure("module_load_error", "syntax error");
    },
  },
  long_result: {
    python: "def run(input, context):\n    return 'x' * input['length']\n",
    node: "export const run = (input) => 'x'.repeat(input.length);\n",
    fake: ({ input }) => "x".repeat(Number(member(input, "length"))),
  },
  leaves: {
    python: "import os\ndef run(input, context):\n    os._exit(3)\n",
    node: "export const run = () => process.exit(3);\n",
    fake: () => {
      throw new FakeFailure("crashed", "the block's process ended", { exit_code: 3 });
    },
  },
  hangs: {
    python: "import time\ndef run(input, context):\n    while True:\n        time.sleep(1)\n",
    node: "export const run = () => new Promise(() => setInterval(() => {}, 1000));\n",
    fake: hang,
  },
  spins: {
    python: "def run(input, context):\n    while True:\n        pass\n",
    node: "export const run = () => { for (;;); };\n",
    fake: hang,
  },
  counts: {
    python: "count = 0\ndef run(input, context):\n    global count\n    count += 1\n    return count\n",
    node: "let count = 0;\nexport const run = () => (count += 1);\n",
    fake: ({ state }) => {
      const count = Number(state.get("count") ?? 0) + 1;
      state.set("count", count);
      return count;
    },
  },
  visits: {
    python:
      "import time\ninside = most = calls = 0\ndef run(input, context):\n    global inside, most, calls\n    inside += 1\n    calls += 1\n    most = max(most, inside)\n    time.sleep(0.02)\n    inside -= 1\n    return {'most': most, 'calls': calls}\n",
    node: "let inside = 0, most = 0, calls = 0;\nexport const run = async () => {\n  inside += 1;\n  calls += 1;\n  most = Math.max(most, inside);\n  await new Promise((done) => setTimeout(done, 20));\n  inside -= 1;\n  return { most, calls };\n};\n",
    fake: async ({ state }) => {
      const count = (name: string, by: number): number => {
        state.set(name, Number(state.get(name) ?? 0) + by);
        return Number(state.get(name));
      };
      const calls = count("calls", 1);
      const inside = count("inside", 1);
      state.set("most", Math.max(Number(state.get("most") ?? 0), inside));
      await new Promise((done) => setTimeout(done, 1));
      count("inside", -1);
      return { most: state.get("most") ?? 0, calls };
    },
  },
  streams: {
    python: "def run(input, context):\n    yield 1\n    yield 2\n",
    node: "export function* run() { yield 1; yield 2; }\n",
    fake: ({ chunk }) => {
      chunk(1);
      chunk(2);
      return { chunks: [1, 2], is_streaming: true };
    },
  },
};

function member(value: JsonValue, name: string): JsonValue {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? ((value as Record<string, JsonValue>)[name] ?? null) : null;
}

/** The file of a contract block in a runtime. */
export function contractFile(block: string, runtime: Runtime): string {
  return `blocks/${block}.${runtime === "python" ? "py" : "mjs"}`;
}

/** Every file of the contract's pack, by path. */
export function contractFiles(): Record<string, string> {
  const files: Record<string, string> = {};
  for (const [name, block] of Object.entries(BLOCKS)) {
    files[contractFile(name, "python")] = block.python;
    files[contractFile(name, "node")] = block.node;
  }
  return files;
}

/** The same blocks for a `FakeSandbox`, by path. */
export function contractFakes(): Record<string, FakeBlock> {
  const fakes: Record<string, FakeBlock> = {};
  for (const [name, block] of Object.entries(BLOCKS)) {
    fakes[contractFile(name, "python")] = block.fake;
    fakes[contractFile(name, "node")] = block.fake;
  }
  return fakes;
}
