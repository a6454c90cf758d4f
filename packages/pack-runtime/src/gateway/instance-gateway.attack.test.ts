import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { encodeJsonFrame } from "@rumi/wire";
import { afterEach, expect, test, vi } from "vitest";
import { FrameClient, rawFrame } from "../testing/frame-client.ts";
import { gatewayPlace } from "../testing/gateway-place.ts";
import type { GatewayPlace } from "../testing/gateway-place.ts";
import { ANSWER_MS, FRAME_MS, MAX_CAPABILITY_FRAME_BYTES, MAX_CONNECTIONS } from "./limits.ts";
import { RequestGate } from "./request-gate.ts";
import { ManualClock } from "@rumi/core/testing";

const INVALID = {
  success: false,
  output: { success: false, error: "Invalid request", error_type: "protocol_error" },
  error: "Invalid request",
  error_type: "protocol_error",
};
const BUSY = { success: false, error: "Busy", error_type: "busy" };

afterEach(() => void vi.useRealTimers());

async function door(place: GatewayPlace): Promise<string> {
  return join((await place.open()).sockets.capability, "capability.sock");
}

/** Lets what is on its way arrive. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test.each([
  ["text that is no JSON", rawFrame("{{")],
  ["a list", rawFrame("[]")],
  ["a text", rawFrame('"a"')],
  ["null", rawFrame("null")],
  ["nothing at all", rawFrame("")],
  ["bytes that are no text", Buffer.concat([rawFrame("", 4), Buffer.from([0xff, 0xfe, 0, 1])])],
  ["a length over the limit", rawFrame("", MAX_CAPABILITY_FRAME_BYTES + 1)],
  ["the largest length there is", rawFrame("", 0xffff_ffff)],
  ["a million brackets", rawFrame(`${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}`)],
])("X55 %s is answered once, then the connection is closed", async (_what, bytes) => {
  await using place = await gatewayPlace();
  using client = await FrameClient.open(await door(place));
  client.socket.write(bytes);
  client.send({ permission_id: "a.b" });
  expect(await client.receive()).toMatchObject(INVALID);
  await client.closed();
  expect(await client.receive()).toBeNull();
  expect(place.capability.asked).toEqual([]);
});

test("X55 a message that is cut off is refused, when its sender ends and when its time is over", async () => {
  await using place = await gatewayPlace();
  const path = await door(place);
  using ended = await FrameClient.open(path);
  ended.socket.end(rawFrame("{", 100));
  expect(await ended.receive()).toMatchObject(INVALID);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  using slow = await FrameClient.open(path);
  slow.socket.write(Buffer.from([0]));
  await settle();
  vi.advanceTimersByTime(FRAME_MS / 2);
  slow.socket.write(Buffer.from([0]));
  await settle();
  vi.advanceTimersByTime(FRAME_MS / 2);
  expect(await slow.receive()).toMatchObject(INVALID);
  await slow.closed();
});

test("an idle connection stays, however long", async () => {
  await using place = await gatewayPlace();
  using client = await FrameClient.open(await door(place));
  expect(await client.ask({ n: 1 })).toMatchObject({ success: true });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.advanceTimersByTime(3_600_000);
  vi.useRealTimers();
  expect(await client.ask({ n: 2 })).toMatchObject({ success: true });
});

test("the largest message passes, sent in any pieces", async () => {
  await using place = await gatewayPlace();
  using client = await FrameClient.open(await door(place));
  place.capability.answer = (message) => Promise.resolve({ size: JSON.stringify(message).length });
  const filler = "x".repeat(MAX_CAPABILITY_FRAME_BYTES - 11);
  expect(await client.ask({ text: filler })).toEqual({ size: MAX_CAPABILITY_FRAME_BYTES });
  const frame = encodeJsonFrame({ a: 1 });
  for (const byte of frame) {
    client.socket.write(Buffer.from([byte]));
    await settle();
  }
  expect(await client.receive()).toEqual({ size: 7 });
});

test("X55 the 33rd connection is told that it is one too many; places that are free again can be had", async () => {
  await using place = await gatewayPlace();
  const path = await door(place);
  const clients = await Promise.all(Array.from({ length: MAX_CONNECTIONS }, () => FrameClient.open(path)));
  for (const client of clients) expect(await client.ask({})).toMatchObject({ success: true });
  using late = await FrameClient.open(path);
  expect(await late.receive()).toMatchObject(BUSY);
  await late.closed();
  clients[0]?.[Symbol.dispose]();
  await settle();
  using next = await FrameClient.open(path);
  expect(await next.ask({})).toMatchObject({ success: true });
  for (const client of clients) client[Symbol.dispose]();
});

test("1,000 connections: 32 are served, the others end, and another instance answers meanwhile", async () => {
  await using place = await gatewayPlace();
  const path = await door(place);
  const other = await door(place);
  const sockets = Array.from({ length: 1_000 }, () => connect(path).on("error", () => {}));
  const ends = sockets.map((socket) => new Promise((resolve) => socket.resume().once("close", resolve)));
  using client = await FrameClient.open(other);
  for (let n = 0; n < 20; n += 1) expect(await client.ask({ n })).toMatchObject({ success: true });
  let closed = 0;
  for (const end of ends) void end.then(() => (closed += 1));
  await vi.waitFor(() => expect(closed).toBeGreaterThanOrEqual(1_000 - MAX_CONNECTIONS), { timeout: 10_000 });
  expect(closed).toBe(1_000 - MAX_CONNECTIONS);
  for (const socket of sockets) socket.destroy();
});

test("many half messages of one instance do not fill the memory: the latest are refused", async () => {
  await using place = await gatewayPlace();
  const path = await door(place);
  const clients = await Promise.all(Array.from({ length: 16 }, () => FrameClient.open(path)));
  const half = rawFrame(" ".repeat(2 * 1024 * 1024), MAX_CAPABILITY_FRAME_BYTES);
  for (const client of clients) client.socket.write(half);
  const first = await Promise.race(clients.map((client) => client.receive()));
  expect(first).toMatchObject(BUSY);
  for (const client of clients) client[Symbol.dispose]();
});

test("a peer that does not read its answers loses its connection, and holds up nobody else", async () => {
  await using place = await gatewayPlace();
  const path = await door(place);
  place.capability.answer = () => Promise.resolve({ text: "x".repeat(2 * 1024 * 1024) });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const deaf = connect({ path }).on("error", () => {});
  await once(deaf, "connect");
  deaf.pause();
  deaf.write(encodeJsonFrame({}));
  await vi.waitFor(() => expect(place.capability.asked).toHaveLength(1));
  await settle();
  using other = await FrameClient.open(path);
  expect((await other.ask({}))?.["text"]).toHaveLength(2 * 1024 * 1024);
  vi.advanceTimersByTime(ANSWER_MS);
  await vi.waitFor(() => expect(place.capability.asked[0]?.signal.aborted).toBe(true));
  deaf.destroy();
});

test("a request is given up when its sender goes, and when the instance does", async () => {
  await using place = await gatewayPlace();
  const open = await place.open();
  place.capability.answer = (_message, _owner, signal) =>
    new Promise((resolve) => signal.addEventListener("abort", () => resolve({}), { once: true }));
  using first = await FrameClient.open(join(open.sockets.capability, "capability.sock"));
  using second = await FrameClient.open(join(open.sockets.capability, "capability.sock"));
  first.send({});
  second.send({});
  await vi.waitFor(() => expect(place.capability.asked).toHaveLength(2));
  first.socket.destroy();
  await vi.waitFor(() => expect(place.capability.asked.filter(({ signal }) => signal.aborted)).toHaveLength(1));
  await open[Symbol.asyncDispose]();
  await vi.waitFor(() => expect(place.capability.asked.every(({ signal }) => signal.aborted)).toBe(true));
});

test("a fault of the broker is a word of its own for the pack, and its text is not told", async () => {
  await using place = await gatewayPlace();
  using client = await FrameClient.open(await door(place));
  place.capability.answer = () => Promise.reject(new Error("/secret/path"));
  expect(await client.ask({})).toEqual({
    success: false,
    output: { success: false, error: "Internal error", error_type: "internal_error" },
    error: "Internal error",
    error_type: "internal_error",
    latency_ms: 0,
  });
  place.capability.answer = () => Promise.resolve({ fine: true });
  expect(await client.ask({})).toEqual({ fine: true });
});

test("a proxy that throws costs that connection only", async () => {
  await using place = await gatewayPlace();
  const open = await place.open();
  place.egress.onServe = () => {
    throw new Error("a fault");
  };
  using client = await FrameClient.open(join(open.sockets.egress, "egress.sock"));
  await client.closed();
  using other = await FrameClient.open(join(open.sockets.capability, "capability.sock"));
  expect(await other.ask({})).toMatchObject({ success: true });
});

test("X55 of one instance 16 requests are served and 64 wait; the next is busy, in its turn each goes on", async () => {
  const gate = new RequestGate(new ManualClock());
  const never = new AbortController();
  for (let n = 0; n < 16; n += 1) expect(gate.enter(never.signal)).toBe(true);
  const order: number[] = [];
  const waiting = Array.from({ length: 64 }, (_, n) => Promise.resolve(gate.enter(never.signal)).then((on) => on && order.push(n)));
  expect(gate.enter(never.signal)).toBe(false);
  gate.leave();
  gate.leave();
  await Promise.all(waiting.slice(0, 2));
  expect(order).toEqual([0, 1]);
  const gone = new AbortController();
  const last = gate.enter(gone.signal);
  gone.abort();
  expect(await last).toBe(false);
  for (let n = 0; n < 78; n += 1) gate.leave();
  await Promise.all(waiting);
  expect(order).toEqual(Array.from({ length: 64 }, (_, n) => n));
  for (let n = 0; n < 16; n += 1) expect(gate.enter(never.signal)).toBe(true);
  expect(gate.enter(AbortSignal.abort())).toBe(false);
});

test("a flood of requests is served at a pace", () => {
  const clock = new ManualClock();
  const gate = new RequestGate(clock, { maxPerSecond: 10 });
  for (let n = 0; n < 10; n += 1) expect(gate.pace()).toBe(0);
  clock.advance(400);
  expect(gate.pace()).toBe(600);
  clock.advance(600);
  expect(gate.pace()).toBe(0);
});
