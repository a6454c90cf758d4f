import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { JsonObject } from "@rumi/core";
import { systemClock } from "@rumi/core";
import { encodeFrame, FrameDecoder, parseHostMessage } from "@rumi/wire";
import type { Call, HostMessage } from "@rumi/wire";
import { expect, test } from "vitest";
import type { InstanceSpec, RunSpec } from "./ports.ts";
import { RunnerSession } from "./runner-session.ts";
import type { SessionFault } from "./runner-session.ts";

/** The other end of a session: what it got, and a hand to answer with. */
class FakeRunner {
  readonly stream: Duplex;
  readonly got: HostMessage[] = [];
  readonly payloads: string[] = [];
  readonly faults: SessionFault[] = [];
  onMessage: (message: HostMessage) => void = () => {};

  constructor() {
    const decoder = new FrameDecoder();
    this.stream = new Duplex({
      read: () => {},
      write: (chunk: Buffer, _encoding, done) => {
        for (const frame of decoder.push(chunk)) {
          const message = parseHostMessage(frame);
          this.got.push(message);
          if (frame.payload !== null) this.payloads.push(Buffer.from(frame.payload).toString());
          this.onMessage(message);
        }
        done();
      },
    });
  }

  say(header: JsonObject, payload?: string): void {
    this.stream.push(Buffer.concat(encodeFrame(header, payload === undefined ? undefined : Buffer.from(payload))));
  }

  get lastCall(): Call {
    const call = this.got.findLast((message) => message.type === "call");
    if (call?.type !== "call") throw new Error("no call came");
    return call;
  }

  open(protocol = 1, readyTimeoutMs = 1000): Promise<RunnerSession> {
    const opened = RunnerSession.open(this.stream, {
      spec: { instance_id: "0".repeat(32), runtime: "python", reuse: false, slots: 4 } as InstanceSpec,
      clock: systemClock,
      onFault: (fault) => this.faults.push(fault),
      readyTimeoutMs,
    });
    this.say({ type: "ready", protocol, runtime_version: "3" });
    return opened;
  }
}

const spec = (callId: string, more: Partial<RunSpec> = {}): RunSpec => ({
  call_id: callId,
  convention: "block",
  file: "hello.py",
  function: null,
  input: { a: 1 },
  context: { flow_id: "f" },
  timeout_ms: 5000,
  max_result_bytes: 1000,
  max_log_bytes: 100,
  ...more,
});

test("greets with its versions, then carries calls, logs, chunks and results by call id", async () => {
  const runner = new FakeRunner();
  const session = await runner.open();
  expect(runner.got[0]).toMatchObject({ type: "hello", protocols: [1], slots: 4, reuse: false });
  const lines: string[] = [];
  const chunks: unknown[] = [];
  const first = session.run(spec("a", { on_log: ({ text }) => lines.push(text), on_chunk: (chunk) => chunks.push(chunk) }));
  const second = session.run(spec("b"));
  expect(session.busy).toBe(2);
  expect(runner.payloads[0]).toBe('{"input":{"a":1},"context":{"flow_id":"f"}}');
  runner.say({ type: "log", call_id: "a", stream: "stdout" }, "half ");
  runner.say({ type: "result", call_id: "b", kind: "block_error", message: "no", exception_type: "ValueError", log_dropped: 5 });
  runner.say({ type: "log", call_id: "a", stream: "stdout", dropped: 3 }, "line\nend");
  runner.say({ type: "chunk", call_id: "a" }, "[1]");
  runner.say({ type: "result", call_id: "a", kind: "ok", warnings: ["w"] }, '{"x":"日"}');
  expect(await first).toMatchObject({
    kind: "ok",
    value: { x: "日" },
    warnings: ["w"],
    streaming: false,
    start: "cold",
    log: { bytes: 13, dropped: 3 },
  });
  expect(await second).toMatchObject({
    kind: "block_error",
    message: "no",
    exception_type: "ValueError",
    start: "warm",
    log: { dropped: 5 },
  });
  expect(lines).toEqual(["half line", "end"]);
  expect(chunks).toEqual([[1]]);
  expect(session.busy).toBe(0);
  session.close({ kind: "stopped", message: "over" });
});

