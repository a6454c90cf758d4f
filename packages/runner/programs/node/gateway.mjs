// Requests to the daemon's sockets: a frame out, a frame back. Never throws; answers a local error type.
import { Links } from "./link.mjs";

const GRACE_MS = 5000;
const DEFAULT_SECONDS = 30;

const ERRORS = {
  socket_not_found: "this block has no such socket",
  connection_refused: "the daemon did not take the connection",
  timeout: "no answer in time",
  protocol_error: "the answer was not understood",
};

const links = new Map();
let callId = null;

/** The call that runs in this process now, sent along so that the daemon knows which of several it is. */
export function setCall(id) {
  callId = id;
}

/** One HTTP request through the egress proxy. */
export async function httpRequest(method, url, headers, body, timeoutSeconds = DEFAULT_SECONDS, idempotent = false) {
  const started = performance.now();
  const message = requestMessage(method, url, headers, body, timeoutSeconds, idempotent);
  const { answer, errorType } = await ask("RUMI_EGRESS_SOCKET", message, timeoutSeconds);
  return httpAnswer(url, started, answer, errorType);
}

/** The same, as its answer comes: `head`, `chunk`s of bytes, and always one `end`, the last. */
export async function* httpStream(method, url, headers, body, timeoutSeconds = DEFAULT_SECONDS, idempotent = false) {
  const started = performance.now();
  const failure = (errorType) => ({ type: "end", ...httpAnswer(url, started, null, errorType) });
  const message = { ...requestMessage(method, url, headers, body, timeoutSeconds, idempotent), stream: true };
  const place = linksOf("RUMI_EGRESS_SOCKET");
  const frame = place === null ? null : frameOf(message);
  if (frame === null) {
    yield failure(place === null ? "socket_not_found" : "protocol_error");
    return;
  }
  // Refusals of the socket itself are whole answers without a type.
  const isLast = ({ type }) => type !== "head" && type !== "chunk";
  for await (const piece of place.messages(frame, limitOf(timeoutSeconds), isLast, failure)) {
    if (piece.type === "chunk") yield { type: "chunk", bytes: new Uint8Array(Buffer.from(String(piece.body_base64), "base64")) };
    else if (piece.type === "head") yield piece;
    else yield { ...httpAnswer(url, started, piece, null), type: "end" };
  }
}

/** `{ allowed, reason }` for a request to `domain:port`. */
export async function networkCheck(domain, port) {
  const { answer, errorType } = await ask("RUMI_EGRESS_SOCKET", { type: "check", domain, port }, DEFAULT_SECONDS);
  if (errorType !== null) return { allowed: false, reason: ERRORS[errorType] };
  return { allowed: answer.allowed === true, reason: String(answer.reason ?? answer.error ?? "") };
}

/** One capability call. */
export async function call(permissionId, args, timeoutSeconds = DEFAULT_SECONDS, requestId = undefined) {
  const started = performance.now();
  const message = { permission_id: permissionId, args: args ?? {}, timeout_seconds: timeoutSeconds };
  if (requestId !== undefined) message.request_id = requestId;
  const { answer, errorType } = await ask("RUMI_CAPABILITY_SOCKET", message, timeoutSeconds);
  const error = errorType === null ? null : ERRORS[errorType];
  const local = errorType === null ? answer : { output: { success: false, error, error_type: errorType }, error, error_type: errorType };
  return { success: false, output: null, error: null, error_type: null, latency_ms: performance.now() - started, ...local };
}

function requestMessage(method, url, headers, body, timeoutSeconds, idempotent) {
  const message = { method, url, headers: headersOf(headers), timeout_seconds: timeoutSeconds };
  if (body instanceof Uint8Array) message.body_base64 = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("base64");
  else if (body !== undefined && body !== null) message.body = textOf(body);
  if (idempotent) message.idempotent = true;
  return message;
}

/** `Headers` and lists of pairs become an object; what is none is refused by the daemon. */
function headersOf(headers) {
  try {
    return typeof headers?.[Symbol.iterator] === "function" && typeof headers !== "string" ? Object.fromEntries(headers) : (headers ?? {});
  } catch {
    return headers;
  }
}

function textOf(body) {
  try {
    return String(body);
  } catch {
    return "";
  }
}

function httpAnswer(url, started, answer, errorType) {
  return {
    success: false,
    status_code: 0,
    headers: {},
    body: "",
    error: null,
    error_type: null,
    latency_ms: performance.now() - started,
    redirect_hops: 0,
    bytes_read: 0,
    final_url: url,
    ...(answer ?? { error: ERRORS[errorType], error_type: errorType }),
  };
}

async function ask(variable, message, timeoutSeconds) {
  const place = linksOf(variable);
  if (place === null) return { answer: null, errorType: "socket_not_found" };
  const frame = frameOf(message);
  if (frame === null) return { answer: null, errorType: "protocol_error" };
  return await place.exchange(frame, limitOf(timeoutSeconds));
}

/** The daemon keeps to the request's own limit; this much later it is given up here. */
function limitOf(timeoutSeconds) {
  const fits = typeof timeoutSeconds === "number" && timeoutSeconds > 0 && timeoutSeconds < 86_400;
  return (fits ? timeoutSeconds : DEFAULT_SECONDS) * 1000 + GRACE_MS;
}

function linksOf(variable) {
  const path = process.env[variable];
  if (!path) return null;
  let place = links.get(path);
  if (place === undefined) {
    place = new Links(path);
    links.set(path, place);
  }
  return place;
}

/** Null for what is no JSON. */
function frameOf(message) {
  if (callId !== null) message.call_id = callId;
  let text;
  try {
    text = JSON.stringify(message);
  } catch {
    return null;
  }
  const length = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(4 + length);
  frame.writeUInt32BE(length, 0);
  frame.write(text, 4);
  return frame;
}
