// Connections to one of the daemon's sockets: kept, a request has one for itself, further requests wait for their turn.
import { connect } from "node:net";

const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
// Of one process to one socket: the daemon takes 32 of the whole instance.
const MAX_CONNECTIONS = 8;
// More connected at once than the kernel lets wait.
const CROWDED_MS = 2;
// After these answers the daemon ends the connection.
const LAST_WORDS = new Set(["protocol_error", "busy"]);
// Pieces of an answer that nobody took yet; then the daemon is held back.
const MAX_WAITING_MESSAGES = 16;
const EMPTY = Buffer.alloc(0);

/** A local error type. `stale`: a kept connection had ended before it took the request. `crowded`: it may go better soon. */
class Failed {
  constructor(errorType, { stale = false, crowded = false } = {}) {
    this.errorType = errorType;
    this.stale = stale;
    this.crowded = crowded;
  }
}

/** One connection. `onMessage(message)` is given whole messages, `onEnd(failed)` is called once, when no more will come. */
class Link {
  onMessage = null;
  onEnd = null;
  kept = false;
  ended = false;
  #socket;
  #sawBytes = false;
  #head = EMPTY;
  #body = null;
  #have = 0;
  #deadline = 0;
  #timer = null;
  #rings = 0;

  constructor(path) {
    this.#socket = connect({ path });
    this.#socket.on("data", (chunk) => this.#receive(chunk));
    this.#socket.on("error", (error) => this.#end(this.#failureOf(error)));
    this.#socket.on("end", () => this.#end(new Failed("protocol_error")));
    this.#socket.on("close", () => this.#end(new Failed("protocol_error")));
  }

