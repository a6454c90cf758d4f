// The forward proxy as ordinary HTTP libraries see it: a port of this instance's own loopback whose connections are carried
// to the daemon's egress socket. Nothing is read into here: the daemon parses, judges and asks. It lives in process 1, so it
// may never throw or grow: a bounded number of connections, each with one piece in hand.
import { connect, createServer } from "node:net";

const HELLO = frameOf('{"type":"proxy"}');
const MAX_CONNECTIONS = 32;
// Connections that were refused and have not gone yet; what comes beyond those is closed unheard.
const MAX_LINGERING = 32;
const LINGER_MS = 1000;
const H = 0x48;

// A bare close would make some clients try again without end.
const TOO_MANY = refusal("429 Too Many Requests");
const NO_PROXY = refusal("502 Bad Gateway");

function refusal(status) {
  return `HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;
}

function frameOf(text) {
  const frame = Buffer.alloc(4 + text.length);
  frame.writeUInt32BE(text.length);
  frame.write(text, 4);
  return frame;
}

/** The port that this instance's libraries are told, or null when they are told none. */
export function portOf(environment) {
  const port = Number(/^http:\/\/127\.0\.0\.1:(\d{1,5})$/u.exec(environment.http_proxy ?? "")?.[1] ?? 0);
  return port > 0 && port < 65_536 ? port : null;
}

export class Relay {
  #path;
  #server;
  #carried = new Set();
  #lingering = new Set();

  constructor(egressPath) {
    this.#path = egressPath;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
  }

  /** Resolves with whether the port could be had. */
  listen(port) {
    return new Promise((resolve) => {
      this.#server.on("error", () => resolve(false));
      this.#server.listen(port, "127.0.0.1", () => resolve(true));
    });
  }

  /** No call is in flight: nothing that it opened stays. */
  endAll() {
    for (const socket of [...this.#carried, ...this.#lingering]) socket.destroy();
  }

  #accept(client) {
    client.on("error", () => client.destroy());
    if (this.#carried.size >= MAX_CONNECTIONS) {
      this.#refuse(client, TOO_MANY);
      return;
    }
    this.#carried.add(client);
    let answered = false;
    const daemon = connect({ path: this.#path, allowHalfOpen: true });
    const refuse = (text) => {
      daemon.destroy();
      this.#carried.delete(client);
      client.unpipe(daemon);
      this.#refuse(client, text);
    };
    client.once("close", () => {
      this.#carried.delete(client);
      daemon.destroy();
    });
    daemon.on("error", (error) => {
      if (answered) client.destroy();
      else refuse(error.syscall === "connect" && error.code !== "EAGAIN" ? NO_PROXY : TOO_MANY);
    });
    daemon.once("close", () => {
      if (answered && !client.writableEnded) client.end();
    });
    // It ended, or said in a frame of its own that there are too many.
    daemon.once("end", () => {
      if (!answered && this.#carried.has(client)) refuse(TOO_MANY);
    });
    daemon.once("readable", () => {
      if (!this.#carried.has(client)) return;
      const first = daemon.read();
      if (first === null) return;
      if (first[0] !== H) {
        refuse(TOO_MANY);
        return;
      }
      answered = true;
      daemon.unshift(first);
      daemon.pipe(client);
    });
    daemon.write(HELLO);
    client.pipe(daemon);
  }

  /** Says why, and gives the client a moment to hear it: closing at once with bytes unread would take it back. */
  #refuse(client, text) {
    if (client.destroyed || this.#lingering.size >= MAX_LINGERING) {
      client.destroy();
      return;
    }
    this.#lingering.add(client);
    const timer = setTimeout(() => client.destroy(), LINGER_MS);
    client.once("close", () => {
      clearTimeout(timer);
      this.#lingering.delete(client);
    });
    client.once("end", () => client.destroySoon());
    client.resume();
    client.end(text);
  }
}
