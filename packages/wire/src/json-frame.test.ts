import { Buffer } from "node:buffer";
import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeJsonFrame, JsonFrameDecoder } from "./json-frame.ts";

const refusal = (code: string): unknown => expect.objectContaining({ code });

test("messages come out as they went in, however the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue(), { maxLength: 6 }), fc.integer({ min: 1, max: 50 }), (values, size) => {
      const wanted = values.map((value) => JSON.parse(JSON.stringify(value)) as unknown);
      const bytes = Buffer.concat(wanted.map((value) => encodeJsonFrame(value as string)));
      const decoder = new JsonFrameDecoder({ maxBytes: 1 << 20 });
      const got: unknown[] = [];
      for (let at = 0; at < bytes.length; at += size) {
        for (let value = decoder.next(bytes.subarray(at, at + size)); value !== undefined; value = decoder.next()) got.push(value);
      }
      expect(got).toEqual(wanted);
      expect(decoder.idle).toBe(true);
    }),
  );
});

test("a message over the limit is refused on its length alone", () => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(101);
  expect(() => new JsonFrameDecoder({ maxBytes: 100 }).next(length)).toThrow(refusal("wire.payload_too_large"));
});

test("text that is no JSON is refused", () => {
  const decoder = new JsonFrameDecoder({ maxBytes: 100 });
  expect(() => decoder.next(Buffer.from([0, 0, 0, 2, 0x7b, 0x7b]))).toThrow(refusal("wire.invalid_message"));
});

test("what follows a message can be taken as it is", () => {
  const decoder = new JsonFrameDecoder({ maxBytes: 100 });
  expect(decoder.next(Buffer.concat([encodeJsonFrame({ type: "proxy" }), Buffer.from("GET /")]))).toEqual({ type: "proxy" });
  expect(decoder.rest().toString()).toBe("GET /");
  expect(decoder.idle).toBe(true);
});

test("a message nested deeper than any value may be is refused before anything is made of it", () => {
  const deep = (levels: number): Buffer => {
    const text = `${"[".repeat(levels)}${"]".repeat(levels)}`;
    const frame = Buffer.alloc(4 + text.length);
    frame.writeUInt32BE(text.length);
    frame.write(text, 4);
    return frame;
  };
  expect(() => new JsonFrameDecoder({ maxBytes: 1 << 22 }).next(deep(1_000_000))).toThrow(refusal("wire.invalid_message"));
  expect(() => new JsonFrameDecoder({ maxBytes: 1 << 22, maxDepth: 100 }).next(deep(101))).toThrow(refusal("wire.invalid_message"));
  expect(new JsonFrameDecoder({ maxBytes: 1 << 22 }).next(deep(210))).toBeDefined();
});

test("what is held is counted, and room for a long message is given back", () => {
  const decoder = new JsonFrameDecoder({ maxBytes: 1 << 22 });
  const frame = encodeJsonFrame({ text: "x".repeat(1 << 20) });
  expect(decoder.next(frame.subarray(0, 1000))).toBeUndefined();
  expect(decoder.held).toBe(1000);
  expect(decoder.next(frame.subarray(1000))).toBeDefined();
  expect([decoder.held, decoder.idle]).toEqual([0, true]);
});
