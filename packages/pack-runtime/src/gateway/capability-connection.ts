import type { Socket } from "node:net";
import { isJsonObject } from "@rumi/core";
import type { JsonObject, JsonValue, Logger, SocketOwner } from "@rumi/core";
import { encodeJsonFrame, JsonFrameDecoder } from "@rumi/wire";
import { ANSWER_MS, FRAME_MS, MAX_CAPABILITY_FRAME_BYTES, MAX_RECEIVING_BYTES } from "./limits.ts";
import type { CapabilityService } from "./ports.ts";
import type { RequestGate } from "./request-gate.ts";

/** What all capability connections of one instance have in common. */
export interface CapabilityDesk {
  readonly service: CapabilityService;
  readonly owner: SocketOwner;
  readonly gate: RequestGate;
  readonly logger: Logger;
  /** Bytes of messages that are not whole yet. */
  receiving: number;
}

/** An answer that the broker did not give. Source: page "Trust", section 7. */
export function capabilityRefusal(errorType: "protocol_error" | "busy" | "internal_error", error: string): JsonObject {
  return { success: false, output: { success: false, error, error_type: errorType }, error, error_type: errorType, latency_ms: 0 };
}

const INVALID = capabilityRefusal("protocol_error", "Invalid request");
const BUSY = capabilityRefusal("busy", "Busy");
const INTERNAL = capabilityRefusal("internal_error", "Internal error");

/**
 * Serves one connection: a message, its answer, the next message. Everything that comes in is a pack's word: it is bounded in
 * size and time, and whatever is wrong with it is answered once and ends this connection alone.
 */
export class CapabilityConnection {
  readonly #socket: Socket;
  readonly #desk: CapabilityDesk;
  readonly #decoder = new JsonFrameDecoder({ maxBytes: MAX_CAPABILITY_FRAME_BYTES });
  readonly #closed = new AbortController();
  /** What came in while a request was served; nothing further is read then. */
  #held: Buffer | null = null;
  #counted = 0;
  #isBusy = false;
  #frameTimer: NodeJS.Timeout | null = null;

  /** The peer's end of sending must leave our side open: it is told what was wrong with a message that was cut off. */
  constructor(socket: Socket, desk: CapabilityDesk) {
    this.#socket = socket;
    this.#desk = desk;
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.once("end", () => this.#peerEnded());
    socket.once("close", () => this.#close());
  }

  #receive(chunk: Buffer): void {
    if (!this.#isBusy) {
      this.#take(chunk);
      return;
    }
    this.#held = this.#held === null ? chunk : Buffer.concat([this.#held, chunk]);
    this.#socket.pause();
  }

  #take(chunk?: Buffer): void {
    let message: JsonValue | undefined;
    try {
      message = this.#decoder.next(chunk);
    } catch {
      this.#refuse(INVALID);
      return;
    }
    this.#count(this.#decoder.held);
    if (message === undefined) {
      this.#awaitRest();
      return;
    }
    this.#stopFrameTimer();
    if (isJsonObject(message)) void this.#serve(message);
    else this.#refuse(INVALID);
  }

  /** Part of a message is here: the rest has its time. Too much of such parts in one instance: the latest is not taken. */
  #awaitRest(): void {
    if (this.#decoder.idle) return;
    if (this.#desk.receiving > MAX_RECEIVING_BYTES) this.#refuse(BUSY);
    else this.#frameTimer ??= setTimeout(() => this.#refuse(INVALID), FRAME_MS).unref();
  }

  async #serve(message: JsonObject): Promise<void> {
    this.#isBusy = true;
    const { gate } = this.#desk;
    const pause = gate.pace();
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause).unref());
    const entered = gate.enter(this.#closed.signal);
    if (entered === true || (entered !== false && (await entered))) {
      try {
        await this.#send(await this.#ask(message));
      } finally {
        gate.leave();
      }
    } else {
      await this.#send(BUSY);
    }
    this.#isBusy = false;
    this.#next();
  }

  async #ask(message: JsonObject): Promise<JsonObject> {
    const { service, owner, logger } = this.#desk;
    try {
      return await service.handle(message, owner, this.#closed.signal);
    } catch (cause) {
      logger.log("error", "a capability call failed inside", { error: String(cause) });
      return INTERNAL;
    }
  }

  /** Resolves when the answer has left, or the connection has gone: a peer that does not read loses it. */
  async #send(answer: JsonObject): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed || socket.write(encodeJsonFrame(answer))) return;
    const done = Promise.withResolvers<void>();
    const timer = setTimeout(() => socket.destroy(), ANSWER_MS).unref();
    socket.once("drain", done.resolve);
    socket.once("close", done.resolve);
    await done.promise;
    clearTimeout(timer);
    socket.off("drain", done.resolve);
    socket.off("close", done.resolve);
  }

  /** Looks at what came in meanwhile. */
  #next(): void {
    if (this.#socket.destroyed) return;
    const held = this.#held;
    this.#held = null;
    if (held !== null || !this.#decoder.idle) this.#take(held ?? undefined);
    if (!this.#isBusy && this.#socket.isPaused()) this.#socket.resume();
  }

  /** Answers and ends the connection: what follows on it could not be understood. */
  #refuse(answer: JsonObject): void {
    this.#stopFrameTimer();
    this.#isBusy = true;
    this.#held = null;
    this.#socket.removeAllListeners("data");
    this.#socket.resume();
    this.#socket.end(encodeJsonFrame(answer));
    const timer = setTimeout(() => this.#socket.destroy(), REFUSAL_MS).unref();
    this.#socket.once("close", () => clearTimeout(timer));
  }

  /** Nobody waits for an answer any more: a request in work is given up. */
  #peerEnded(): void {
    if (this.#isBusy) this.#socket.destroy();
    else if (this.#decoder.idle) this.#socket.end();
    else this.#refuse(INVALID);
  }

  #close(): void {
    this.#stopFrameTimer();
    this.#count(0);
    this.#closed.abort();
  }

  #count(held: number): void {
    this.#desk.receiving += held - this.#counted;
    this.#counted = held;
  }

  #stopFrameTimer(): void {
    if (this.#frameTimer !== null) clearTimeout(this.#frameTimer);
    this.#frameTimer = null;
  }
}

/** How long a peer has to take the answer that ends its connection. */
const REFUSAL_MS = 1_000;
