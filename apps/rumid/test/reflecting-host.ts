import type { IncomingMessage, ServerResponse } from "node:http";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { SPELLINGS } from "@rumi/secrets/testing";

/** What a host that gives everything back was asked, and kept. */
export interface ReflectingHost {
  readonly answer: (request: IncomingMessage, response: ServerResponse) => void;
  /** Paths of requests that held the value, in any place. */
  readonly got: Set<string>;
  /** All that it was ever asked, as `method path`. */
  readonly asked: string[];
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

/** A way to send back what was told, and the pieces of it that could be the value. */
type Mode = (response: ServerResponse, told: string, parts: readonly string[], request: IncomingMessage) => unknown;

const MODES: Readonly<Record<string, Mode>> = {
  gzip: (response, told) => response.setHeader("content-encoding", "gzip").end(gzipSync(told)),
  deflate: (response, told) => response.setHeader("content-encoding", "deflate").end(deflateSync(told)),
  "deflate without its header": (response, told) => response.setHeader("content-encoding", "deflate").end(deflateRawSync(told)),
  brotli: (response, told) => response.setHeader("content-encoding", "br").end(brotliCompressSync(told)),
  "gzip in brotli": (response, told) =>
    response.setHeader("content-encoding", "gzip, br").end(brotliCompressSync(gzipSync(Buffer.from(told)))),
  "gzip, chunk by chunk": async (response, told) => {
    response.setHeader("content-encoding", "gzip");
    for (const byte of gzipSync(told)) response.write(Buffer.from([byte]));
    response.end();
  },
  "an unknown coding": (response, told) => response.setHeader("content-encoding", "rot13").end(told),
  "a coding that it is not in": (response, told) => response.setHeader("content-encoding", "gzip").end(told),
  "gzip, cut off": (response, told) => {
    const bytes = gzipSync(told);
    return response.setHeader("content-encoding", "gzip").end(bytes.subarray(0, bytes.length - 6));
  },
  "one byte a chunk": async (response, told) => {
    for (const byte of Buffer.from(told)) if (!response.write(Buffer.from([byte]))) await pause(1);
    response.end();
  },
  "chunks of five, slowly": async (response, _told, parts) => {
    const bytes = Buffer.from(parts.join(" "));
    for (let at = 0; at < bytes.length; at += 5) {
      response.write(bytes.subarray(at, at + 5));
      await pause(2);
    }
    response.end();
  },
  "a header": (response, _told, parts) => response.writeHead(200, parts.map((part, at) => [`x-back-${at}`, latin(part)]).flat()).end(),
  "one header many times": (response, _told, parts) =>
    response
      .writeHead(
        200,
        parts.flatMap((part) => ["x-back", latin(part)]),
      )
      .end(),
  "a header's name": (response, _told, parts) =>
    response.writeHead(200, { [`x-${(parts[0] ?? "").replace(/[^A-Za-z0-9-]/gu, "")}`]: "1" }).end(),
  "a cookie": (response, _told, parts) => response.setHeader("set-cookie", `k=${encodeURIComponent(parts.join(" "))}`).end(),
  "the status text": (response, _told, parts) => response.writeHead(200, latin(parts.join(" "))).end(),
  "a trailer": (response, _told, parts) => {
    response.writeHead(200, { trailer: "x-back", "transfer-encoding": "chunked" });
    response.write("body");
    response.addTrailers({ "x-back": latin(parts.join(" ")) });
    return response.end();
  },
  "early hints": (response, _told, parts) => {
    response.writeEarlyHints({ link: `<https://b.rumi.example/${encodeURIComponent(parts.join(" "))}>; rel=preload` });
    return response.end("body");
  },
  "an error page": (response, told) => response.writeHead(500, { "content-type": "text/html" }).end(`<p>${told}</p>`),
  "no content type": (response, told) => response.writeHead(404, {}).end(told),
  "a body cut off": (response, told) => {
    response.writeHead(200, { "content-length": 100_000 });
    response.write(told, () => response.destroy());
  },
  "a part": (response, told, _parts, request) => {
    const from = Number(/bytes=([0-9]+)/u.exec(request.headers.range ?? "")?.[1] ?? "0");
    return response.writeHead(206, { "content-range": `bytes ${from}-*/*` }).end(told.slice(from, from + 7));
  },
  "a redirect to itself": (response, _told, parts) =>
    response.writeHead(302, { location: `/raw?back=${encodeURIComponent(parts.join(" "))}` }).end(),
  "a redirect's path": (response, _told, parts) =>
    response.writeHead(302, { location: `/raw/${"x".repeat(240)}${encodeURIComponent(parts.join(" "))}` }).end(),
  "a redirect elsewhere": (response, _told, parts) =>
    response.writeHead(302, { location: `https://b.rumi.example/?back=${encodeURIComponent(parts.join(" "))}` }).end(),
  "a refresh": (response, _told, parts) =>
    response.writeHead(200, { refresh: `0; url=https://b.rumi.example/?back=${encodeURIComponent(parts.join(" "))}` }).end(),
  "text in UTF-16": (response, told) =>
    response.setHeader("content-type", "text/plain; charset=utf-16").end(Buffer.from(`\ufeff${told}`, "utf16le")),
  "among bytes that are no text": (response, told) =>
    response.end(Buffer.concat([Buffer.from([0xff, 0xfe, 0x80, 0x00]), Buffer.from(told), Buffer.from([0xc3, 0x28])])),
};

/** Every way in which it gives back. */
export const REFLECTIONS: readonly string[] = [...SPELLINGS.map(({ name }) => name), ...Object.keys(MODES)];

/** Gives back what it was told as the path says (`/raw`, `/gzip`...), and at `/stored/...` what it was told before. */
export function reflectingHost(value: string): ReflectingHost {
  const got = new Set<string>();
  const asked: string[] = [];
  let stored: { told: string; parts: readonly string[] } = { told: "", parts: [] };
  return {
    got,
    asked,
    answer(request, response) {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const url = new URL(request.url ?? "/", "https://reflect.rumi.example");
        const body = Buffer.concat(chunks).toString();
        asked.push(`${request.method} ${request.url}`);
        let told = `${request.method} ${request.url} ${request.rawHeaders.map(utf8).join(" ")} ${body}`;
        let parts: readonly string[] = [
          ...[request.headers["x-key"], request.headers.authorization].flat().flatMap((one) => (one === undefined ? [] : [utf8(one)])),
          ...url.searchParams.values(),
          ...(body === "" ? [] : [body]),
          url.search,
        ].filter((part) => part !== "");
        if ([told, ...parts].some((text) => holds(text, value))) {
          got.add(url.pathname);
          stored = { told, parts };
        }
        const path = decodeURIComponent(url.pathname)
          .replace(/^\/stored/u, "")
          .slice(1);
        if (url.pathname.startsWith("/stored")) ({ told, parts } = stored);
        const spelling = SPELLINGS.find(({ name }) => name === path);
        const mode = MODES[path];
        response.on("error", () => undefined);
        if (mode !== undefined) void mode(response, told, parts, request);
        else {
          const write = spelling?.write ?? ((text: string) => text);
          response.end(Buffer.concat([told, ...parts].flatMap((text) => [Buffer.from(write(text) as string), Buffer.from("\n")])));
        }
      });
    },
  };
}

function holds(text: string, value: string): boolean {
  const decoded = Array.from(text.matchAll(/Basic ([A-Za-z0-9+/=]+)/gu), ([, digits]) => Buffer.from(digits ?? "", "base64").toString());
  const whole = [text, ...decoded];
  return whole.some((one) => [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)].some((form) => one.includes(form)));
}

/** Header values come as bytes, one character each. */
function utf8(text: string): string {
  return Buffer.from(text, "latin1").toString("utf8");
}

function latin(text: string): string {
  return Buffer.from(text.replace(/[\r\n]/gu, " ")).toString("latin1");
}
