import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import type { JsonObject, JsonValue } from "@rumi/core";
import { encodeJsonFrame, JsonFrameDecoder } from "@rumi/wire";

/** A pack's end of a capability or egress socket, as rude as a test wants it. */
export class FrameClient implements Disposable {
  readonly socket: Socket;
  readonly #decoder = new JsonFrameDecoder({ maxBytes: 64 * 1024 * 1024 });
  readonly #messages: JsonValue[] = [];
  readonly #waiting: ((message: JsonValue | null) => void)[] = [];
  #ended = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      for (let message = this.#decoder.next(chunk); message !== undefined; message = this.#decoder.next()) this.#put(message);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#ended = true;
      for (const wait of this.#waiting.splice(0)) wait(null);
    });
  }

  /** @throws what the connection failed with */
  static async open(path: string): Promise<FrameClient> {
    const socket = connect({ path, allowHalfOpen: true });
    await once(socket, "connect");
    const client = new FrameClient(socket);
    socket.on("end", () => socket.end());
    return client;
  }

  send(message: JsonValue): void {
    this.socket.write(encodeJsonFrame(message));
  }

  /** The next message, or null when the connection ends before one comes. */
  receive(): Promise<JsonObject | null> {
    const message = this.#messages.shift();
    if (message !== undefined) return Promise.resolve(message as JsonObject);
    if (this.#ended) return Promise.resolve(null);
    return new Promise((resolve) => this.#waiting.push((value) => resolve(value as JsonObject | null)));
  }

  async ask(message: JsonValue): Promise<JsonObject | null> {
    this.send(message);
    return await this.receive();
  }

  /** Resolves when the host has closed the connection. */
  async closed(): Promise<void> {
    if (!this.#ended) await once(this.socket, "close");
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #put(message: JsonValue): void {
    const wait = this.#waiting.shift();
    if (wait === undefined) this.#messages.push(message);
    else wait(message);
  }
}

/** A frame of any bytes, with the length it claims. */
export function rawFrame(text: string, length: number = Buffer.byteLength(text)): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(length);
  return Buffer.concat([head, Buffer.from(text)]);
}
