import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createServer as createTlsServer, getCACertificates, setDefaultCACertificates } from "node:tls";
import type { TlsOptions } from "node:tls";
import { expect, test } from "vitest";
import { judgeAddress } from "./address-class.ts";
import { dialFirst, systemConnector } from "./dial.ts";
import type { Connector } from "./dial.ts";
import { isFault } from "./fault.ts";
import { openTestEgress, TRUSTED_CERTIFICATE } from "./testing/index.ts";

const never = new AbortController().signal;

async function listening(): Promise<{ port: number; close: () => void }> {
  const server = createServer((socket) => socket.on("error", () => undefined));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() };
}

test("the machine's connector connects, says no, and stops when it is told", async () => {
  const { port, close } = await listening();
  const socket = await systemConnector({ address: "127.0.0.1", port }, never);
  expect(socket.remotePort).toBe(port);
  socket.destroy();
  close();
  await once(socket, "close");
  await expect(systemConnector({ address: "127.0.0.1", port }, never)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  await expect(systemConnector({ address: "127.0.0.1", port }, AbortSignal.abort())).rejects.toThrow("aborted");
});

test("an address that says nothing is not waited for, and loses when it comes late", async () => {
  const { port, close } = await listening();
  const dialled: string[] = [];
  let ended = 0;
  const connector: Connector = (destination, signal) => {
    dialled.push(destination.address);
    if (destination.address !== "203.0.114.1") {
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => (ended++, reject(new Error("aborted")))));
    }
    return systemConnector({ address: "127.0.0.1", port }, signal);
  };
  const addresses = ["203.0.114.7", "203.0.114.1", "203.0.114.9"].map(judgeAddress);
  const won = await dialFirst(connector, { addresses, port, connectMs: 5000 }, never);
  if (isFault(won)) throw new Error(won.text);
  expect(won.address).toBe("203.0.114.1");
  expect(dialled).toEqual(["203.0.114.7", "203.0.114.1"]);
  expect(ended).toBe(1);
  won.socket.destroy();
  close();
});

test("connecting ends in time, and with who asked", async () => {
  const silent: Connector = (_destination, signal) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
  const addresses = [judgeAddress("203.0.114.7")];
  expect(await dialFirst(silent, { addresses, port: 1, connectMs: 20 }, never)).toMatchObject({ fault: "timeout" });
  const gone = new AbortController();
  const asked = dialFirst(silent, { addresses, port: 1, connectMs: 5000 }, gone.signal);
  gone.abort();
  expect(await asked).toMatchObject({ fault: "connection_refused" });
});

test.each<[string, TlsOptions, string | null]>([
  ["TLS 1.1", { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }, "ssl_error"],
  ["TLS 1.2", { maxVersion: "TLSv1.2" }, null],
  ["TLS 1.3", { minVersion: "TLSv1.3" }, null],
])("a server of %s alone", async (_what, options, wanted) => {
  setDefaultCACertificates([...getCACertificates("bundled"), TRUSTED_CERTIFICATE.cert]);
  await using egress = await openTestEgress();
  egress.policy.grant("my_pack", { domains: ["*"], ports: "*" });
  egress.net.every = ["93.184.216.34"];
  const server = createTlsServer({ ...TRUSTED_CERTIFICATE, ...options }, (socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  });
  await egress.net.raw(443, (socket) => void server.emit("connection", socket));
  expect((await egress.ask({ method: "GET", url: "https://api.rumi.example/" })).error_type).toBe(wanted);
  server.removeAllListeners();
});
