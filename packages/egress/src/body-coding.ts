import type { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from "node:zlib";
import { MAX_CODINGS } from "./limits.ts";

/** What the proxy asks servers for: what it can undo. */
export const ACCEPT_ENCODING = "gzip, deflate, br";

type Coding = "gzip" | "deflate" | "br";

/** The codings of a `Content-Encoding`, outermost last; null when one of them cannot be undone. */
export function codingsOf(header: string | undefined): readonly Coding[] | null {
  const names = (header ?? "")
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "" && name !== "identity");
  const codings: Coding[] = [];
  for (const name of names) {
    if (name === "gzip" || name === "x-gzip") codings.push("gzip");
    else if (name === "deflate" || name === "br") codings.push(name);
    else return null;
  }
  return codings.length > MAX_CODINGS ? null : codings;
}

/** A body that goes over its limit. */
export class BodyTooLarge extends Error {}

/** A body that does not decode. */
export class BodyBroken extends Error {}

/**
 * The decoded bytes of `body`, piece by piece. No more than `maxBytes` come out of it or out of any coding on the way.
 * @throws BodyTooLarge BodyBroken, and what the stream itself fails with
 */
export async function* decodedBody(
  body: AsyncIterable<Uint8Array>,
  codings: readonly Coding[],
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  let stream: AsyncIterable<Uint8Array> = limited(body, maxBytes);
  for (const coding of [...codings].reverse()) stream = limited(undone(stream, coding), maxBytes);
  yield* stream;
}

async function* limited(body: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new BodyTooLarge(`the body is over ${maxBytes} bytes`);
    yield chunk;
  }
}

async function* undone(body: AsyncIterable<Uint8Array>, coding: Coding): AsyncGenerator<Uint8Array> {
  const source = body[Symbol.asyncIterator]();
  const first = await source.next();
  // No byte at all (an answer to HEAD, a 204) is no broken body.
  if (first.done === true) return;
  const upstream: { error: Error | null } = { error: null };
  const whole = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield first.value;
      for (let next = await source.next(); next.done !== true; next = await source.next()) yield next.value;
    } catch (error) {
      upstream.error = error instanceof Error ? error : new Error("the body broke", { cause: error });
      throw error;
    } finally {
      await source.return?.();
    }
  };
  const decoder = decoderFor(coding, first.value);
  const piped: Readable = pipeline(whole, decoder, () => undefined);
  try {
    for await (const chunk of piped) yield chunk as Uint8Array;
  } catch (error) {
    if (upstream.error !== null) throw upstream.error;
    throw error instanceof BodyTooLarge ? error : new BodyBroken("the body does not decode", { cause: error });
  } finally {
    decoder.destroy();
  }
}

function decoderFor(coding: Coding, first: Uint8Array): Transform {
  if (coding === "gzip") return createGunzip();
  if (coding === "br") return createBrotliDecompress();
  // Servers send deflate with or without its zlib header (RFC 9110, section 8.4.1.2).
  return ((first[0] ?? 0) & 0x0f) === 8 ? createInflate() : createInflateRaw();
}
