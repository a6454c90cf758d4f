import { Buffer } from "node:buffer";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock, Logger, SocketOwner } from "@rumi/core";
import { encodeJsonFrame } from "@rumi/wire";
import type { Admission } from "./admission.ts";
import type { Fault } from "./fault.ts";
import { fault } from "./fault.ts";
import { endToEnd, pairsOf } from "./header-rules.ts";
import { portNumber } from "./host-name.ts";
import { MAX_REQUEST_BODY_BYTES, MAX_RESPONSE_HEADER_BYTES, MAX_TIMEOUT_SECONDS, TUNNEL_IDLE_MS } from "./limits.ts";
import type { EgressOptions } from "./limits.ts";
import type { Outbound } from "./outbound.ts";
import { proxiedUrl } from "./proxied-url.ts";
import { plainRefusal, ProxyAnswer } from "./proxy-answer.ts";
import { methodOf } from "./request-message.ts";
import type { EgressRequest } from "./request-message.ts";
import { startTrace } from "./request-trace.ts";
import type { RequestAudit } from "./request-trace.ts";
import type { TunnelAsk, Tunnels } from "./tunnels.ts";

/** Whose connection this is, and the tunnel it lies in, if any. */
interface Session {
  readonly owner: SocketOwner;
  readonly callId: string | undefined;
  readonly tunnel: { readonly host: string; readonly port: number } | null;
}

export interface ForwardProxyDeps {
  readonly outbound: Outbound;
  readonly tunnels: Tunnels;
  readonly admission: Admission;
  readonly audit: RequestAudit;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How long a client may be silent: longer than any request that is still being answered. */
const IDLE_CLIENT_MS = (MAX_TIMEOUT_SECONDS + 5) * 1000;

/** Requests on one connection that may wait for their answers. */
const MAX_PIPELINED = 32;

/** Requests and tunnels of programs that know nothing of this house, in the words of an HTTP proxy (RFC 9110, RFC 9112). */
export class ForwardProxy {
  readonly #deps: ForwardProxyDeps;
  readonly #options: Required<EgressOptions>;
  readonly #server: Server;
  readonly #sessions = new WeakMap<Duplex, Session>();
  /** Requests of a connection that are not answered yet. */
  readonly #waiting = new WeakMap<Duplex, number>();

