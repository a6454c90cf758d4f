import { Buffer } from "node:buffer";
import type { JsonObject } from "@rumi/core";
import { isJsonObject } from "@rumi/core";
import { WireError } from "./errors.ts";
import type { Frame } from "./frame.ts";
import { LENGTH_BYTES, MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES } from "./limits.ts";

/** What a decoder accepts. Absent members take the protocol's own limits. */
export interface FrameLimits {
  readonly maxHeaderBytes?: number;
  readonly maxPayloadBytes?: number;
}

interface OpenHeader {
  readonly bytes: Buffer;
  filled: number;
}

interface OpenFrame {
  readonly header: JsonObject;
  readonly payload: Buffer;
  filled: number;
}

/**
 * Cuts a byte stream into frames. Each payload byte is copied at most once, and not at all when its frame came in
 * one chunk; memory held is bounded by one header and one payload.
 */
export class FrameDecoder {
  readonly #maxHeaderBytes: number;
  readonly #maxPayloadBytes: number;
  readonly #prefix = Buffer.alloc(LENGTH_BYTES);
  #prefixFilled = 0;
  #header: OpenHeader | null = null;
  #open: OpenFrame | null = null;

  constructor(limits: FrameLimits = {}) {
    this.#maxHeaderBytes = limits.maxHeaderBytes ?? MAX_HEADER_BYTES;
    this.#maxPayloadBytes = limits.maxPayloadBytes ?? MAX_PAYLOAD_BYTES;
  }

  /** True between frames: a stream that ends here was not cut short. */
  get idle(): boolean {
    return this.#prefixFilled === 0 && this.#header === null && this.#open === null;
  }

  /**
   * The frames that `chunk` completes, in order. The decoder must not be used after a throw.
   * @throws WireError `wire.header_too_large` `wire.payload_too_large` `wire.invalid_header`
   */
  push(chunk: Uint8Array): Frame[] {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const frames: Frame[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#open !== null) at = this.#fillPayload(this.#open, bytes, at, frames);
      else if (this.#header !== null) at = this.#fillHeader(this.#header, bytes, at, frames);
      else at = this.#begin(bytes, at, frames);
    }
    return frames;
  }

  #begin(bytes: Buffer, at: number, frames: Frame[]): number {
    let next = at;
    let length: number;
    if (this.#prefixFilled === 0 && bytes.length - at >= LENGTH_BYTES) {
      length = bytes.readUInt32BE(at);
      next += LENGTH_BYTES;
    } else {
      const count = Math.min(LENGTH_BYTES - this.#prefixFilled, bytes.length - at);
      bytes.copy(this.#prefix, this.#prefixFilled, at, at + count);
      this.#prefixFilled += count;
      next += count;
      if (this.#prefixFilled < LENGTH_BYTES) return next;
      this.#prefixFilled = 0;
      length = this.#prefix.readUInt32BE(0);
    }
    if (length > this.#maxHeaderBytes) {
      throw new WireError("wire.header_too_large", `a header of ${length} bytes is over ${this.#maxHeaderBytes}`);
    }
    if (bytes.length - next >= length) return this.#readHeader(bytes, next, length, frames);
    this.#header = { bytes: Buffer.allocUnsafe(length), filled: 0 };
    return next;
  }

  #fillHeader(header: OpenHeader, bytes: Buffer, at: number, frames: Frame[]): number {
    const count = Math.min(header.bytes.length - header.filled, bytes.length - at);
    bytes.copy(header.bytes, header.filled, at, at + count);
    header.filled += count;
    if (header.filled < header.bytes.length) return at + count;
    this.#header = null;
    this.#readHeader(header.bytes, 0, header.bytes.length, frames);
    return at + count;
  }

  /** Reads the header at `at`; takes the payload too when it is already here. Returns where the next byte is. */
  #readHeader(bytes: Buffer, at: number, length: number, frames: Frame[]): number {
    const header = parseHeader(bytes.toString("utf8", at, at + length));
    const end = at + length;
    const size = header["payload"];
    if (size === undefined) {
      frames.push({ header, payload: null });
      return end;
    }
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
      throw new WireError("wire.invalid_header", "header.payload is not a byte count");
    }
    if (size > this.#maxPayloadBytes) {
      throw new WireError("wire.payload_too_large", `a payload of ${size} bytes is over ${this.#maxPayloadBytes}`);
    }
    if (bytes.length - end >= size) {
      frames.push({ header, payload: bytes.subarray(end, end + size) });
      return end + size;
    }
    this.#open = { header, payload: Buffer.allocUnsafeSlow(size), filled: 0 };
    return end;
  }

  #fillPayload(open: OpenFrame, bytes: Buffer, at: number, frames: Frame[]): number {
    const count = Math.min(open.payload.length - open.filled, bytes.length - at);
    bytes.copy(open.payload, open.filled, at, at + count);
    open.filled += count;
    if (open.filled === open.payload.length) {
      frames.push({ header: open.header, payload: open.payload });
      this.#open = null;
    }
    return at + count;
  }
}

function parseHeader(text: string): JsonObject {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    throw new WireError("wire.invalid_header", "a header is not JSON", { cause });
  }
  if (!isJsonObject(header)) throw new WireError("wire.invalid_header", "a header is not an object");
  return header;
}
