import { Buffer } from "node:buffer";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { connect } from "node:tls";
import type { ConnectionOptions } from "node:tls";
import fc from "fast-check";
import { expect, test } from "vitest";
import { readFirstFlight } from "./client-hello.ts";

/** The ClientHello of a real client. */
async function realHello(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect({ ...options, port: (server.address() as AddressInfo).port, host: "127.0.0.1" });
  client.on("error", () => undefined);
  const [socket] = await once(server, "connection");
  const [bytes] = (await once(socket, "data")) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

/** A ClientHello made by hand: `extensions` as type and body. */
function hello(extensions: readonly (readonly [number, Buffer])[], tail = Buffer.alloc(0)): Buffer {
  const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
  const list = Buffer.concat(extensions.flatMap(([type, body]) => [u16(type), u16(body.length), body]));
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32),
    Buffer.from([0]),
    u16(2),
    u16(0x1301),
    Buffer.from([1, 0]),
    u16(list.length),
    list,
    tail,
  ]);
  const message = Buffer.concat([Buffer.from([1, 0]), u16(body.length), body]);
  return Buffer.concat([Buffer.from([22, 3, 1]), u16(message.length), message]);
}

function serverName(...names: readonly string[]): Buffer {
  const entries = Buffer.concat(
    names.map((name) => Buffer.concat([Buffer.from([0, name.length >> 8, name.length & 255]), Buffer.from(name, "latin1")])),
  );
  return Buffer.concat([Buffer.from([entries.length >> 8, entries.length & 255]), entries]);
}

/** The same message in records of `size` bytes. */
function inRecords(bytes: Buffer, size: number): Buffer {
  const message = bytes.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
  }
  return Buffer.concat(records);
}

test("a real client's name is read, and its absence", async () => {
  expect(readFirstFlight(await realHello({ servername: "api.rumi.example" }))).toEqual({
    kind: "hello",
    sni: "api.rumi.example",
    ech: false,
  });
  expect(readFirstFlight(await realHello({ servername: "old.example", maxVersion: "TLSv1.2" }))).toMatchObject({ sni: "old.example" });
  expect(readFirstFlight(await realHello({ servername: "" }))).toEqual({ kind: "hello", sni: null, ech: false });
});

test("however it is cut into records and chunks, the same is read, and nothing before it is whole", async () => {
  const whole = await realHello({ servername: "api.rumi.example" });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 400 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (size, cut) => {
      const bytes = inRecords(whole, size);
      expect(readFirstFlight(bytes)).toEqual({ kind: "hello", sni: "api.rumi.example", ech: false });
      expect(readFirstFlight(bytes.subarray(0, Math.floor(bytes.length * cut))).kind).toBe("more");
    }),
  );
});

test.each([
  [
    "encrypted hello",
    hello([
      [0, serverName("a.example")],
      [0xfe0d, Buffer.alloc(4)],
    ]),
    { kind: "hello", ech: true },
  ],
  ["no extensions", hello([]), { kind: "hello", sni: null }],
  ["two names", hello([[0, serverName("a.example", "b.example")]]), { kind: "bad_hello" }],
  [
    "the extension twice",
    hello([
      [0, serverName("a.example")],
      [0, serverName("b.example")],
    ]),
    { kind: "bad_hello" },
  ],
  ["an empty name", hello([[0, serverName("")]]), { kind: "bad_hello" }],
  ["another kind of name", hello([[0, Buffer.from([0, 4, 1, 0, 1, 97])]]), { kind: "bad_hello" }],
  ["a list longer than its extension", hello([[0, Buffer.from([0, 9, 0, 0, 1, 97])]]), { kind: "bad_hello" }],
  ["bytes behind the extensions", hello([[0, serverName("a.example")]], Buffer.from([1])), { kind: "bad_hello" }],
  ["an empty record", Buffer.from([22, 3, 1, 0, 0, 1]), { kind: "bad_hello" }],
  ["an alert within", Buffer.concat([Buffer.from([22, 3, 1, 0, 1, 1]), Buffer.from([21, 3, 3, 0, 2, 2, 49])]), { kind: "bad_hello" }],
  ["another message first", Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]), { kind: "bad_hello" }],
  ["SSLv2", Buffer.from([0x80, 0x2e, 1, 0, 2]), { kind: "other" }],
  ["a request line", Buffer.from("GET / HTTP/1.1\r\n"), { kind: "http" }],
  ["a lower-case word", Buffer.from("get / HTTP/1.1\r\n"), { kind: "other" }],
])("%s", (_what, bytes, wanted) => {
  expect(readFirstFlight(bytes)).toMatchObject(wanted);
});

test("no bytes make it throw", () => {
  const real = hello([
    [0, serverName("a.example")],
    [43, Buffer.from([2, 3, 4])],
  ]);
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.array(fc.tuple(fc.nat(real.length - 1), fc.nat(255)), { maxLength: 6 }),
      (random, flips) => {
        readFirstFlight(Buffer.concat([Buffer.from([22, 3, 1]), random]));
        const bent = Buffer.from(real);
        for (const [at, value] of flips) bent[at] = value;
        readFirstFlight(bent);
      },
    ),
    { numRuns: 2000 },
  );
});
