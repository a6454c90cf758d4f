import { connect } from "node:net";
import type { Socket } from "node:net";
import { describe, expect, test, vi } from "vitest";
import { fakeSocket, freePort } from "./fake-host.ts";
import { startRunner } from "./start-runner.ts";

/** The same numbers every time. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const FILES = {
  "wait.py": "import time\ndef run(i):\n    time.sleep(i['seconds'])\n    return 1\n",
  "wait.mjs": "export const run = ({ seconds }) => new Promise((done) => setTimeout(() => done(1), seconds * 1000));\n",
};

/** One thing that a peer may do with its end. */
function misbehave(socket: Socket, random: () => number): void {
  const choice = Math.floor(random() * 9);
  if (choice === 0) socket.destroy();
  // Only TCP has a reset.
  else if (choice === 1) void (socket.remoteAddress === undefined ? socket.destroy() : socket.resetAndDestroy());
  else if (choice === 2) socket.end();
  else if (choice === 3) socket.pause();
  else if (choice === 4) socket.resume();
  else if (choice === 5) socket.write(Buffer.alloc(Math.floor(random() * 300_000), 72));
  else if (choice === 6) socket.write("HTTP/1.1 200 OK\r\n\r\n");
  else if (choice === 7) socket.end("GET http://a.b/ HTTP/1.1\r\n\r\n");
  else socket.write(Buffer.from([0, 0, 0, 1]));
}

describe.each(["python", "node"] as const)("%s", (runtime) => {
  const file = runtime === "python" ? "wait.py" : "wait.mjs";

  test("whatever clients and daemon do with their ends, process 1 lives, calls run, and nothing is left", async () => {
    const random = numbers(7);
    await using host = await fakeSocket((_message, socket) => {
      socket.resume();
      for (let step = 0; step < 4; step += 1) setTimeout(() => void (socket.destroyed || misbehave(socket, random)), random() * 40);
      return undefined;
    });
    const port = await freePort();
    await using runner = await startRunner(runtime, {
      files: FILES,
      env: { http_proxy: `http://127.0.0.1:${port}`, RUMI_EGRESS_SOCKET: host.path },
    });
    const long = runner.call(file, { seconds: 2.5 });
    const clients = new Set<Socket>();
    for (let round = 0; round < 40; round += 1) {
      for (let n = 0; n < 10; n += 1) {
        const socket = connect(port, "127.0.0.1");
        clients.add(socket);
        socket.resume().on("error", () => {});
        socket.on("close", () => clients.delete(socket));
        socket.on("connect", () => misbehave(socket, random));
        setTimeout(() => void (socket.destroyed || misbehave(socket, random)), random() * 40);
      }
      if (round % 10 === 0) expect(await runner.call(file, { seconds: 0 })).toMatchObject({ kind: "ok", value: 1 });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(await long).toMatchObject({ kind: "ok", value: 1 });
    // Who does not read does not hear of an end.
    for (const socket of [...host.open, ...clients]) socket.resume();
    await vi.waitFor(() => expect([host.open.size, clients.size]).toEqual([0, 0]), { timeout: 10_000 });
    expect(await runner.call(file, { seconds: 0 })).toMatchObject({ kind: "ok", value: 1 });
    expect(runner.faults).toEqual([]);
  });
});
