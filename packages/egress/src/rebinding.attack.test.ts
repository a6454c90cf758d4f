import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import type { Socket as UdpSocket } from "node:dgram";
import { Resolver as DnsResolver } from "node:dns/promises";
import { once } from "node:events";
import { MemoryAudit, silentLogger } from "@rumi/core/testing";
import { systemClock } from "@rumi/core";
import { expect, test } from "vitest";
import { EgressProxy } from "./egress-proxy.ts";
import type { Resolver } from "./ports.ts";
import { EgressReports } from "./reports.ts";
import { TestNet, TestOwner, TestPolicy, TestSecrets } from "./testing/index.ts";

const OUTSIDE = "93.184.216.34";
const INSIDE = "127.0.0.1";

/** A name server whose answers are those of `next`, with no time to live. */
async function nameServer(
  next: (name: string, queries: number) => string,
): Promise<{ socket: UdpSocket; port: number; queries: () => number }> {
  const socket = createSocket("udp4");
  let queries = 0;
  socket.on("message", (query, from) => {
    const question = query.subarray(12, query.indexOf(0, 12) + 5);
    const type = question.readUInt16BE(question.length - 4);
    const labels: string[] = [];
    for (let at = 0; (question[at] ?? 0) > 0; at += 1 + (question[at] ?? 0))
      labels.push(question.toString("latin1", at + 1, at + 1 + (question[at] ?? 0)));
    const found = type === 1;
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(found ? 1 : 0, 6);
    head.writeUInt16BE(0, 8);
    head.writeUInt16BE(0, 10);
    const address = found ? next(labels.join("."), queries++).split(".").map(Number) : [];
    const answer = found ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address]) : Buffer.alloc(0);
    socket.send(Buffer.concat([head, question, answer]), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return { socket, port: socket.address().port, queries: () => queries };
}

test("X60 a name server that answers otherwise from one query to the next: what was checked is what is dialled", async () => {
  const flips = [OUTSIDE, INSIDE];
  const names = await nameServer((_name, queries) => flips[queries % 2] ?? "");
  const dns = new DnsResolver({ timeout: 1000, tries: 1 });
  dns.setServers([`127.0.0.1:${names.port}`]);
  const resolver: Resolver = { resolve: (host) => dns.resolve4(host) };
  await using net = new TestNet();
  await net.http(null, (_request, response) => response.writeHead(302, { location: "/again", connection: "close" }).end());
  await using proxy = new EgressProxy({
    policy: new TestPolicy().grant("my_pack", { domains: ["*"], ports: "*" }),
    secrets: new TestSecrets(),
    audit: new MemoryAudit(),
    clock: systemClock,
    logger: silentLogger,
    reports: new EgressReports({ clock: systemClock }),
    ownAddresses: () => [],
    resolver,
    connect: net.connect,
  });
  const owner = new TestOwner();
  const ask = (method: string) => proxy.request({ method, url: "http://flip.rumi.example/" }, owner, new AbortController().signal);
  // The first answer is outside: one query, and the connection goes where that one said.
  expect(await ask("POST")).toMatchObject({ success: true, status_code: 302 });
  expect(names.queries()).toBe(1);
  expect(net.dialled).toEqual([`${OUTSIDE} 80`]);
  // Now it is inside: refused, though a connection to the outside one may still be there.
  expect(await ask("POST")).toMatchObject({ error_type: "blocked" });
  // Outside again, and inside at the redirect to the same name.
  expect(await ask("GET")).toMatchObject({ error_type: "blocked", redirect_hops: 1 });
  // A hundred more, whatever comes: nothing but the outside address was ever dialled.
  await Promise.all(Array.from({ length: 15 }, () => ask("POST")));
  for (let n = 0; n < 85; n++) await ask(n % 3 === 0 ? "GET" : "POST");
  expect(new Set(net.dialled)).toEqual(new Set([`${OUTSIDE} 80`]));
  names.socket.close();
});
