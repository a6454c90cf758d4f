import type { JsonValue } from "@rumi/core";
import type { HttpAnswer, HttpPiece, NetworkCheck } from "./answers.ts";
import { host } from "./host.ts";

export interface HttpOptions {
  /** A value may hold `{{secret:KEY}}`: the proxy puts the secret there, if the grant `secrets.use` binds it to the host. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Bounds the whole request, redirects included. Default 30. */
  readonly timeoutSeconds?: number;
  /** Sends the call's idempotency key, the same over retries. */
  readonly idempotent?: boolean;
}

type BodylessOptions = Omit<HttpOptions, "body">;

/** One HTTP request, made by the daemon under the pack's network grant. Never throws. */
export function httpRequest(method: string, url: string, options: HttpOptions = {}): Promise<HttpAnswer> {
  return host().httpRequest(method, url, options.headers, options.body, options.timeoutSeconds, options.idempotent);
}

/**
 * The same, read as it comes: `for await (const piece of stream("GET", url))` gives a `head`, `chunk`s of bytes and always
 * one `end`. Never throws; leaving the loop early ends the request.
 */
export function stream(method: string, url: string, options: HttpOptions = {}): AsyncGenerator<HttpPiece, void, undefined> {
  return host().httpStream(method, url, options.headers, options.body, options.timeoutSeconds, options.idempotent);
}

export function get(url: string, options?: BodylessOptions): Promise<HttpAnswer> {
  return httpRequest("GET", url, options);
}

export function head(url: string, options?: BodylessOptions): Promise<HttpAnswer> {
  return httpRequest("HEAD", url, options);
}

export function post(url: string, options?: HttpOptions): Promise<HttpAnswer> {
  return httpRequest("POST", url, options);
}

/** POST with `data` as JSON and its content type. */
export function postJson(url: string, data: JsonValue, options: BodylessOptions = {}): Promise<HttpAnswer> {
  const named = Object.keys(options.headers ?? {}).some((name) => name.toLowerCase() === "content-type");
  const headers = named ? options.headers : { "Content-Type": "application/json", ...options.headers };
  return httpRequest("POST", url, { ...options, ...(headers === undefined ? {} : { headers }), body: JSON.stringify(data) });
}

export function put(url: string, options?: HttpOptions): Promise<HttpAnswer> {
  return httpRequest("PUT", url, options);
}

export function patch(url: string, options?: HttpOptions): Promise<HttpAnswer> {
  return httpRequest("PATCH", url, options);
}

/** DELETE; the word itself is reserved. */
export function del(url: string, options?: HttpOptions): Promise<HttpAnswer> {
  return httpRequest("DELETE", url, options);
}

/** Whether a request to `domain:port` would be allowed. */
export function networkCheck(domain: string, port: number): Promise<NetworkCheck> {
  return host().networkCheck(domain, port);
}
