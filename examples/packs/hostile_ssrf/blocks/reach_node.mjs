// Asks for each URL by fetch, and for a tunnel to its host by hand.
import { connect } from "node:net";

async function byFetch(ask) {
  try {
    const answer = await fetch(ask.url, { headers: ask.headers ?? {}, signal: AbortSignal.timeout(10_000) });
    return `${answer.status} ${answer.headers.get("x-proxy-error") ?? ""} ${await answer.text()}`;
  } catch (error) {
    return `${error.name} ${error.cause?.message ?? error.message}`;
  }
}

function byTunnel(ask) {
  const parts = /^https?:\/\/([^/?#]*)/iu.exec(ask.url);
  const authority = parts?.[1] ?? "";
  const target = /:[0-9]+$/u.test(authority) ? authority : `${authority}:80`;
  return new Promise((resolve) => {
    let seen = "";
    const socket = connect(3128, "127.0.0.1");
    socket.setTimeout(5000, () => socket.destroy());
    socket.on("error", (error) => resolve(`failed ${error.code}`));
    socket.on("close", () => resolve(seen.split("\r\n").slice(0, 1).concat(seen.includes("inside") ? ["inside"] : []).join(" ")));
    socket.once("connect", () => socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`));
    let asked = false;
    socket.on("data", (data) => {
      seen += data;
      if (!asked && /^HTTP\/1\.1 200/u.test(seen)) {
        asked = true;
        socket.write(`GET / HTTP/1.1\r\nHost: ${target}\r\nConnection: close\r\n\r\n`);
      }
    });
  });
}

export async function run(input) {
  const found = [];
  for (const ask of input.asks) found.push([await byFetch(ask), await byTunnel(ask)]);
  return found;
}
