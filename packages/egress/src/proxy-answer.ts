import { Buffer } from "node:buffer";
import type { ServerResponse } from "node:http";
import type { AnswerHead, AnswerSink } from "./answer-sink.ts";
import type { Fault } from "./fault.ts";
import type { EgressErrorType } from "./http-answer.ts";

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

/** The status that says a fault to a proxy's client. */
function proxyStatus(type: EgressErrorType): number {
  return STATUS[type] ?? 403;
}

/** A refusal in bytes, for a connection that is closed after it. */
export function plainRefusal(type: EgressErrorType, text: string): string {
  const status = proxyStatus(type);
  const phrase = status === 429 ? "Too Many Requests" : status === 502 ? "Bad Gateway" : "Forbidden";
  const body = `${text}\n`;
  return (
    `HTTP/1.1 ${status} ${phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nX-Proxy-Error: ${type}\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  );
}

/** Gives an upstream's answer to a proxy's client. */
export class ProxyAnswer implements AnswerSink {
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
