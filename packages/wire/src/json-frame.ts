import { Buffer } from "node:buffer";
import type { JsonValue } from "@rumi/core";
import { WireError } from "./errors.ts";
import { isJsonTooDeep } from "./json-depth.ts";
import { LENGTH_BYTES, MAX_JSON_FRAME_DEPTH } from "./limits.ts";

/** The bytes of one message of the capability and egress sockets: a 4-byte big-endian length and JSON text. */
export function encodeJsonFrame(value: JsonValue): Buffer {
  const text = JSON.stringify(value);
  const length = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + length);
  frame.writeUInt32BE(length, 0);
  frame.write(text, LENGTH_BYTES);
  return frame;
}

/** First size of the buffer of a decoder; it doubles as a message comes in, so that a length alone takes no memory. */
const FIRST_BYTES = 4 * 1024;

/** A larger buffer is given back as soon as nothing is in it: connections are kept open for long. */
const KEPT_BYTES = 64 * 1024;

/** Bounds of one stream of messages. */
export interface JsonFrameLimits {
  /** Longest JSON text. */
  readonly maxBytes: number;
  /** Deepest nesting. Default `MAX_JSON_FRAME_DEPTH`. */
  readonly maxDepth?: number;
}

/**
 * Cuts a byte stream into JSON messages. Holds what came in and was not taken yet; text is parsed only when it is whole.
 * After a throw the stream is of no use any more.
 */
export class JsonFrameDecoder {
  readonly #maxBytes: number;
  readonly #maxDepth: number;
  #buffer = Buffer.alloc(0);
  /** What is held lies between these two. */
  #start = 0;
  #end = 0;

  constructor(limits: JsonFrameLimits) {
    this.#maxBytes = limits.maxBytes;
    this.#maxDepth = limits.maxDepth ?? MAX_JSON_FRAME_DEPTH;
  }

  /** True between two messages. */
  get idle(): boolean {
    return this.#start === this.#end;
  }

  /** Bytes that came in and were not taken yet. */
  get held(): number {
    return this.#end - this.#start;
  }

  /**
   * Takes a chunk; gives the first message it completes, or undefined when none is complete yet. Call again with nothing
   * for further messages of the same chunk.
   * @throws WireError `wire.payload_too_large` on the length alone; `wire.invalid_message` for text that is no JSON or too deep
   */
  next(chunk?: Uint8Array): JsonValue | undefined {
    if (chunk !== undefined) this.#append(chunk);
    if (this.held < LENGTH_BYTES) return undefined;
    const length = this.#buffer.readUInt32BE(this.#start);
    if (length > this.#maxBytes) throw new WireError("wire.payload_too_large", `a message of ${length} bytes is over ${this.#maxBytes}`);
    const start = this.#start + LENGTH_BYTES;
    const end = start + length;
    if (this.#end < end) return undefined;
    const value = this.#parse(this.#buffer.subarray(start, end));
    this.#start = end;
    this.#giveBack();
    return value;
  }

  /** Bytes behind the last message: of a stream that goes on as something else. Leaves the decoder empty. */
  rest(): Buffer {
    const rest = Buffer.from(this.#buffer.subarray(this.#start, this.#end));
    this.#start = this.#end;
    this.#giveBack();
    return rest;
  }

  #parse(text: Buffer): JsonValue {
    // A level takes two bytes at least: shorter texts need no look.
    if (text.length > 2 * this.#maxDepth && isJsonTooDeep(text, this.#maxDepth)) {
      throw new WireError("wire.invalid_message", `a message is nested deeper than ${this.#maxDepth}`);
    }
    try {
      return JSON.parse(text.toString("utf8")) as JsonValue;
    } catch (cause) {
      throw new WireError("wire.invalid_message", "a message is not JSON", { cause });
    }
  }

  #append(chunk: Uint8Array): void {
    const wanted = this.held + chunk.length;
    if (this.#end + chunk.length > this.#buffer.length) {
      const roomy = wanted <= this.#buffer.length;
      const target = roomy ? this.#buffer : Buffer.allocUnsafe(Math.max(FIRST_BYTES, Math.min(2 * wanted, this.#mostBytes(wanted))));
      this.#buffer.copy(target, 0, this.#start, this.#end);
      this.#buffer = target;
      this.#end -= this.#start;
      this.#start = 0;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** No message needs more room, however it goes on. */
  #mostBytes(wanted: number): number {
    return Math.max(wanted, this.#maxBytes + LENGTH_BYTES);
  }

  #giveBack(): void {
    if (this.#start !== this.#end) return;
    this.#start = 0;
    this.#end = 0;
    if (this.#buffer.length > KEPT_BYTES) this.#buffer = Buffer.alloc(0);
  }
}
