import { Buffer } from "node:buffer";
import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeFrame } from "./frame.ts";
import type { Frame } from "./frame.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { parseHostMessage, parseRunnerMessage } from "./messages.ts";

function bytesOf(header: Record<string, string | number>, payload?: Uint8Array): Buffer {
  return Buffer.concat(encodeFrame(header, payload));
}

test("frames come out as they went in, however the stream is cut", () => {
  const frame = fc.record({
    text: fc.string(),
    payload: fc.option(fc.uint8Array({ maxLength: 40_000 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 5 }), fc.infiniteStream(fc.integer({ min: 1, max: 9000 })), (frames, cuts) => {
      const bytes = Buffer.concat(frames.map(({ text, payload }) => bytesOf({ type: "x", text }, payload)));
      const decoder = new FrameDecoder();
      const got: Frame[] = [];
      for (let at = 0; at < bytes.length;) {
        const count = cuts.next().value;
        got.push(...decoder.push(bytes.subarray(at, at + count)));
        at += count;
      }
      expect(decoder.idle).toBe(true);
      expect(got.length).toBe(frames.length);
      got.forEach(({ header, payload }, index) => {
        expect(header["text"]).toBe(frames[index]?.text);
        expect(payload === null ? undefined : Buffer.from(payload)).toEqual(
          frames[index]?.payload === undefined ? undefined : Buffer.from(frames[index].payload),
        );
      });
    }),
  );
});

test("a payload split over many chunks is copied once, into one buffer of its size", () => {
  const payload = Buffer.alloc(1024 * 1024, 7);
  const bytes = bytesOf({ type: "x" }, payload);
  const decoder = new FrameDecoder();
  const got: Frame[] = [];
  for (let at = 0; at < bytes.length; at += 65_536) got.push(...decoder.push(bytes.subarray(at, at + 65_536)));
  expect(got[0]?.payload?.buffer.byteLength).toBe(payload.length);
});

test("a header over 64 KiB is refused on its length alone, in both directions", () => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(64 * 1024 + 1);
  expect(() => new FrameDecoder().push(length)).toThrow(expect.objectContaining({ code: "wire.header_too_large" }));
  expect(() => encodeFrame({ type: "x".repeat(70_000) })).toThrow(expect.objectContaining({ code: "wire.header_too_large" }));
});

test("a payload over its limit is refused before any of it is taken", () => {
  const decoder = new FrameDecoder({ maxPayloadBytes: 10 });
  const bytes = bytesOf({ type: "x" }, Buffer.alloc(11));
  expect(() => decoder.push(bytes.subarray(0, bytes.length - 11))).toThrow(expect.objectContaining({ code: "wire.payload_too_large" }));
});

test.each(["[1]", '"x"', "nonsense", '{"payload":-1}', '{"payload":1.5}', '{"payload":"9"}', ""])("header %s is refused", (text) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  expect(() => new FrameDecoder().push(Buffer.concat([length, Buffer.from(text)]))).toThrow(
    expect.objectContaining({ code: "wire.invalid_header" }),
  );
});

test("random bytes never do anything but wait or throw a WireError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        new FrameDecoder().push(bytes);
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^wire\./u) });
      }
    }),
  );
});

test("messages of unknown type or other shape are refused on both sides", () => {
  const refusal = expect.objectContaining({ code: "wire.invalid_message" });
  const frame = (header: Record<string, string | number>): Frame => ({ header, payload: null });
  expect(() => parseRunnerMessage(frame({ type: "shell" }))).toThrow(refusal);
  expect(() => parseRunnerMessage(frame({ type: "result", call_id: "c", kind: "fine" }))).toThrow(refusal);
  expect(() => parseHostMessage(frame({ type: "call", call_id: "" }))).toThrow(refusal);
  expect(parseRunnerMessage(frame({ type: "pong", n: 3 }))).toEqual({ type: "pong", n: 3 });
});
