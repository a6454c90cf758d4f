import { Buffer } from "node:buffer";
import { MAX_LOG_LINE_BYTES } from "@rumi/wire";
import type { LogLine } from "./ports.ts";

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Cuts what one stream printed into lines of at most 8 KiB; longer ones become several. Bytes that are not UTF-8 show as U+FFFD. */
export class LogLines {
  readonly #stream: LogLine["stream"];
  readonly #emit: (line: LogLine, bytes: number) => void;
  #rest: Uint8Array = Buffer.alloc(0);

  constructor(stream: LogLine["stream"], emit: (line: LogLine, bytes: number) => void) {
    this.#stream = stream;
    this.#emit = emit;
  }

  push(bytes: Uint8Array): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    while (at < all.length) {
      const found = all.indexOf(NEWLINE, at);
      if (found === -1 && all.length - at < MAX_LOG_LINE_BYTES) break;
      const end = found === -1 || found - at > MAX_LOG_LINE_BYTES ? at + MAX_LOG_LINE_BYTES : found;
      this.#line(all, at, end);
      at = end === found ? end + 1 : end;
    }
    this.#rest = at === all.length ? Buffer.alloc(0) : Buffer.from(all.subarray(at));
  }

  /** The last line, if it had no end. */
  flush(): void {
    if (this.#rest.length > 0) this.#line(this.#rest, 0, this.#rest.length);
    this.#rest = Buffer.alloc(0);
  }

  #line(bytes: Uint8Array, start: number, end: number): void {
    const stop = end > start && bytes[end - 1] === CARRIAGE_RETURN ? end - 1 : end;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, stop - start).toString("utf8");
    this.#emit({ stream: this.#stream, text }, Math.max(1, end - start));
  }
}
