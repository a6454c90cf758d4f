import { Buffer } from "node:buffer";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock, SocketOwner } from "@rumi/core";
import { encodeJsonFrame } from "@rumi/wire";
import type { Admission } from "./admission.ts";
import type { AnswerHead, AnswerSink } from "./answer-sink.ts";
import type { Fault } from "./fault.ts";
import { fault } from "./fault.ts";
import { endToEnd, pairsOf } from "./header-rules.ts";
import { canonicalHost, portNumber, urlHost } from "./host-name.ts";
import type { EgressErrorType } from "./http-answer.ts";
import { MAX_REQUEST_BODY_BYTES, MAX_RESPONSE_HEADER_BYTES, MAX_TIMEOUT_SECONDS, TUNNEL_IDLE_MS } from "./limits.ts";
import type { EgressOptions } from "./limits.ts";
import type { Outbound } from "./outbound.ts";
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
}

/** What went wrong on the way is the upstream's (502); asking too much 429; everything else is a no. */
const STATUS: Partial<Record<EgressErrorType, number>> = {
  rate_limited: 429,
  busy: 429,
  dns_error: 502,
  connection_refused: 502,
  ssl_error: 502,
  timeout: 502,
  response_too_large: 502,
  connection_lost: 502,
  too_many_redirects: 502,
  cancelled: 502,
  internal_error: 502,
};

/** Requests and tunnels of programs that know nothing of this house, in the words of an HTTP proxy (RFC 9110, RFC 9112). */
export class ForwardProxy {
  readonly #deps: ForwardProxyDeps;
  readonly #options: Required<EgressOptions>;
  readonly #server: Server;
  readonly #sessions = new WeakMap<Duplex, Session>();

  constructor(deps: ForwardProxyDeps, options: Required<EgressOptions>) {
    this.#deps = deps;
    this.#options = options;
    // It listens nowhere: connections are handed to it.
    this.#server = createServer({ maxHeaderSize: MAX_RESPONSE_HEADER_BYTES, keepAlive: true, requestTimeout: 0, headersTimeout: 0 });
    this.#server.timeout = TUNNEL_IDLE_MS;
    this.#server.on("request", (request, response) => void this.#request(request, response));
    this.#server.on("connect", (request, stream, head) => void this.#connect(request, stream, head));
    this.#server.on("clientError", (_error, stream) => {
      if (stream.writable) stream.end(plainAnswer(403, "protocol_error", "The request is no valid HTTP"));
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
    const session = this.#sessions.get(incoming.socket);
    response.on("error", () => undefined);
    incoming.on("error", () => undefined);
    if (session === undefined) return void response.destroy();
    const caller = session.owner.caller(session.callId);
    const trace = startTrace(caller, incoming.method ?? "", this.#deps.clock);
    const life = new AbortController();
    const stop = (): void => life.abort();
    response.once("close", stop);
    session.owner.gone.addEventListener("abort", stop, { once: true });
    const sink = new ProxyAnswer(response, incoming.method === "HEAD");
    try {
      const request = await this.#read(incoming, session);
      const end = "fault" in request ? request : await this.#deps.outbound.perform(request, caller, trace, sink, life.signal);
      if (end === null) sink.end();
      else {
        await this.#deps.admission.refusalPause(caller.principal);
        sink.fail(end);
      }
      await this.#deps.audit.record(trace, end);
    } finally {
      response.removeListener("close", stop);
      session.owner.gone.removeEventListener("abort", stop);
    }
  }

  /** The request as a frame would say it. */
  async #read(incoming: IncomingMessage, session: Session): Promise<EgressRequest | Fault> {
    const method = methodOf(incoming.method ?? "");
    if (method === null) return fault("validation_error", 2, "This method is not served");
    const pairs = pairsOf(incoming.rawHeaders);
    const url = requestUrl(incoming, session.tunnel);
    if (typeof url !== "string") return url;
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of incoming) {
      bytes += (chunk as Buffer).length;
      if (bytes > MAX_REQUEST_BODY_BYTES) return fault("validation_error", 1, `body is over ${MAX_REQUEST_BODY_BYTES} bytes`);
      chunks.push(chunk as Buffer);
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
      stream.end(plainAnswer(403, refused.fault, refused.text));
      return this.#deps.audit.record(startTrace(caller, "CONNECT", this.#deps.clock), refused);
    }
    if (head.length > 0) stream.unshift(head);
    await this.#deps.tunnels.serve(
      { owner: session.owner, callId: session.callId, host, port },
      {
        stream,
        answer: (no) => {
          if (no === null) stream.write("HTTP/1.1 200 Connection Established\r\n\r\n");
          else stream.end(plainAnswer(proxyStatus(no.fault), no.fault, no.text));
        },
        http: (first, tunnel) => this.#accept(stream, first, { ...session, tunnel }),
      },
    );
  }
}