test("X26 what a runner sends over the log cap is counted and not kept", async () => {
  const runner = new FakeRunner();
  const session = await runner.open();
  const lines: string[] = [];
  const call = session.run(spec("a", { on_log: ({ text }) => lines.push(text) }));
  runner.say({ type: "log", call_id: "a", stream: "stderr" }, "x".repeat(250));
  runner.say({ type: "result", call_id: "a", kind: "ok" }, "null");
  expect(await call).toMatchObject({ kind: "ok", log: { bytes: 100, dropped: 150 } });
  expect(lines).toEqual(["x".repeat(100)]);
  session.close({ kind: "stopped", message: "over" });
});

test("long texts of a runner are cut to their limits at a character's edge", async () => {
  const runner = new FakeRunner();
  const session = await runner.open();
  const call = session.run(spec("a"));
  runner.say({ type: "result", call_id: "a", kind: "block_error", message: "日".repeat(2000), traceback: "日".repeat(2000) });
  const result = await call;
  expect(result.kind === "ok" ? "" : result.message).toBe("日".repeat(682));
  expect(result.kind === "ok" ? "" : result.traceback).toBe("日".repeat(1365));
  session.close({ kind: "stopped", message: "over" });
});

test("X50 a runner that chose a version nobody offered does not start", async () => {
  const runner = new FakeRunner();
  await expect(runner.open(2)).rejects.toMatchObject({ code: "sandbox.start_failed" });
  expect(runner.faults).toMatchObject([{ code: "protocol_error" }]);
  expect(runner.stream.destroyed).toBe(true);
});

test("a runner that does not say ready in time does not start, and nothing stays open", async () => {
  const runner = new FakeRunner();
  const opened = RunnerSession.open(runner.stream, {
    spec: { instance_id: "0", runtime: "python", reuse: false, slots: 1 } as InstanceSpec,
    clock: systemClock,
    onFault: () => {},
    readyTimeoutMs: 20,
  });
  await expect(opened).rejects.toMatchObject({ code: "sandbox.start_failed" });
  expect(runner.stream.destroyed).toBe(true);
});

test.each<[string, (runner: FakeRunner) => void]>([
  ["an unknown type", (runner) => runner.say({ type: "shell" })],
  ["a result for an unknown call", (runner) => runner.say({ type: "result", call_id: "z", kind: "ok" }, "1")],
  ["a log for an unknown call", (runner) => runner.say({ type: "log", call_id: "z", stream: "stdout" }, "1")],
  ["a second ready", (runner) => runner.say({ type: "ready", protocol: 1, runtime_version: "3" })],
  ["a pong without a ping", (runner) => runner.say({ type: "pong", n: 9 })],
  ["bytes that are no frame", (runner) => runner.stream.push(Buffer.alloc(64, 0xff))],
  ["a fault that says so", (runner) => runner.say({ type: "fault", code: "protocol_error" })],
])("%s is a protocol error that ends the session", async (_, act) => {
  const runner = new FakeRunner();
  const session = await runner.open();
  const call = session.run(spec("a"));
  act(runner);
  expect(await call).toMatchObject({ kind: "protocol_error" });
  expect(await session.closed).toMatchObject({ kind: "protocol_error" });
  expect(runner.faults).toMatchObject([{ code: "protocol_error" }]);
  expect(await session.run(spec("b"))).toMatchObject({ kind: "protocol_error" });
});

test("a second result is a protocol error, and the first one stands", async () => {
  const runner = new FakeRunner();
  const session = await runner.open();
  const call = session.run(spec("a"));
  runner.say({ type: "result", call_id: "a", kind: "ok" }, "1");
  runner.say({ type: "result", call_id: "a", kind: "ok" }, "2");
  expect(await call).toMatchObject({ kind: "ok", value: 1 });
  expect(await session.closed).toMatchObject({ kind: "protocol_error" });
});

