import { host } from "./host.mjs";

/** One HTTP request, made by the daemon under the pack's network grant. Never throws. */
export function httpRequest(method, url, options = {}) {
  return host().httpRequest(method, url, options.headers, options.body, options.timeoutSeconds, options.idempotent);
}

/**
 * The same, read as it comes: `for await (const piece of stream("GET", url))` gives a `head`, `chunk`s of bytes and always
 * one `end`. Never throws; leaving the loop early ends the request.
 */
export function stream(method, url, options = {}) {
  return host().httpStream(method, url, options.headers, options.body, options.timeoutSeconds, options.idempotent);
}

export function get(url, options) {
  return httpRequest("GET", url, options);
}

export function head(url, options) {
  return httpRequest("HEAD", url, options);
}

export function post(url, options) {
  return httpRequest("POST", url, options);
}

/** POST with `data` as JSON and its content type. */
export function postJson(url, data, options = {}) {
  const named = Object.keys(options.headers ?? {}).some((name) => name.toLowerCase() === "content-type");
  const headers = named ? options.headers : { "Content-Type": "application/json", ...options.headers };
  return httpRequest("POST", url, { ...options, ...(headers === undefined ? {} : { headers }), body: JSON.stringify(data) });
}

export function put(url, options) {
  return httpRequest("PUT", url, options);
}

export function patch(url, options) {
  return httpRequest("PATCH", url, options);
}

/** DELETE; the word itself is reserved. */
export function del(url, options) {
  return httpRequest("DELETE", url, options);
}

/** Whether a request to `domain:port` would be allowed. */
export function networkCheck(domain, port) {
  return host().networkCheck(domain, port);
}
