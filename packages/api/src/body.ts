import type { HttpBindings } from "@hono/node-server";
import { findForbiddenKey, isJsonObject, jsonDepth } from "@rumi/core";
import type { JsonObject } from "@rumi/core";
import { ApiError } from "./errors.ts";

/** Deepest body, the outermost object being 1. Source: page 40, section 1. */
export const MAX_BODY_DEPTH = 64;

/** How much of a body is read, and how long. */
export interface BodyLimits {
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

/** The bytes of a request's body, counted while read. Empty when there is none. @throws ApiError `request.too_large` `request.bad_length` `request.media_type` */
export async function readBody(request: Request, node: Partial<HttpBindings>, limits: BodyLimits): Promise<Uint8Array> {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding !== "") throw new ApiError("request.media_type", "a body with a content encoding is not accepted");
  const declared = request.headers.get("content-length");
  if (declared !== null && !/^\d{1,15}$/u.test(declared)) throw new ApiError("request.bad_length", "Content-Length is not a number");
  if (declared !== null && Number(declared) > limits.maxBytes) throw tooLarge(limits);
  const { incoming, outgoing } = node;
  if (incoming !== undefined) {
    if (declared === null && incoming.headers["transfer-encoding"] === undefined) return new Uint8Array();
    // Only now is a client that asks first told to send its body.
    if (incoming.headers.expect?.toLowerCase() === "100-continue") outgoing?.writeContinue();
    return await collect(incoming, limits);
  }
  if (request.body === null) return new Uint8Array();
  return await collectStream(request.body, limits);
}

function tooLarge(limits: BodyLimits): ApiError {
  return new ApiError("request.too_large", `the body is larger than ${limits.maxBytes} bytes`, { details: { max_bytes: limits.maxBytes } });
}

function collect(incoming: HttpBindings["incoming"], limits: BodyLimits): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const done = (settle: () => void): void => {
      clearTimeout(timer);
      incoming.off("data", onData).off("end", onEnd).off("error", onCut).off("close", onCut);
      settle();
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > limits.maxBytes) {
        incoming.pause();
        done(() => {
          reject(tooLarge(limits));
        });
        return;
      }
      chunks.push(chunk);
    };
    const onEnd = (): void => {
      done(() => {
        resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks));
      });
    };
    const onCut = (): void => {
      done(() => {
        reject(new ApiError("request.bad_length", "the body ended early"));
      });
    };
    const timer = setTimeout(() => {
      done(() => {
        reject(new ApiError("request.bad_length", "the body came too slowly"));
      });
      incoming.socket.destroySoon();
    }, limits.timeoutMs);
    incoming.on("data", onData).on("end", onEnd).on("error", onCut).on("close", onCut);
  });
}

async function collectStream(stream: ReadableStream<Uint8Array>, limits: BodyLimits): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = stream.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    bytes += next.value.byteLength;
    if (bytes > limits.maxBytes) {
      await reader.cancel();
      throw tooLarge(limits);
    }
    chunks.push(next.value);
  }
  return Buffer.concat(chunks);
}

/**
 * A body as a JSON object; empty bytes are `{}`.
 * @throws ApiError `request.media_type` `request.invalid_json`
 */
export function parseBody(bytes: Uint8Array, contentType: string | null): JsonObject {
  if (bytes.byteLength === 0) return {};
  const media = (contentType ?? "").split(";")[0]?.trim().toLowerCase();
  if (media !== "application/json") throw new ApiError("request.media_type", "a body has to be application/json");
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new ApiError("request.invalid_json", "the body is not JSON");
  }
  if (!isJsonObject(value)) throw new ApiError("request.invalid_json", "the body has to be a JSON object");
  if (jsonDepth(value, MAX_BODY_DEPTH) + 1 > MAX_BODY_DEPTH) {
    throw new ApiError("request.invalid_json", `the body is nested deeper than ${MAX_BODY_DEPTH}`);
  }
  const forbidden = findForbiddenKey(value);
  if (forbidden !== null) throw new ApiError("request.invalid_json", `the key ${forbidden} is not accepted`);
  if (hasInfinity(value)) throw new ApiError("request.invalid_json", "a number in the body is larger than any JSON reader keeps");
  return value;
}

/** True when a number overflowed while it was read: `1e999` becomes Infinity, which is no JSON any more. */
function hasInfinity(value: JsonObject): boolean {
  const stack: object[] = [value];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    for (const child of Object.values(node) as unknown[]) {
      if (typeof child === "number" && !Number.isFinite(child)) return true;
      if (typeof child === "object" && child !== null) stack.push(child);
    }
  }
  return false;
}
