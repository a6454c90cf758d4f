import { Buffer } from "node:buffer";
import type { JsonValue } from "@rumi/core";
import { WireError } from "./errors.ts";
import { LENGTH_BYTES } from "./limits.ts";

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

/**
 * Cuts a byte stream into JSON messages. Holds what came in and was not taken yet; text is parsed only when it is whole.
 * After a throw the stream is of no use any more.
 */
export class JsonFrameDecoder {
  readonly #maxBytes: number;
  #buffer = Buffer.alloc(0);
  #have = 0;

  /** `maxBytes`: longest JSON text. */
  constructor(options: { readonly maxBytes: number }) {
    this.#maxBytes = options.maxBytes;
  }

  /** True between two messages. */
  get idle(): boolean {
    return this.#have === 0;
  }

  /**
   * Takes a chunk; gives the first message it completes, or undefined when none is complete yet. Call again with nothing
   * for further messages of the same chunk.
   * @throws WireError `wire.payload_too_large` on the length alone; `wire.invalid_message` for text that is no JSON
   */
  next(chunk?: Uint8Array): JsonValue | undefined {
    if (chunk !== undefined) this.#append(chunk);
    if (this.#have < LENGTH_BYTES) return undefined;
    const length = this.#buffer.readUInt32BE(0);
    if (length > this.#maxBytes) throw new WireError("wire.payload_too_large", `a message of ${length} bytes is over ${this.#maxBytes}`);
    const end = LENGTH_BYTES + length;
    if (this.#have < end) return undefined;
    const text = this.#buffer.toString("utf8", LENGTH_BYTES, end);
    this.#buffer.copyWithin(0, end, this.#have);
    this.#have -= end;
    try {
      return JSON.parse(text) as JsonValue;
    } catch (cause) {
      throw new WireError("wire.invalid_message", "a message is not JSON", { cause });
    }
  }

  /** Bytes behind the last message: of a stream that goes on as something else. Leaves the decoder empty. */
  rest(): Buffer {
    const rest = Buffer.from(this.#buffer.subarray(0, this.#have));
    this.#have = 0;
    return rest;
  }

  #append(chunk: Uint8Array): void {
    const wanted = this.#have + chunk.length;
    if (wanted > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(FIRST_BYTES, wanted, 2 * this.#buffer.length));
      this.#buffer.copy(grown, 0, 0, this.#have);
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, this.#have);
    this.#have = wanted;
  }
}
