import { createAdaptorServer, getRequestListener } from "@hono/node-server";
import type { HttpBindings, ServerType } from "@hono/node-server";
import type { Api } from "./api.ts";
import { ApiError } from "./errors.ts";
import { DEFAULT_SERVER_LIMITS } from "./limits.ts";
import type { ServerLimits } from "./limits.ts";

type Socket = HttpBindings["incoming"]["socket"];

/** Where to listen. Port 0 takes any free one. */
export interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly limits?: Partial<ServerLimits>;
}

/** A listening API. */
export interface ApiServer extends AsyncDisposable {
  /** `http://<host>:<port>` as it really is. */
  readonly url: string;
  readonly port: number;
  /** Takes no new connection, lets answers in flight end for `deadlineMs`, then cuts. */
  close(deadlineMs?: number): Promise<void>;
}

/** Milliseconds an answer in flight gets at close. Source: page 10, section 8. */
const CLOSE_DEADLINE_MS = 10_000;
/** Milliseconds between two looks for connections that turned idle while closing. */
const CLOSE_SWEEP_MS = 20;

/**
 * Listens. Slow clients are cut, oversized headers refused, sockets bounded.
 * @throws NodeJS.ErrnoException when the port cannot be bound (`EADDRINUSE`, `EACCES`)
 */
export async function serveApi(api: Api, options: ServeOptions): Promise<ApiServer> {
  const limits: ServerLimits = { ...DEFAULT_SERVER_LIMITS, ...options.limits };
  const fetch = (request: Request, env: unknown): Response | Promise<Response> => api.app.fetch(request, env as HttpBindings);
  const server = createAdaptorServer({
    fetch,
    serverOptions: {
      maxHeaderSize: limits.maxHeaderBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: limits.checkMs,
    },
  }) as ServerType & { closeIdleConnections(): void; closeAllConnections(): void; maxConnections: number };
  server.maxConnections = limits.maxSockets;
  // The library's own listener answers a malformed request line or host with a bare 400: ours gives the envelope.
  server.removeAllListeners("request");
  const listener = getRequestListener(fetch, {
    errorHandler: () => api.refuse(new ApiError("request.invalid", "the request line or host is malformed")),
  });
  const serve = (incoming: HttpBindings["incoming"], outgoing: HttpBindings["outgoing"]): void => {
    void listener(incoming, outgoing);
  };
  server.on("request", serve);
  // Node would invite the body before the token is seen.
  server.on("checkContinue", serve);
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    refuseUnparsable(error, socket);
  });
  const stopWatching = cutUnread(server, limits);
  await listen(server, options).catch((error: unknown) => {
    stopWatching();
    throw error;
  });
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : options.port;
  const name = options.host.includes(":") ? `[${options.host}]` : options.host;

  const close = (deadlineMs = CLOSE_DEADLINE_MS): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(() => {
        server.closeAllConnections();
      }, deadlineMs);
      // A connection whose last answer ends while closing is kept alive by Node: it is cut when it turns idle.
      const sweep = setInterval(() => {
        server.closeIdleConnections();
      }, CLOSE_SWEEP_MS);
      server.close(() => {
        stopWatching();
        clearTimeout(timer);
        clearInterval(sweep);
        resolve();
      });
      server.closeIdleConnections();
    });
  return { url: `http://${name}:${port}`, port, close, [Symbol.asyncDispose]: () => close(0) };
}

/** Cuts connections whose client takes nothing of what waits for it. Node has no such limit, and sockets are few. */
function cutUnread(server: ServerType, limits: ServerLimits): () => void {
  const open = new Map<Socket, { readonly taken: number; readonly since: number }>();
  server.on("connection", (socket: Socket) => {
    open.set(socket, { taken: 0, since: performance.now() });
    socket.once("close", () => open.delete(socket));
  });
  const timer = setInterval(() => {
    const now = performance.now();
    for (const [socket, seen] of open) {
      const taken = socket.bytesWritten - socket.writableLength;
      if (socket.writableLength === 0 || taken !== seen.taken) open.set(socket, { taken, since: now });
      else if (now - seen.since >= limits.writeMs) socket.destroy();
    }
  }, limits.checkMs);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}

function listen(server: ServerType, options: ServeOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: options.host, port: options.port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Status and code of what the HTTP parser itself refused. */
function parserFault(code: string | undefined): { readonly line: string; readonly code: string; readonly error: string } {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return { line: "431 Request Header Fields Too Large", code: "request.too_large", error: "the headers are too large" };
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return { line: "408 Request Timeout", code: "request.bad_length", error: "the request came too slowly" };
    case "HPE_INVALID_CONTENT_LENGTH":
    case "HPE_UNEXPECTED_CONTENT_LENGTH":
      return { line: "400 Bad Request", code: "request.bad_length", error: "Content-Length is not a number" };
    default:
      return { line: "400 Bad Request", code: "request.invalid", error: "this is not HTTP/1.1" };
  }
}

function refuseUnparsable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const fault = parserFault(error.code);
  const body = JSON.stringify({ success: false, data: { retryable: false }, error: fault.error, code: fault.code });
  socket.end(
    `HTTP/1.1 ${fault.line}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n${body}`,
  );
  socket.destroySoon();
}