/** The whole URL of a proxied request, or what is wrong with it. */
function requestUrl(incoming: IncomingMessage, tunnel: Session["tunnel"]): string | Fault {
  const target = incoming.url ?? "";
  const hosts = pairsOf(incoming.rawHeaders).filter(([name]) => name.toLowerCase() === "host");
  if (hosts.length > 1) return fault("validation_error", 4, "more than one Host");
  const host = hosts[0]?.[1];
  if (tunnel === null) {
    if (!/^https?:\/\//iu.test(target)) return fault("validation_error", 3, "A proxy is asked with a whole URL");
    const named = /^https?:\/\/([^/?#]*)/iu.exec(target)?.[1] ?? "";
    const fallback = /^https:/iu.test(target) ? 443 : 80;
    if (host !== undefined && !sameHost(host, named, fallback)) return fault("validation_error", 4, "Host is not the URL's");
    return target;
  }
  if (!target.startsWith("/")) return fault("validation_error", 3, "Inside a tunnel a request names a path");
  const authority = `${urlHost(tunnel.host)}:${tunnel.port}`;
  if (host === undefined || !sameHost(host, authority, 80)) return fault("validation_error", 4, "Host is not the tunnel's");
  return `http://${authority}${target}`;
}

function sameHost(one: string, other: string, port: number): boolean {
  const canonical = (text: string): string | null => {
    const parts = /^(\[[^\]]*\]|[^:]*)(?::([0-9]+))?$/u.exec(text.trim());
    const host = canonicalHost(parts?.[1] ?? "")?.host;
    return host === undefined ? null : `${host} ${parts?.[2] === undefined ? port : Number(parts[2])}`;
  };
  const left = canonical(one);
  return left !== null && left === canonical(other);
}

/** The status that says a fault to a proxy's client. */
export function proxyStatus(type: EgressErrorType): number {
  return STATUS[type] ?? 403;
}

/** An answer in bytes, for a connection that is closed after it. */
function plainAnswer(status: number, type: EgressErrorType, text: string): string {
  const phrase = status === 429 ? "Too Many Requests" : status === 502 ? "Bad Gateway" : "Forbidden";
  const body = `${text}\n`;
  return (
    `HTTP/1.1 ${status} ${phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nX-Proxy-Error: ${type}\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  );
}

/** Gives an upstream's answer to a proxy's client. */
class ProxyAnswer implements AnswerSink {
  readonly #response: ServerResponse;
  readonly #bodiless: boolean;

  constructor(response: ServerResponse, bodiless: boolean) {
    this.#response = response;
    this.#bodiless = bodiless;
  }

  head(head: AnswerHead): void {
    this.#response.sendDate = false;
    this.#response.writeHead(
      head.status,
      head.headers.filter(([name]) => this.#bodiless || name.toLowerCase() !== "content-length").flat(),
    );
    this.#response.flushHeaders();
  }

  chunk(bytes: Uint8Array): Promise<void> | void {
    const response = this.#response;
    if (response.destroyed || response.write(bytes)) return;
    return new Promise((resolve) => {
      const go = (): void => {
        response.removeListener("drain", go);
        response.removeListener("close", go);
        resolve();
      };
      response.once("drain", go);
      response.once("close", go);
    });
  }

  end(): void {
    this.#response.end();
  }

  fail(no: Fault): void {
    const response = this.#response;
    // What has begun cannot be taken back: it is cut, and so it is seen not to be whole.
    if (response.headersSent) return void response.destroy();
    const body = `${no.text}\n`;
    response.writeHead(proxyStatus(no.fault), {
      "content-type": "text/plain; charset=utf-8",
      "content-length": Buffer.byteLength(body),
      "x-proxy-error": no.fault,
      connection: "close",
    });
    response.end(body);
  }
}