test("X38 a value that is not JSON, or too deep, fails its own call only", async () => {
  const runner = new FakeRunner();
  const session = await runner.open();
  const bad = session.run(spec("a"));
  const deep = session.run(spec("b"));
  runner.say({ type: "result", call_id: "a", kind: "ok" }, "{nope");
  runner.say({ type: "result", call_id: "b", kind: "ok" }, "[".repeat(5000) + "]".repeat(5000));
  expect(await bad).toMatchObject({ kind: "protocol_error" });
  expect(await deep).toMatchObject({ kind: "protocol_error" });
  expect(session.accepting).toBe(true);
  session.close({ kind: "stopped", message: "over" });
});

test("X23 no result half a second after the deadline: the call is over and the instance is to be killed", async () => {
  const runner = new FakeRunner();
  const session = await runner.open();
  const late = session.run(spec("a", { timeout_ms: 20 }));
  const other = session.run(spec("b"));
  expect(await late).toMatchObject({ kind: "timeout" });
  expect(await other).toMatchObject({ kind: "instance_lost" });
  expect(runner.faults).toMatchObject([{ code: "deadline" }]);
});

test("X22 an abort is told to the runner, whose word ends the call; an aborted signal starts nothing", async () => {
  const runner = new FakeRunner();
  const session = await runner.open();
  const controller = new AbortController();
  const call = session.run(spec("a"), controller.signal);
  controller.abort();
  controller.abort();
  expect(runner.got.filter(({ type }) => type === "cancel")).toEqual([{ type: "cancel", call_id: "a" }]);
  runner.say({ type: "result", call_id: "a", kind: "cancelled", message: "cancelled" });
  expect(await call).toMatchObject({ kind: "cancelled" });
  expect(await session.run(spec("b"), AbortSignal.abort())).toMatchObject({ kind: "cancelled" });
  expect(runner.lastCall.call_id).toBe("a");
  session.close({ kind: "stopped", message: "over" });
});

test("leftovers let calls in flight finish, take no more, then ask for the instance's end", async () => {
  const runner = new FakeRunner();
  const session = await runner.open();
  const call = session.run(spec("a"));
  runner.say({ type: "fault", code: "leftovers" });
  await session.leaving;
  await sleep(5);
  expect(session.accepting).toBe(false);
  expect(await session.run(spec("b"))).toMatchObject({ kind: "instance_lost" });
  runner.say({ type: "result", call_id: "a", kind: "ok" }, "1");
  expect(await call).toMatchObject({ kind: "ok", value: 1 });
  expect(runner.faults).toMatchObject([{ code: "leftovers" }]);
});

test("a stream that ends by itself ends calls the way the adapter explains it", async () => {
  const runner = new FakeRunner();
  const session = await RunnerSession.open(runner.stream, {
    spec: { instance_id: "0", runtime: "python", reuse: false, slots: 1 } as InstanceSpec,
    clock: systemClock,
    onFault: () => {},
    explainLoss: () => Promise.resolve({ kind: "oom_killed", message: "out of memory" }),
    ...(runner.say({ type: "ready", protocol: 1, runtime_version: "3" }), {}),
  });
  const call = session.run(spec("a"));
  runner.stream.push(null);
  expect(await call).toMatchObject({ kind: "oom_killed", message: "out of memory" });
  expect(await session.closed).toMatchObject({ kind: "oom_killed" });
});

test("stopping cancels what runs", async () => {
  const runner = new FakeRunner();
  const session = await runner.open();
  const call = session.run(spec("a"));
  session.close({ kind: "stopped", message: "operator" });
  session.close({ kind: "crashed", message: "later" });
  expect(await call).toMatchObject({ kind: "cancelled", message: "operator" });
  expect(await session.closed).toMatchObject({ kind: "stopped" });
  expect(runner.faults).toEqual([]);
});
