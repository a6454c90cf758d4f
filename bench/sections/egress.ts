import { once } from "node:events";
import { connect as connectTcp, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { createServer as createHttpServer } from "node:http";
import { join } from "node:path";
import { systemClock } from "@rumi/core";
import type { AuditSink, Digest, InstanceCaller, JsonValue, Logger, PackId, SocketOwner } from "@rumi/core";
import { EgressProxy, EgressReports } from "@rumi/egress";
import { temporaryFolder } from "@rumi/testkit";
import { encodeJsonFrame, JsonFrameDecoder } from "@rumi/wire";
import { rest, summarize } from "../measure.ts";
import type { Ask } from "../measure.ts";
import type { Report } from "../report.ts";

/** Requests a second of each way, while both are measured by turns. */
const PER_SECOND = 100;

const quiet: Logger = { log: () => undefined };
const audit: AuditSink = { record: () => Promise.resolve() };

/** What a request through the proxy costs beside the same one asked directly: one connection each, kept open, to one server. */
export async function egress(report: Report, scale: number): Promise<void> {
  const body = "x".repeat(1000);
  const server = createHttpServer({ keepAliveTimeout: 60_000 }, (_request, response) => response.end(body));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await using folder = await temporaryFolder("rumi-bench-egress-");
  await using proxy = openProxy(port);
  const owner = new BenchOwner();
  const sockets = createServer((socket) => proxy.serve(socket, owner));
  const path = join(folder.path, "egress.sock");
  sockets.listen(path);
  await once(sockets, "listening");
  const client = connectTcp(path);
  await once(client, "connect");
  try {
    const url = `http://127.0.0.1:${port}/`;
    const frames = new Frames(client);
    const direct: Ask = async () => (await fetch(url)).text();
    const proxied: Ask = () => frames.ask({ method: "GET", url });
    const found = await byTurns(direct, proxied, 600 * scale);
    report.add("egress.direct", `fetch of 1 KB, ${PER_SECOND} a second`, summarize(found.direct, null));
    report.add("egress.proxied", `the same through the egress socket, ${PER_SECOND} a second`, summarize(found.proxied, null));
  } finally {
    client.destroy();
    sockets.close();
    server.closeAllConnections();
    server.close();
  }
}

/** One direct and one proxied request after the other, in both orders, at their pace: what disturbs one disturbs the other. */
async function byTurns(direct: Ask, proxied: Ask, count: number): Promise<{ direct: number[]; proxied: number[] }> {
  const found = { direct: [] as number[], proxied: [] as number[] };
  for (let n = -100; n < count; n++) {
    const took = { direct: 0, proxied: 0 };
    for (const way of n % 2 === 0 ? (["direct", "proxied"] as const) : (["proxied", "direct"] as const)) {
      const started = performance.now();
      await (way === "direct" ? direct : proxied)();
      took[way] = performance.now() - started;
      await rest(Math.max(0, 1000 / PER_SECOND - took[way]));
    }
    if (n < 0) continue;
    found.direct.push(took.direct);
    found.proxied.push(took.proxied);
  }
  return found;
}

function openProxy(port: number): EgressProxy {
  const limits = { allow_private: [`127.0.0.1:${port}`], allowed_methods: null, requests_per_minute: 1_000_000 };
  return new EgressProxy({
    policy: { decide: () => ({ allowed: true, reason: "Access granted", limits }), limits: () => limits },
    secrets: { keys: () => [], fill: () => Promise.resolve({ allowed: false, error: "", reason: "" }), scrubber: () => null },
    audit,
    clock: systemClock,
    logger: quiet,
    reports: new EgressReports({ clock: systemClock }),
    ownAddresses: () => [{ host: "127.0.0.1", port: 1 }],
  });
}

class BenchOwner implements SocketOwner {
  readonly gone = new AbortController().signal;

  caller(): InstanceCaller {
    return {
      principal: "bench" as PackId,
      digest: `sha256:${"0".repeat(64)}` as Digest,
      instance_id: "0",
      execution_mode: "container",
      call: null,
    };
  }

  onCallEnd(): () => void {
    return () => undefined;
  }
}

/** One question after the other on one connection. */
class Frames {
  readonly #socket: Socket;
  readonly #decoder = new JsonFrameDecoder({ maxBytes: 1 << 24 });
  #answered: (() => void) | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      if (this.#decoder.next(chunk) !== undefined) this.#answered?.();
    });
  }

  async ask(message: JsonValue): Promise<void> {
    const answered = new Promise<void>((resolve) => (this.#answered = resolve));
    this.#socket.write(encodeJsonFrame(message));
    await answered;
  }
}
