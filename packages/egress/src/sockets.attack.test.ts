import { Buffer } from "node:buffer";
import { once } from "node:events";
import { encodeJsonFrame } from "@rumi/wire";
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { FRAME_TIMEOUT_MS, MAX_FRAME_BYTES } from "./limits.ts";
import { openTestEgress, TestFrames, TestOwner } from "./testing/index.ts";
import type { TestEgress } from "./testing/index.ts";

const HOST = "api.rumi.example";
const get = (more: Record<string, string | boolean | null> = {}) => ({ method: "GET", url: `http://${HOST}/`, ...more });

async function open(): Promise<TestEgress> {
  const egress = await openTestEgress();
  egress.policy.grant("my_pack", { domains: ["*"], ports: "*" });
  egress.net.every = ["93.184.216.34"];
  await egress.net.http(80, (request, response) => response.end(request.url));
  return egress;
}

test("X53 who a message says it is says nothing: the socket's principal is judged, and the claim is audited", async () => {
  await using egress = await open();
  egress.policy.grants.clear();
  egress.policy.grant("rich", { domains: ["*"], ports: "*" });
  const frames = new TestFrames(await egress.dial());
  for (const claim of ["principal_id", "principal", "pack_id", "owner_pack"]) {
    expect(await frames.ask(get({ [claim]: "rich" }))).toMatchObject({ error_type: "grant_denied" });
    expect(egress.audit.events).toContainEqual(
      expect.objectContaining({
        category: "security",
        action: "principal_id_overridden",
        owner_pack: "my_pack",
        details: expect.objectContaining({ members: [claim] }),
      }),
    );
    egress.audit.events.length = 0;
  }
  const rich = new TestFrames(await egress.dial(new TestOwner("rich", "1".repeat(32))));
  expect(await rich.ask(get({ principal_id: "rich" }))).toMatchObject({ success: true });
  expect(egress.audit.events.filter(({ action }) => action === "principal_id_overridden")).toEqual([]);
});

test("X55 bytes that are no message are answered and end the connection; the others go on", async () => {
  await using egress = await open();
  const good = new TestFrames(await egress.dial());
  const tooLong = Buffer.alloc(4);
  tooLong.writeUInt32BE(MAX_FRAME_BYTES + 1);
  for (const bytes of [Buffer.from([0, 0, 0, 1, 0x7b]), Buffer.from([0, 0, 0, 0]), tooLong, Buffer.from("GET / HTTP/1.1\r\n")]) {
    const socket = await egress.dial();
    const frames = new TestFrames(socket);
    socket.write(bytes);
    expect(await frames.next()).toMatchObject({ success: false, error_type: "protocol_error" });
    expect(await frames.next()).toBeNull();
    expect(await good.ask(get())).toMatchObject({ success: true });
  }
});

test("X55 half a frame is waited for, but not for long", async () => {
  await using egress = await open();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const socket = await egress.dial();
    const frames = new TestFrames(socket);
    const whole = encodeJsonFrame(get());
    socket.write(whole.subarray(0, 10));
    await vi.waitUntil(() => vi.getTimerCount() > 0);
    vi.advanceTimersByTime(FRAME_TIMEOUT_MS - 1);
    socket.write(whole.subarray(10, 20));
    await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(2);
    expect(await frames.next()).toMatchObject({ error_type: "protocol_error" });
  } finally {
    vi.useRealTimers();
  }
});

