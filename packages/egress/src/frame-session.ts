import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import type { JsonObject, JsonValue, SocketOwner } from "@rumi/core";
import { encodeJsonFrame, JsonFrameDecoder, WireError } from "@rumi/wire";
import { FRAME_TIMEOUT_MS, MAX_FRAME_BYTES, STALLED_READER_MS } from "./limits.ts";

/** What is done with the messages of one connection. Neither member rejects. */
export interface FrameHandler {
  /** Answers one message through `send`, or takes the connection over. `signal` aborts when the other side is gone. */
  message(message: JsonValue, session: FrameSession, signal: AbortSignal): Promise<void>;
  /** The answer to bytes that are no message; the connection is closed after it. */
  broken(reason: string): Promise<JsonObject>;
}

/** Bytes behind a message that is being answered; more of them wait in the socket. */
const MAX_WAITING_BYTES = 64 * 1024;

/** Frames on one connection, one message after the other. */
export class FrameSession {
  readonly #connection: Duplex;
  readonly #handler: FrameHandler;
  readonly #decoder = new JsonFrameDecoder({ maxBytes: MAX_FRAME_BYTES });
  readonly #closed = new AbortController();
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #half: NodeJS.Timeout | undefined;
  #busy = false;
  /** Frames are read no more: the connection is somebody else's, or over. */
  #left = false;

  constructor(connection: Duplex, owner: SocketOwner, handler: FrameHandler) {
    this.#connection = connection;
    this.#handler = handler;
    connection.on("error", () => undefined);
    owner.gone.addEventListener("abort", this.#end, { once: true });
    connection.once("close", () => {
      owner.gone.removeEventListener("abort", this.#end);
      this.#end();
    });
    connection.once("end", this.#end);
    connection.on("data", this.#take);
    if (owner.gone.aborted) this.#end();
  }

  /** Sends one message; resolves when the other side takes more, or is gone. A reader that stalls is cut off. */
  async send(value: JsonValue): Promise<void> {
    const connection = this.#connection;
    if (connection.destroyed || connection.write(encodeJsonFrame(value))) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => connection.destroy(), STALLED_READER_MS);
      const go = (): void => {
        clearTimeout(timer);
        connection.removeListener("drain", go);
        connection.removeListener("close", go);
        resolve();
      };
      connection.once("drain", go);
      connection.once("close", go);
    });
  }

  /** Stops reading frames: the connection goes on as something else. Gives it, paused, and the bytes behind the last message. */
  takeOver(): { readonly connection: Duplex; readonly head: Buffer } {
    this.#leave();
    this.#connection.pause();
    const head = Buffer.concat([this.#decoder.rest(), ...this.#waiting]);
    this.#waiting = [];
    return { connection: this.#connection, head };
  }

  readonly #end = (): void => {
    const left = this.#left;
    this.#leave();
    this.#closed.abort();
    if (!left) this.#connection.destroy();
  };

  readonly #take = (chunk: Buffer): void => {
    if (!this.#busy) return this.#feed(chunk);
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#connection.pause();
  };

  #feed(chunk: Buffer | undefined): void {
    let message: JsonValue | undefined;
    try {
      message = this.#decoder.next(chunk);
    } catch (error) {
      return void this.#break(error instanceof WireError ? error.message : "a frame is broken");
    }
    if (message !== undefined) {
      clearTimeout(this.#half);
      this.#half = undefined;
      return void this.#serve(message);
    }
    if (!this.#decoder.idle) this.#half ??= setTimeout(() => void this.#break("a frame took too long"), FRAME_TIMEOUT_MS);
  }

  async #serve(message: JsonValue): Promise<void> {
    this.#busy = true;
    await this.#handler.message(message, this, this.#closed.signal);
    this.#busy = false;
    if (this.#left) return;
    const waiting = this.#waitingBytes === 0 ? undefined : Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#feed(waiting);
    this.#connection.resume();
  }

  async #break(reason: string): Promise<void> {
    if (this.#left) return;
    this.#leave();
    const connection = this.#connection;
    // What still comes is thrown away, so that the answer is not lost to a reset.
    connection.resume();
    const timer = setTimeout(() => connection.destroy(), STALLED_READER_MS);
    connection.once("close", () => clearTimeout(timer));
    connection.end(encodeJsonFrame(await this.#handler.broken(reason)));
  }

  #leave(): void {
    this.#left = true;
    clearTimeout(this.#half);
    this.#half = undefined;
    this.#connection.removeListener("data", this.#take);
    this.#connection.removeListener("end", this.#end);
  }
}
