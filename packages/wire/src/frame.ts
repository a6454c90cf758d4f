import { Buffer } from "node:buffer";
import type { JsonObject } from "@rumi/core";
import { WireError } from "./errors.ts";
import { LENGTH_BYTES, MAX_HEADER_BYTES } from "./limits.ts";

/** One frame: its header and, when `header.payload` named a count, that many raw bytes. */
export interface Frame {
  readonly header: JsonObject;
  /** May alias the chunk it came in; null when the header named no payload. */
  readonly payload: Uint8Array | null;
}

/** Payloads up to this size are copied behind their header, so that the frame is one buffer and one write. */
const JOIN_BYTES = 16 * 1024;

/**
 * The bytes of one frame: one buffer when the payload is small, else header and payload apart (no copy).
 * `header.payload` is set here from `payload`; a caller leaves it out.
 * @throws WireError `wire.header_too_large`
 */
export function encodeFrame(header: JsonObject, payload?: Uint8Array): Uint8Array[] {
  const text = JSON.stringify(payload === undefined ? header : { ...header, payload: payload.length });
  const length = Buffer.byteLength(text);
  if (length > MAX_HEADER_BYTES) {
    throw new WireError("wire.header_too_large", `a header of ${length} bytes is over ${MAX_HEADER_BYTES}`);
  }
  const joined = payload !== undefined && payload.length <= JOIN_BYTES;
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + length + (joined ? payload.length : 0));
  frame.writeUInt32BE(length, 0);
  frame.write(text, LENGTH_BYTES);
  if (payload === undefined) return [frame];
  if (!joined) return [frame, payload];
  frame.set(payload, LENGTH_BYTES + length);
  return [frame];
}
