import type { Buffer } from "node:buffer";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { connect as connectTls, getCACertificates, setDefaultCACertificates } from "node:tls";
import { encodeJsonFrame } from "@rumi/wire";
import { afterAll, beforeAll, expect, test } from "vitest";
import { judgeAddress } from "./address-class.ts";
import { openTestEgress, TestFrames, TRUSTED_CERTIFICATE } from "./testing/index.ts";
import type { TestEgress } from "./testing/index.ts";

interface Vector {
  readonly id: string;
  readonly group: string;
  readonly what: string;
  readonly expect?: string;
  readonly url?: string;
  readonly headers?: Record<string, string>;
  readonly answers?: Record<string, string[]>;
  readonly then?: Record<string, string[]>;
  readonly redirect?: readonly string[];
  readonly dialled?: readonly string[];
  readonly tunnel?: { readonly host: string; readonly port: number; readonly sni: string | null };
  readonly proxied?: { readonly inside?: string; readonly line: string; readonly host: string };
}

const { denied, allowed } = JSON.parse(readFileSync(new URL("testing/ssrf-vectors.json", import.meta.url), "utf8")) as {
  denied: readonly Vector[];
  allowed: readonly Vector[];
};

const OUTSIDE = "93.184.216.34";

let egress: TestEgress;
/** Locations that the servers still answer with, one each. */
let redirects: string[] = [];
let served = 0;

beforeAll(async () => {
  setDefaultCACertificates([...getCACertificates("bundled"), TRUSTED_CERTIFICATE.cert]);
  egress = await openTestEgress();
  egress.policy.grant("my_pack", { domains: ["*"], ports: "*" });
  egress.own.push({ host: "127.0.0.1", port: 8765 }, { host: OUTSIDE, port: 8765 });
  const answer = (_request: IncomingMessage, response: ServerResponse): void => {
    served++;
    const location = redirects.shift();
    if (location === undefined) response.end("reached");
    else response.writeHead(302, { location }).end();
  };
  await egress.net.http(null, answer);
  await egress.net.https(443, answer);
});

afterAll(() => egress[Symbol.asyncDispose]());

/** Asks as the vector says. The error type, null for a whole answer. */
async function ask(vector: Vector): Promise<string | null> {
  const { net } = egress;
  net.dialled.length = 0;
  net.looked.length = 0;
  served = 0;
  redirects = [...(vector.redirect ?? [])];
  net.every = [OUTSIDE];
  net.names.clear();
  for (const [host, answers] of Object.entries(vector.answers ?? {})) {
    let first = true;
    net.names.set(host, () => {
      const found = first ? answers : (vector.then?.[host] ?? answers);
      first = false;
      return found;
    });
  }
  if (vector.tunnel !== undefined) return tunnelled(vector.tunnel);
  if (vector.proxied !== undefined) return proxied(vector.proxied);
  const message = { method: "GET", url: vector.url ?? "", ...(vector.headers === undefined ? {} : { headers: vector.headers }) };
  return (await egress.ask(message)).error_type;
}

async function tunnelled(asked: NonNullable<Vector["tunnel"]>): Promise<string | null> {
  const callId = `tunnel of ${asked.host} ${asked.sni}`;
  egress.owner.begin(callId);
  const socket = await egress.dial();
  const frames = new TestFrames(socket);
  const answer = await frames.ask({ type: "tunnel", host: asked.host, port: asked.port, call_id: callId });
  if (answer?.["success"] !== true) return JSON.stringify(answer?.["error_type"]).slice(1, -1);
  // An address is no server name for this client: what it would send then is written by hand.
  const tls = connectTls({
    socket: frames.leave(),
    servername: asked.sni === "127.0.0.1" ? "127.0.0.1.example" : (asked.sni ?? ""),
    host: asked.host,
  });
  const outcome = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    tls.once("secureConnect", () => resolve(null));
    tls.on("error", resolve);
  });
  tls.destroy();
  socket.destroy();
  if (outcome === null) return null;
  return /ACCESS_DENIED/u.test(outcome.code ?? "") ? "sni_mismatch" : (outcome.code ?? "error");
}

async function proxied(asked: NonNullable<Vector["proxied"]>): Promise<string | null> {
  const socket = await egress.dial();
  socket.write(encodeJsonFrame({ type: "proxy" }));
  if (asked.inside !== undefined) {
    socket.write(`CONNECT ${asked.inside} HTTP/1.1\r\n\r\n`);
    expect(await head(socket)).toBe("200");
    served = 0;
  }
  socket.write(`${asked.line}\r\nHost: ${asked.host}\r\nConnection: close\r\n\r\n`);
  const status = await head(socket);
  socket.destroy();
  return status === "200" ? null : status;
}

async function head(socket: Socket): Promise<string> {
  let text = "";
  while (!text.includes("\r\n\r\n")) text += ((await once(socket, "data")) as [Buffer])[0].toString("latin1");
  return /^HTTP\/1\.1 ([0-9]{3})/u.exec(text)?.[1] ?? "?";
}

test("the vectors are as many as they are said to be, each with an id of its own", () => {
  expect(denied.length).toBeGreaterThanOrEqual(220);
  expect(allowed.length).toBeGreaterThanOrEqual(50);
  expect(new Set([...denied, ...allowed].map(({ id }) => id)).size).toBe(denied.length + allowed.length);
});

test.each(denied)("X57 X58 $id $group: $what is refused", async (vector) => {
  expect(await ask(vector)).toBe(vector.expect);
  // Nothing but outside addresses was ever dialled, and none but the redirects' own servers and a tunnel's.
  for (const one of egress.net.dialled) expect(judgeAddress(one.split(" ")[0] ?? "").class).toBe("global");
  if (vector.redirect === undefined) expect(served).toBe(0);
});

test.each(allowed)("X57 $id $group: $what passes", async (vector) => {
  expect(await ask(vector)).toBeNull();
  expect(served).toBe(vector.tunnel === undefined ? (vector.redirect?.length ?? 0) + 1 : 0);
  if (vector.dialled !== undefined) expect(egress.net.dialled.map((one) => one.split(" ")[0])).toEqual(vector.dialled);
});