  /** Sends a request; `onEnd` is told at `until` unless it was taken away before. */
  send(frame, until) {
    this.#sawBytes = false;
    this.#deadline = until;
    if (this.#timer === null || this.#rings > until) this.#setTimer(until);
    this.#socket.ref();
    this.#socket.write(frame);
  }

  /** One timer for many requests, which mostly end long before it rings: setting one each time would cost more than the request. */
  #setTimer(at) {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#rings = at;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        if (this.onEnd === null) return;
        if (performance.now() < this.#deadline) this.#setTimer(this.#deadline);
        else this.#end(new Failed("timeout"));
      },
      Math.max(1, Math.ceil(at - performance.now())),
    );
    this.#timer.unref();
  }

  /** Nothing is asked: it must not keep the process alive. */
  rest() {
    this.onMessage = null;
    this.onEnd = null;
    this.kept = true;
    this.#socket.resume();
    this.#socket.unref();
  }

  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  close() {
    this.onMessage = null;
    this.onEnd = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#socket.destroy();
  }

  #failureOf({ code, syscall }) {
    if (code === "ENOENT" || code === "EACCES") return new Failed("socket_not_found");
    if (syscall === "connect") return new Failed("connection_refused", { crowded: code === "EAGAIN" });
    return new Failed("protocol_error", { stale: this.kept && !this.#sawBytes && (code === "EPIPE" || code === "ECONNRESET") });
  }

  #end(failed) {
    const tell = this.onEnd;
    this.ended = true;
    this.close();
    tell?.(failed);
  }

  #receive(chunk) {
    this.#sawBytes = true;
    let bytes = chunk;
    while (bytes.length > 0) {
      if (this.#body === null) {
        if (this.#head.length > 0) bytes = Buffer.concat([this.#head, bytes]);
        if (bytes.length < 4) {
          this.#head = bytes;
          return;
        }
        this.#head = EMPTY;
        const size = bytes.readUInt32BE(0);
        if (size > MAX_ANSWER_BYTES) return this.#end(new Failed("protocol_error"));
        bytes = bytes.subarray(4);
        if (bytes.length >= size) {
          if (!this.#take(bytes.toString("utf8", 0, size))) return;
          bytes = bytes.subarray(size);
          continue;
        }
        this.#body = Buffer.allocUnsafe(size);
        this.#have = 0;
      }
      const count = bytes.copy(this.#body, this.#have);
      this.#have += count;
      if (this.#have < this.#body.length) return;
      const text = this.#body.toString("utf8");
      this.#body = null;
      if (!this.#take(text)) return;
      bytes = bytes.subarray(count);
    }
  }

  /** False when the connection is of no use any more. */
  #take(text) {
    let message = null;
    try {
      message = JSON.parse(text);
    } catch {
      // Told below.
    }
    if (typeof message !== "object" || message === null || Array.isArray(message) || this.onMessage === null) {
      this.#end(new Failed("protocol_error"));
      return false;
    }
    this.onMessage(message);
    return !this.ended;
  }
}

/** The connections to the socket at `path`. */
export class Links {
  #path;
  #idle = [];
  #used = 0;
  #waiting = [];

  constructor(path) {
    this.#path = path;
  }

  /** `{ answer, errorType }`, one of them null. */
  async exchange(body, limitMs) {
    const until = performance.now() + limitMs;
    if (!(await this.#enter(limitMs))) return { answer: null, errorType: "timeout" };
    let link = null;
    let keep = false;
    try {
      link = this.#kept();
      let said = link === null ? null : await answerOf(link, body, until);
      while (said === null || (said instanceof Failed && (said.stale || said.crowded) && performance.now() < until)) {
        if (said?.crowded === true) await new Promise((resolve) => setTimeout(resolve, CROWDED_MS));
        link = new Link(this.#path);
        said = await answerOf(link, body, until);
      }
      if (said instanceof Failed) return { answer: null, errorType: said.errorType };
      keep = !LAST_WORDS.has(said.error_type);
      return { answer: said, errorType: null };
    } finally {
      this.#leave(link, keep);
    }
  }

  /** The messages that answer one request, up to the one that `isLast`. What goes wrong is the last of them, made by `failure(errorType)`. */
  async *messages(body, limitMs, isLast, failure) {
    const until = performance.now() + limitMs;
    if (!(await this.#enter(limitMs))) {
      yield failure("timeout");
      return;
    }
    let link = null;
    let keep = false;
    try {
      link = new Link(this.#path);
      for await (const message of streamOf(link, body, until)) {
        if (message instanceof Failed) {
          yield failure(message.errorType);
          return;
        }
        if (isLast(message)) {
          keep = !LAST_WORDS.has(message.error_type);
          yield message;
          return;
        }
        yield message;
      }
    } finally {
      this.#leave(link, keep);
    }
  }

  #kept() {
    for (;;) {
      const link = this.#idle.pop();
      if (link === undefined) return null;
      if (!link.ended) return link;
    }
  }

  #enter(limitMs) {
    if (this.#used < MAX_CONNECTIONS) {
      this.#used += 1;
      return true;
    }
    return new Promise((resolve) => {
      const turn = () => {
        clearTimeout(timer);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(turn), 1);
        resolve(false);
      }, limitMs);
      this.#waiting.push(turn);
    });
  }

  #leave(link, keep) {
    if (link !== null) {
      if (keep && !link.ended) {
        link.rest();
        this.#idle.push(link);
      } else link.close();
    }
    const next = this.#waiting.shift();
    if (next === undefined) this.#used -= 1;
    else next();
  }
}

/** The one message that answers, or why there is none. */
function answerOf(link, body, until) {
  return new Promise((resolve) => {
    const finish = (said) => {
      link.onMessage = null;
      link.onEnd = null;
      resolve(said);
    };
    link.onMessage = finish;
    link.onEnd = finish;
    link.send(body, until);
  });
}

/** Messages as they come; the daemon is held back while nobody takes them. */
async function* streamOf(link, body, until) {
  const come = [];
  let wake = null;
  const put = (message) => {
    come.push(message);
    if (come.length >= MAX_WAITING_MESSAGES) link.pause();
    wake?.();
  };
  link.onMessage = put;
  link.onEnd = put;
  link.send(body, until);
  for (;;) {
    if (come.length === 0) {
      link.resume();
      await new Promise((resolve) => {
        wake = resolve;
      });
      wake = null;
    }
    yield come.shift();
  }
}
