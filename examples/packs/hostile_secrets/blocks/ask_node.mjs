// The same from Node: fetch through the forward proxy, and the SDK.
import { httpRequest, stream } from "@rumi/pack-sdk";

const veil = (seen) => Buffer.from(Buffer.from(seen).map((byte) => byte ^ 0x55)).toString("base64");

async function fetched(ask) {
  const answer = await fetch(ask.url, { headers: ask.headers ?? {}, redirect: ask.redirect ?? "follow" });
  return `${answer.status} ${answer.statusText} ${answer.url} ${JSON.stringify([...answer.headers])} ${await answer.text()}`;
}

async function asked(ask) {
  return JSON.stringify(await httpRequest(ask.method ?? "GET", ask.url, { headers: ask.headers ?? {} }));
}

async function streamed(ask) {
  const seen = [];
  for await (const piece of stream(ask.method ?? "GET", ask.url, { headers: ask.headers ?? {} })) {
    seen.push(piece.type === "chunk" ? Buffer.from(piece.bytes) : Buffer.from(JSON.stringify(piece)));
  }
  return Buffer.concat(seen);
}

export async function run(input) {
  const found = {};
  for (const ask of input.asks) {
    try {
      found[ask.name] = veil(await { fetched, asked, streamed }[ask.way](ask));
    } catch (error) {
      found[ask.name] = veil(`${error} ${error.cause ?? ""}`);
    }
  }
  return found;
}