  constructor(deps: ForwardProxyDeps, options: Required<EgressOptions>) {
    this.#deps = deps;
    this.#options = options;
    // It listens nowhere: connections are handed to it.
    this.#server = createServer({
      maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
      keepAliveTimeout: TUNNEL_IDLE_MS,
      // A missing Host is judged here, where its refusal has the status that clients know.
      requireHostHeader: false,
    });
    this.#server.timeout = IDLE_CLIENT_MS;
    const broke = (stream: { destroy(): unknown }, error: unknown): void => {
      deps.logger.log("error", "a proxied request broke", { error: error instanceof Error ? error.stack : String(error) });
      stream.destroy();
    };
    const serve = (request: IncomingMessage, response: ServerResponse): void => {
      this.#request(request, response).catch((error: unknown) => broke(response, error));
    };
    this.#server.on("request", serve);
    this.#server.on("checkExpectation", serve);
    this.#server.on("connect", (request, stream, head) => {
      this.#connect(request, stream, head).catch((error: unknown) => broke(stream, error));
    });
    this.#server.on("clientError", (_error, stream) => {
      if (stream.writable) stream.end(plainRefusal("protocol_error", "The request is no valid HTTP"));
      else stream.destroy();
    });
  }

  /** Serves a connection that begins with `head` as a proxy's client. */
  serve(connection: Duplex, head: Buffer, owner: SocketOwner, callId: string | undefined): void {
    this.#accept(connection, head, { owner, callId, tunnel: null });
  }

  /** Serves one tunnel that a frame asked for: its answer is a frame, and what follows is the tunnel's. */
  tunnel(connection: Duplex, ask: TunnelAsk): Promise<void> {
    return this.#deps.tunnels.serve(ask, {
      stream: connection,
      answer: (no) => {
        const frame = encodeJsonFrame({ success: no === null, error: no?.text ?? null, error_type: no?.fault ?? null });
        if (no === null) connection.write(frame);
        else connection.end(frame);
      },
      http: (head, tunnel) => this.#accept(connection, head, { owner: ask.owner, callId: ask.callId, tunnel }),
    });
  }

  #accept(connection: Duplex, head: Buffer, session: Session): void {
    const known = this.#sessions.has(connection);
    this.#sessions.set(connection, session);
    if (!known) this.#endWith(connection, session.owner);
    if (head.length > 0) connection.unshift(head);
    this.#server.emit("connection", connection);
    connection.resume();
  }

  #endWith(connection: Duplex, owner: SocketOwner): void {
    const gone = (): void => void connection.destroy();
    connection.on("error", () => undefined);
    connection.once("close", () => owner.gone.removeEventListener("abort", gone));
    owner.gone.addEventListener("abort", gone, { once: true });
    if (owner.gone.aborted) gone();
  }

  async #request(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = incoming;
    const session = this.#sessions.get(socket);
    response.on("error", () => undefined);
    incoming.on("error", () => undefined);
    if (session === undefined) return void response.destroy();
    const waiting = (this.#waiting.get(socket) ?? 0) + 1;
    // No client of this house pipelines; one that does so without end is cut off.
    if (waiting > MAX_PIPELINED) return void socket.destroy();
    this.#waiting.set(socket, waiting);
    const caller = session.owner.caller(session.callId);
    const trace = startTrace(caller, incoming.method ?? "", this.#deps.clock);
    const life = new AbortController();
    const stop = (): void => life.abort();
    response.once("close", stop);
    session.owner.gone.addEventListener("abort", stop, { once: true });
    const sink = new ProxyAnswer(response, incoming.method === "HEAD");
    const request = await this.#read(incoming, session);
    const end = "fault" in request ? request : await this.#deps.outbound.perform(request, caller, trace, sink, life.signal);
    if (end !== null) await this.#deps.admission.refusalPause(caller.principal);
    await this.#deps.audit.record(trace, end);
    if (end === null) sink.end();
    else sink.fail(end);
    response.removeListener("close", stop);
    session.owner.gone.removeEventListener("abort", stop);
    this.#waiting.set(socket, (this.#waiting.get(socket) ?? 1) - 1);
  }

  /** The request as a frame would say it. */
  async #read(incoming: IncomingMessage, session: Session): Promise<EgressRequest | Fault> {
    const method = methodOf(incoming.method ?? "");
    if (method === null) return fault("validation_error", 2, "This method is not served");
    const pairs = pairsOf(incoming.rawHeaders);
    const url = proxiedUrl(incoming, session.tunnel);
    if (typeof url !== "string") return url;
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of incoming) {
        bytes += (chunk as Buffer).length;
        if (bytes > MAX_REQUEST_BODY_BYTES) return fault("validation_error", 1, `body is over ${MAX_REQUEST_BODY_BYTES} bytes`);
        chunks.push(chunk as Buffer);
      }
    } catch {
      return fault("cancelled", 1, "The request was cut short");
    }
    return {
      method,
      url,
      headers: endToEnd(pairs),
      body: bytes === 0 ? null : Buffer.concat(chunks),
      timeoutMs: MAX_TIMEOUT_SECONDS * 1000,
      connectMs: this.#options.connectTimeoutMs,
      readMs: this.#options.readTimeoutMs,
      idempotent: false,
      // Its client follows redirects itself, and each one comes back here as a request of its own.
      maxRedirects: 0,
    };
  }

  async #connect(incoming: IncomingMessage, stream: Duplex, head: Buffer): Promise<void> {
    const session = this.#sessions.get(stream);
    stream.on("error", () => undefined);
    if (session === undefined) return void stream.destroy();
    const asked = /^(.*):([0-9]+)$/u.exec(incoming.url ?? "");
    const port = asked === null ? null : portNumber(asked[2] ?? "");
    const host = asked?.[1] ?? "";
    if (port === null || session.tunnel !== null) {
      const refused = fault("validation_error", 3, session.tunnel === null ? "CONNECT needs host:port" : "No tunnel inside a tunnel");
      const caller = session.owner.caller(session.callId);
      await this.#deps.admission.refusalPause(caller.principal);
      stream.end(plainRefusal(refused.fault, refused.text));
      return this.#deps.audit.record(startTrace(caller, "CONNECT", this.#deps.clock), refused);
    }
    if (head.length > 0) stream.unshift(head);
    await this.#deps.tunnels.serve(
      { owner: session.owner, callId: session.callId, host, port },
      {
        stream,
        answer: (no) => {
          if (no === null) stream.write("HTTP/1.1 200 Connection Established\r\n\r\n");
          else stream.end(plainRefusal(no.fault, no.text));
        },
        http: (first, tunnel) => this.#accept(stream, first, { ...session, tunnel }),
      },
    );
  }
}
