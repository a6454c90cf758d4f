import { Buffer } from "node:buffer";
import { MAX_CALL_LOG_LINES, MAX_RESULT_DEPTH } from "@rumi/wire";
import { expect, test } from "vitest";
import type { LogLine, RunResult, RunSpec } from "./ports.ts";
import { RunnerCall } from "./runner-call.ts";

function begin() {
  const lines: LogLine[] = [];
  const results: RunResult[] = [];
  const spec: RunSpec = {
    call_id: "c",
    convention: "block",
    file: "a.py",
    function: null,
    input: {},
    context: {},
    timeout_ms: 1000,
    max_result_bytes: 4 * 1024 * 1024,
    max_log_bytes: 256 * 1024,
    on_log: (line) => lines.push(line),
  };
  const call = new RunnerCall(spec, "warm", (result) => results.push(result));
  const finish = (payload: string): RunResult | undefined => {
    call.finish({ type: "result", call_id: "c", kind: "ok" }, Buffer.from(payload), 1);
    return results[0];
  };
  return { call, lines, finish };
}

test("X26 a flood of empty lines is cut at a number of lines, and the rest is counted", () => {
  const { call, lines, finish } = begin();
  for (let n = 0; n < 4; n += 1) {
    call.log({ type: "log", call_id: "c", stream: n % 2 === 0 ? "stdout" : "stderr", payload: 65_536 }, Buffer.alloc(65_536, 10));
  }
  const result = finish("1");
  expect(lines).toHaveLength(MAX_CALL_LOG_LINES);
  expect(result?.log).toEqual({ bytes: MAX_CALL_LOG_LINES, dropped: 4 * 65_536 - MAX_CALL_LOG_LINES });
});

test("X16 millions of brackets are no result, and brackets in texts are", () => {
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  expect(begin().finish(nested(2_000_000))?.kind).toBe("protocol_error");
  const wide = JSON.stringify({ text: '[{\\"'.repeat(50_000), fine: JSON.parse(nested(MAX_RESULT_DEPTH - 1)) as unknown });
  expect(begin().finish(wide)?.kind).toBe("ok");
});
