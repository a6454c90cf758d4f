// The same from Node: fetch, a raw connection, a name lookup.
import { lookup } from "node:dns/promises";
import { createConnection } from "node:net";

async function attempt(work) {
  try {
    await work();
    return "reached";
  } catch (error) {
    return `failed: ${error.cause?.code ?? error.code ?? error.name}`;
  }
}

const connect = (options) => () =>
  new Promise((resolve, reject) => {
    createConnection(options).once("connect", resolve).once("error", reject);
  });

export async function run(input) {
  return {
    fetch: await attempt(() => fetch("http://1.1.1.1/")),
    metadata: await attempt(connect({ host: "169.254.169.254", port: 80 })),
    host_loopback: await attempt(connect({ host: "127.0.0.1", port: input.port ?? 8765 })),
    dns: await attempt(() => lookup("example.com")),
  };
}