test("messages of other shapes are refused, and the connection serves on", async () => {
  await using egress = await open();
  const frames = new TestFrames(await egress.dial());
  const refused: [unknown, string][] = [
    [[], "protocol_error"],
    ["x", "protocol_error"],
    [null, "protocol_error"],
    [{}, "protocol_error"],
    [{ method: "GET" }, "protocol_error"],
    [get({ shell: "x" }), "protocol_error"],
    [JSON.parse(`{"method":"GET","url":"http://${HOST}/","__proto__":{"stream":true}}`), "protocol_error"],
    [JSON.parse(`{"method":"GET","url":"http://${HOST}/","headers":{"constructor":"x"}}`), "protocol_error"],
    [{ ...get(), headers: ["X-A: b"] }, "validation_error"],
    [{ ...get(), headers: { a: 1 } }, "validation_error"],
    [{ ...get(), body: {} }, "validation_error"],
    [{ ...get(), body: "a", body_base64: "YQ==" }, "validation_error"],
    [{ ...get(), body_base64: "*" }, "validation_error"],
    [{ ...get(), timeout_seconds: "30" }, "validation_error"],
    [{ ...get(), timeout_seconds: -1 }, "validation_error"],
    [{ ...get(), stream: 1 }, "validation_error"],
    [{ ...get(), method: "TRACE" }, "validation_error"],
    [{ ...get(), method: "GET / HTTP/1.1\r\nX: " }, "validation_error"],
    [{ ...get(), url: `http://${HOST}/${"x".repeat(9000)}` }, "validation_error"],
    [{ type: "shell" }, "validation_error"],
    [{ type: "check", domain: HOST, port: 0 }, "validation_error"],
    [{ type: "tunnel", host: HOST, port: "443" }, "validation_error"],
    [{ type: "proxy", host: HOST }, "protocol_error"],
  ];
  for (const [message, type] of refused) {
    const answer = await frames.ask(message as string);
    expect(answer, JSON.stringify(message)).toMatchObject({ success: false, error_type: type });
  }
  expect(await frames.ask(get({ headers: null, body: null, call_id: null }))).toMatchObject({ success: true });
  expect(egress.net.dialled).toHaveLength(1);
});

test("a body of four mebibytes passes, one more byte does not", async () => {
  await using egress = await open();
  const frames = new TestFrames(await egress.dial());
  const post = (body: Buffer) => frames.ask({ method: "POST", url: `http://${HOST}/`, body_base64: body.toString("base64") });
  expect(await post(Buffer.alloc(4 * 1024 * 1024))).toMatchObject({ success: true });
  expect(await post(Buffer.alloc(4 * 1024 * 1024 + 1))).toMatchObject({ error_type: "validation_error" });
});

test("many messages sent at once are answered in their order", async () => {
  await using egress = await open();
  const socket = await egress.dial();
  const frames = new TestFrames(socket);
  socket.write(Buffer.concat(Array.from({ length: 30 }, (_, n) => encodeJsonFrame({ method: "GET", url: `http://${HOST}/${n}` }))));
  for (let n = 0; n < 30; n++) expect(await frames.next()).toMatchObject({ success: true, body: `/${n}` });
});

test("a reader that takes nothing holds its upstream back, and nobody else", async () => {
  await using egress = await open();
  let written = 0;
  await egress.net.http(81, (_request, response) => {
    const more = (): void => {
      while (written < 200 && !response.destroyed) {
        written++;
        if (!response.write(Buffer.alloc(64 * 1024))) return void response.once("drain", more);
      }
      response.end();
    };
    more();
  });
  const slow = await egress.dial();
  slow.pause();
  slow.write(encodeJsonFrame({ method: "GET", url: `http://${HOST}:81/`, stream: true }));
  await expect.poll(() => written).toBeGreaterThan(0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(written).toBeLessThan(200);
  expect(await new TestFrames(await egress.dial()).ask(get())).toMatchObject({ success: true });
  slow.destroy();
  await once(slow, "close");
});

test("a thousand connections that come and go leave nothing", async () => {
  await using egress = await open();
  for (let round = 0; round < 20; round++) {
    const sockets = await Promise.all(Array.from({ length: 50 }, () => egress.dial()));
    sockets.forEach((socket, n) => {
      if (n % 3 === 0) socket.write(Buffer.from([0, 0, 0]));
      if (n % 3 === 1) socket.write(encodeJsonFrame({ type: "proxy" }));
      socket.destroy();
    });
  }
  expect(await new TestFrames(await egress.dial()).ask(get())).toMatchObject({ success: true });
});

test("random bytes never do more than end their own connection", async () => {
  await using egress = await open();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.boolean(), async (bytes, proxy) => {
      const socket = await egress.dial();
      if (proxy) socket.write(encodeJsonFrame({ type: "proxy" }));
      socket.end(bytes);
      socket.resume();
      await once(socket, "close");
    }),
    { numRuns: 60 },
  );
  expect(await new TestFrames(await egress.dial()).ask(get())).toMatchObject({ success: true });
});
