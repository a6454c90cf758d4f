// Frames: 4-byte big-endian length, JSON header of at most 64 KiB, then `payload` raw bytes if the header names a count.
import { readSync, writeSync } from "node:fs";

const MAX_HEADER_BYTES = 64 * 1024;
const JOIN_BYTES = 16 * 1024;
const READ_BYTES = 256 * 1024;
const EMPTY = Buffer.alloc(0);

/** The peer does not speak the protocol. */
export class FrameError extends Error {}

/** The buffers of one frame: one when it is small. Sets `header.payload`. */
export function encodeFrame(header, payload) {
  if (payload !== undefined) header.payload = payload.length;
  const text = Buffer.from(JSON.stringify(header));
  return joinFrame(text, payload);
}

/** As `encodeFrame`, from header bytes that are there already. */
export function joinFrame(text, payload) {
  const joined = payload !== undefined && payload.length <= JOIN_BYTES;
  const frame = Buffer.allocUnsafe(4 + text.length + (joined ? payload.length : 0));
  frame.writeUInt32BE(text.length, 0);
  text.copy(frame, 4);
  if (joined) payload.copy(frame, 4 + text.length);
  return payload === undefined || joined ? [frame] : [frame, payload];
}

export function parseHeader(bytes) {
  let header;
  try {
    header = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new FrameError("a header is not JSON");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) throw new FrameError("a header is not an object");
  const size = header.payload ?? 0;
  if (!Number.isSafeInteger(size) || size < 0) throw new FrameError("a payload count is not a number");
  return { header, size };
}

/** Cuts a stream into frames `{header, raw, payload}`. `checkSize` throws for a payload that may not be. */
export class FrameReader {
  #checkSize;
  #head = EMPTY;
  #open = null;

  constructor(checkSize) {
    this.#checkSize = checkSize;
  }

  push(chunk) {
    const frames = [];
    let bytes = chunk;
    if (this.#open !== null) {
      const open = this.#open;
      const count = Math.min(open.payload.length - open.filled, bytes.length);
      bytes.copy(open.payload, open.filled, 0, count);
      open.filled += count;
      if (open.filled < open.payload.length) return frames;
      this.#open = null;
      frames.push(open);
      bytes = bytes.subarray(count);
    } else if (this.#head.length > 0) {
      bytes = Buffer.concat([this.#head, bytes]);
      this.#head = EMPTY;
    }
    let at = 0;
    while (bytes.length - at >= 4) {
      const length = bytes.readUInt32BE(at);
      if (length > MAX_HEADER_BYTES) throw new FrameError("a header is too long");
      const start = at + 4 + length;
      if (bytes.length < start) break;
      const raw = bytes.subarray(at + 4, start);
      const { header, size } = parseHeader(raw);
      if (size > 0) this.#checkSize(size);
      if (bytes.length - start < size) {
        const payload = Buffer.allocUnsafeSlow(size);
        const filled = bytes.copy(payload, 0, start);
        this.#open = { header, raw, payload, filled };
        return frames;
      }
      frames.push({ header, raw, payload: bytes.subarray(start, start + size) });
      at = start + size;
    }
    if (at < bytes.length) this.#head = Buffer.from(bytes.subarray(at));
    return frames;
  }
}

/** Blocking reads of whole frames from `fd`; `next(read)` takes the function that reads. */
export class FrameSource {
  #fd;
  #rest = EMPTY;
  #buffer = Buffer.allocUnsafeSlow(READ_BYTES);

  constructor(fd) {
    this.#fd = fd;
  }

  /** The next frame, or null at the end. Blocks the whole process. */
  nextSync() {
    const first = this.#rest.length > 0 ? 0 : this.#take(readSync(this.#fd, this.#buffer, 0, READ_BYTES, null));
    return first === null ? null : this.#finish();
  }

  /** The next frame, or null at the end. `read(fd, buffer)` resolves with a count, so that timers of the pack go on. */
  async next(read) {
    const first = this.#rest.length > 0 ? 0 : this.#take(await read(this.#fd, this.#buffer));
    return first === null ? null : this.#finish();
  }

  #take(count) {
    if (count === 0) return null;
    this.#rest = Buffer.concat([this.#rest, this.#buffer.subarray(0, count)]);
    return count;
  }

  #finish() {
    while (this.#rest.length < 4) if (this.#more() === null) return null;
    const start = 4 + this.#rest.readUInt32BE(0);
    while (this.#rest.length < start) if (this.#more() === null) return null;
    const { header, size } = parseHeader(this.#rest.subarray(4, start));
    const have = Math.min(size, this.#rest.length - start);
    const payload = Buffer.allocUnsafe(size);
    this.#rest.copy(payload, 0, start, start + have);
    this.#rest = this.#rest.subarray(start + have);
    for (let filled = have; filled < size;) {
      const count = readSync(this.#fd, payload, filled, size - filled, null);
      if (count === 0) return null;
      filled += count;
    }
    return { header, payload };
  }

  #more() {
    return this.#take(readSync(this.#fd, this.#buffer, 0, READ_BYTES, null));
  }
}

/** Blocking: writes all of `buffers` to `fd`. */
export function writeAllSync(fd, buffers) {
  for (const buffer of buffers) {
    for (let at = 0; at < buffer.length;) at += writeSync(fd, buffer, at);
  }
}
