// Requests to the daemon's sockets: a frame out, a frame back. Never throws; answers a local error type.
import { existsSync } from "node:fs";

const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const GRACE_MS = 5000;

const ERRORS = {
  socket_not_found: "this block has no such socket",
  connection_refused: "the daemon did not take the connection",
  timeout: "no answer in time",
  protocol_error: "the answer was not understood",
};

/** One HTTP request through the egress proxy. */
export async function httpRequest(method, url, headers, body, timeoutSeconds = 30, idempotent = false) {
  const started = performance.now();
  const message = { method, url, headers: headers ?? {}, timeout_seconds: timeoutSeconds };
  if (body instanceof Uint8Array) message.body_base64 = Buffer.from(body).toString("base64");
  else if (body !== undefined && body !== null) message.body = String(body);
  if (idempotent) message.idempotent = true;
  const { answer, errorType } = await ask("RUMI_EGRESS_SOCKET", message, timeoutSeconds);
  const local = errorType === null ? answer : { error: ERRORS[errorType], error_type: errorType };
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
    ...local,
  };
}

/** `{ allowed, reason }` for a request to `domain:port`. */
export async function networkCheck(domain, port) {
  const { answer, errorType } = await ask("RUMI_EGRESS_SOCKET", { type: "check", domain, port }, 30);
  if (errorType !== null) return { allowed: false, reason: ERRORS[errorType] };
  return { allowed: answer.allowed === true, reason: String(answer.reason ?? "") };
}

/** One capability call. */
export async function call(permissionId, args, timeoutSeconds = 30, requestId = undefined) {
  const started = performance.now();
  const message = { permission_id: permissionId, args: args ?? {}, timeout_seconds: timeoutSeconds };
  if (requestId !== undefined) message.request_id = requestId;
  const { answer, errorType } = await ask("RUMI_CAPABILITY_SOCKET", message, timeoutSeconds);
  const error = errorType === null ? null : ERRORS[errorType];
  const local = errorType === null ? answer : { output: { success: false, error, error_type: errorType }, error, error_type: errorType };
  return { success: false, output: null, error: null, error_type: null, latency_ms: performance.now() - started, ...local };
}

async function ask(variable, message, timeoutSeconds) {
  const path = process.env[variable];
  if (!path || !existsSync(path)) return { answer: null, errorType: "socket_not_found" };
  let body;
  try {
    body = Buffer.from(JSON.stringify(message));
  } catch {
    return { answer: null, errorType: "protocol_error" };
  }
  const { connect } = await import("node:net");
  const limit = (Number.isFinite(timeoutSeconds) ? timeoutSeconds * 1000 : 30_000) + GRACE_MS;
  return exchange(connect({ path }), body, limit);
}

function exchange(socket, body, limitMs) {
  return new Promise((resolve) => {
    let received = Buffer.alloc(0);
    const chunks = [];
    let have = 0;
    let size = null;
    const finish = (answer, errorType) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ answer, errorType });
    };
    const timer = setTimeout(() => finish(null, "timeout"), limitMs);
    socket.on("error", (error) => {
      const missing = error.code === "ENOENT" || error.code === "EACCES";
      finish(null, missing ? "socket_not_found" : error.syscall === "connect" ? "connection_refused" : "protocol_error");
    });
    socket.on("end", () => finish(null, "protocol_error"));
    socket.on("data", (chunk) => {
      if (size === null) {
        received = Buffer.concat([received, chunk]);
        if (received.length < 4) return;
        size = received.readUInt32BE(0);
        if (size > MAX_ANSWER_BYTES) return finish(null, "protocol_error");
        chunks.push(received.subarray(4));
        have = received.length - 4;
      } else {
        chunks.push(chunk);
        have += chunk.length;
      }
      if (have >= size) finish(...parse(Buffer.concat(chunks).toString("utf8", 0, size)));
    });
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    socket.write(Buffer.concat([length, body]));
  });
}

function parse(text) {
  try {
    const answer = JSON.parse(text);
    if (typeof answer === "object" && answer !== null && !Array.isArray(answer)) return [answer, null];
  } catch {
    // Told below.
  }
  return [null, "protocol_error"];
}
