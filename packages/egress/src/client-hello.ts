import { Buffer } from "node:buffer";

/** What the first bytes of a connection are. */
export type FirstFlight =
  /** More bytes are needed to say. */
  | { readonly kind: "more" }
  /** A whole ClientHello. `sni` is null when it names no server; `ech`: it hides the true one. */
  | { readonly kind: "hello"; readonly sni: string | null; readonly ech: boolean }
  /** Begins like TLS, but is no ClientHello that a strict reader takes. */
  | { readonly kind: "bad_hello" }
  /** Begins like a request line. */
  | { readonly kind: "http" }
  | { readonly kind: "other" };

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
/** Encrypted ClientHello, and the drafts' encrypted server name before it. */
const ENCRYPTED_HELLO: ReadonlySet<number> = new Set([0xfe0d, 0xffce, 0xfe08, 0xfe09, 0xfe0a, 0xfe0b, 0xfe0c]);
/** Longest plaintext of one record. Source: RFC 8446, section 5.1. */
const MAX_RECORD = 16_384;

const BAD: FirstFlight = { kind: "bad_hello" };
const MORE: FirstFlight = { kind: "more" };

/** Judges the first bytes of a connection. `bytes` is pack-controlled and may end anywhere. */
export function readFirstFlight(bytes: Buffer): FirstFlight {
  const first = bytes[0];
  if (first === undefined) return MORE;
  if (first !== HANDSHAKE_RECORD) return first >= 0x41 && first <= 0x5a ? { kind: "http" } : { kind: "other" };
  if (bytes.length > 1 && bytes[1] !== 3) return { kind: "other" };
  const message = handshakeMessage(bytes);
  return Buffer.isBuffer(message) ? helloOf(new Cursor(message)) : message;
}

/** The first handshake message, put together from its records. */
function handshakeMessage(bytes: Buffer): Buffer | FirstFlight {
  const parts: Buffer[] = [];
  let have = 0;
  for (let at = 0; at < bytes.length;) {
    if (bytes.length - at < 5) return MORE;
    const length = bytes.readUInt16BE(at + 3);
    if (bytes[at] !== HANDSHAKE_RECORD || bytes[at + 1] !== 3 || length === 0 || length > MAX_RECORD) return BAD;
    const record = bytes.subarray(at + 5, at + 5 + length);
    parts.push(record);
    have += record.length;
    const header = have < 4 ? null : Buffer.concat(parts);
    if (header !== null) {
      if (header[0] !== CLIENT_HELLO) return BAD;
      const wanted = 4 + header.readUIntBE(1, 3);
      if (have > wanted) return BAD;
      if (have === wanted) return header;
    }
    if (record.length < length) return MORE;
    at += 5 + length;
  }
  return MORE;
}

function helloOf(hello: Cursor): FirstFlight {
  try {
    hello.skip(4); // type and length
    hello.skip(2 + 32); // version, random
    hello.skip(hello.u8(32)); // session id
    hello.skip(hello.u16()); // cipher suites
    hello.skip(hello.u8(255)); // compression methods
    if (hello.ended) return { kind: "hello", sni: null, ech: false };
    const extensions = hello.take(hello.u16());
    if (!hello.ended) return BAD;
    const seen = new Set<number>();
    let sni: string | null = null;
    let ech = false;
    while (!extensions.ended) {
      const type = extensions.u16();
      const body = extensions.take(extensions.u16());
      if (seen.has(type)) return BAD;
      seen.add(type);
      if (ENCRYPTED_HELLO.has(type)) ech = true;
      if (type !== SERVER_NAME) continue;
      const list = body.take(body.u16());
      if (!body.ended || list.u8(255) !== 0) return BAD;
      sni = list.take(list.u16()).text();
      // One name of one kind; no client sends more (RFC 6066, section 3).
      if (!list.ended || sni.length === 0) return BAD;
    }
    return { kind: "hello", sni, ech };
  } catch (error) {
    if (error instanceof RangeError) return BAD;
    throw error;
  }
}

/** Reads forward through bytes; a read past their end is a RangeError. */
class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }

  u8(most: number): number {
    const value = this.#bytes.readUInt8(this.#at);
    if (value > most) throw new RangeError("length");
    this.#at += 1;
    return value;
  }

  u16(): number {
    const value = this.#bytes.readUInt16BE(this.#at);
    this.#at += 2;
    return value;
  }

  skip(count: number): void {
    if (this.#at + count > this.#bytes.length) throw new RangeError("end");
    this.#at += count;
  }

  take(count: number): Cursor {
    const from = this.#at;
    this.skip(count);
    return new Cursor(this.#bytes.subarray(from, this.#at));
  }

  text(): string {
    return this.#bytes.toString("latin1");
  }
}
