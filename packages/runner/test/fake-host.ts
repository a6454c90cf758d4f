import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { join } from "node:path";
import type { JsonObject, JsonValue } from "@rumi/core";
import { temporaryFolder } from "@rumi/testkit";
import { encodeJsonFrame, JsonFrameDecoder } from "@rumi/wire";

/** A daemon's socket whose answers a test gives. */
export interface FakeSocket extends AsyncDisposable {
  readonly path: string;
  /** Every message, by connection. */
  readonly connections: JsonObject[][];
  /** Connections that are open now. */
  readonly open: Set<Socket>;
}

export type Answer = (message: JsonObject, socket: Socket, rest: Buffer) => JsonValue | undefined | Promise<JsonValue | undefined>;

/** Listens and answers each message with what `answer` gives; undefined: `answer` spoke for itself. */
export async function fakeSocket(answer: Answer): Promise<FakeSocket> {
  const folder = await temporaryFolder("rumi-f-");
  const path = join(folder.path, "host.sock");
  const connections: JsonObject[][] = [];
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    const messages: JsonObject[] = [];
    connections.push(messages);
    open.add(socket);
    const decoder = new JsonFrameDecoder({ maxBytes: 16 * 1024 * 1024 });
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    const receive = (chunk: Buffer): void => {
      for (let message = decoder.next(chunk); message !== undefined; message = decoder.next()) {
        const asked = message as JsonObject;
        messages.push(asked);
        if (asked["type"] === "proxy") {
          socket.off("data", receive);
          socket.pause();
          void answer(asked, socket, decoder.rest());
          return;
        }
        void Promise.resolve(answer(asked, socket, Buffer.alloc(0))).then((said) => {
          if (said !== undefined && !socket.destroyed) socket.write(encodeJsonFrame(said));
        });
      }
    };
    socket.on("data", receive);
  });
  await listen(server, path);
  return {
    path,
    connections,
    open,
    [Symbol.asyncDispose]: async () => {
      server.close();
      for (const socket of open) socket.destroy();
      await folder[Symbol.asyncDispose]();
    },
  };
}

async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve) => server.listen(path, resolve));
}

/** A port of this machine that nobody has now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** What a proxied client asked for: absolute-form requests, and CONNECT's targets. */
export interface ProxiedRequest {
  readonly method: string;
  readonly target: string;
}

/** An HTTP proxy's end of the egress socket: plain requests are answered by `plain`, tunnels to `echo.test` lead to an echo, all else is 403. */
export function fakeProxy(asked: ProxiedRequest[], plain: (request: ProxiedRequest) => string | Buffer = () => "fine"): Answer {
  const http = createHttpServer((request, response) => {
    const seen = { method: request.method ?? "", target: request.url ?? "" };
    asked.push(seen);
    request.resume().on("end", () => response.end(plain(seen)));
  });
  http.on("connect", (request, socket: Socket) => {
    asked.push({ method: "CONNECT", target: request.url ?? "" });
    socket.on("error", () => {});
    if (request.url?.startsWith("plain.test:") === true) {
      // Node's fetch sends even plain requests through a tunnel.
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      http.emit("connection", socket);
    } else socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
  });
  return (_message, socket, rest) => {
    if (rest.length > 0) socket.unshift(rest);
    http.emit("connection", socket);
    socket.resume();
    return undefined;
  };
}
