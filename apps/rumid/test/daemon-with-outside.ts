// The daemon as it ships, but for the way out: names and addresses lead where the test says, and nowhere else.
//   TEST_OUTSIDE={"names":{"api.example.com":["127.0.0.1"]},"ports":{"443":40123}} node daemon-with-outside.ts start ...
import { once } from "node:events";
import { connect } from "node:net";
import { loadConfig } from "../src/config.ts";
import { processOutput } from "../src/output.ts";
import { start } from "../src/start.ts";

interface TestOutside {
  readonly names: Readonly<Record<string, readonly string[]>>;
  /** What every lookup of a name after its first one says. */
  readonly later?: Readonly<Record<string, readonly string[]>>;
  /** Ports of the outside, and the ports of this machine that stand for them. */
  readonly ports: Readonly<Record<string, number>>;
}

const { TEST_OUTSIDE: outside = "{}", ...env } = process.env;
const { names, later = {}, ports } = JSON.parse(outside) as TestOutside;
const looked = new Set<string>();
process.exitCode = await start(loadConfig({}, env), processOutput(process.argv.includes("--json")), {
  resolver: {
    resolve: (host) => {
      const found = looked.has(host) ? (later[host] ?? names[host]) : names[host];
      looked.add(host);
      return found === undefined ? Promise.reject(new Error("ENOTFOUND")) : Promise.resolve(found);
    },
  },
  connect: async ({ address, port }, signal) => {
    const place = ports[`${address}:${port}`] ?? ports[String(port)];
    if (place === undefined) throw new Error("ECONNREFUSED");
    const socket = connect(place, "127.0.0.1");
    socket.on("error", () => undefined);
    await once(socket, "connect", { signal });
    return socket;
  },
});
