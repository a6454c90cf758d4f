import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { JsonObject, JsonValue } from "@rumi/core";
import { temporaryFolder } from "@rumi/testkit";
import { encodeFrame, FrameDecoder, parseRunnerMessage } from "@rumi/wire";
import type { Frame, RunnerMessage } from "@rumi/wire";
import { describe, expect, test } from "vitest";
import { runnerCommand } from "./start-runner.ts";

interface RawRunner extends AsyncDisposable {
  send(header: JsonObject, payload?: Uint8Array): void;
  bytes(data: Uint8Array): void;
  /** The next message; null when the runner closed the stream. */
  next(): Promise<RunnerMessage | null>;
}

async function connectRaw(runtime: "python" | "node", stdio = false): Promise<RawRunner> {
  const folder = await temporaryFolder("rumi-p-");
  const path = join(folder.path, "r.sock");
  const server = createServer();
  server.listen(path);
  await once(server, "listening");
  const [command, args] = runnerCommand(runtime);
  const child = spawn(command, [...args, stdio ? "--stdio" : path], {
    stdio: stdio ? ["pipe", "pipe", "inherit"] : ["ignore", "ignore", "inherit"],
  });
  const exited = once(child, "exit");
  let socket: Socket | null = null;
  if (!stdio) [socket] = (await once(server, "connection")) as [Socket];
  const input = socket ?? child.stdout;
  const output = socket ?? child.stdin;
  const decoder = new FrameDecoder();
  const queue: (Frame | null)[] = [];
  let wake = (): void => {};
  input?.on("data", (chunk: Buffer) => {
    queue.push(...decoder.push(chunk));
    wake();
  });
  input?.on("close", () => {
    queue.push(null);
    wake();
  });
  output?.on("error", () => {});
  return {
    send: (header, payload) => {
      for (const part of encodeFrame(header, payload)) output?.write(part);
    },
    bytes: (data) => void output?.write(data),
    next: async () => {
      while (queue.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const frame = queue.shift() ?? null;
      return frame === null ? null : parseRunnerMessage(frame);
    },
    [Symbol.asyncDispose]: async () => {
      output?.destroy();
      input?.destroy();
      server.close();
      child.kill("SIGKILL");
      await exited;
      await folder[Symbol.asyncDispose]();
    },
  };
}

const hello = (runtime: string, protocols: JsonValue): JsonObject => ({
  type: "hello",
  protocols,
  instance_id: "0".repeat(32),
  runtime,
  reuse: false,
  slots: 1,
  limits: { max_payload_bytes: 1000, cancel_grace_ms: 500 },
});

const call = (id: string): JsonObject => ({
  type: "call",
  call_id: id,
  convention: "block",
  file: "x.py",
  function: null,
  timeout_ms: 1000,
  max_result_bytes: 1000,
  max_log_bytes: 1000,
});

describe.each(["python", "node"] as const)("%s", (runtime) => {
  test("X50 a hello with two versions, one of them ours, is answered with ours", async () => {
    await using runner = await connectRaw(runtime);
    runner.send(hello(runtime, [1, 2]));
    expect(await runner.next()).toMatchObject({ type: "ready", protocol: 1 });
    runner.send({ type: "ping", n: 7 });
    expect(await runner.next()).toEqual({ type: "pong", n: 7 });
  });

  test("X50 a hello with two versions, none of them ours, is a protocol_error", async () => {
    await using runner = await connectRaw(runtime);
    runner.send(hello(runtime, [2, 3]));
    expect(await runner.next()).toMatchObject({ type: "fault", code: "protocol_error" });
    expect(await runner.next()).toBeNull();
  });

  test.each<[string, (runner: RawRunner) => void]>([
    ["an unknown message", (runner) => runner.send({ type: "shell" })],
    ["a second hello", (runner) => runner.send(hello(runtime, [1]))],
    ["a call without limits", (runner) => runner.send({ type: "call", call_id: "a", file: "x" }, Buffer.from("{}"))],
    ["a payload over the limit", (runner) => runner.send({ ...call("a") }, Buffer.alloc(1001))],
    ["a header over its limit", (runner) => runner.bytes(Buffer.from([0, 2, 0, 0]))],
    ["a header that is not JSON", (runner) => runner.bytes(Buffer.from([0, 0, 0, 2, 0x7b, 0x7b]))],
  ])("%s is a protocol_error and the end", async (_, act) => {
    await using runner = await connectRaw(runtime);
    runner.send(hello(runtime, [1]));
    expect(await runner.next()).toMatchObject({ type: "ready" });
    act(runner);
    expect(await runner.next()).toMatchObject({ type: "fault", code: "protocol_error" });
    expect(await runner.next()).toBeNull();
  });

  test("cancelling a call that is already over is no error", async () => {
    await using runner = await connectRaw(runtime);
    runner.send(hello(runtime, [1]));
    expect(await runner.next()).toMatchObject({ type: "ready" });
    runner.send({ type: "cancel", call_id: "gone" });
    runner.send({ type: "ping", n: 1 });
    expect(await runner.next()).toEqual({ type: "pong", n: 1 });
  });

  test("X92 the same frames go over fds 0 and 1 with --stdio", async () => {
    await using runner = await connectRaw(runtime, true);
    runner.send(hello(runtime, [1]));
    expect(await runner.next()).toMatchObject({ type: "ready", protocol: 1 });
    runner.send(call("c1"), Buffer.from('{"input":{},"context":{}}'));
    expect(await runner.next()).toMatchObject({ type: "result", call_id: "c1", kind: "module_load_error" });
  });
});
