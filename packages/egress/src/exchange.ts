import type { Readable } from "node:stream";
import type { Connection } from "./connections.ts";
import type { Fault } from "./fault.ts";
import { fault } from "./fault.ts";
import { pairsOf } from "./header-rules.ts";
import { MAX_RESPONSE_HEADERS } from "./limits.ts";
import type { HeaderPair, Method } from "./request-message.ts";

/** One request on one connection. */
export interface HopRequest {
  readonly method: Method;
  readonly path: string;
  readonly headers: readonly HeaderPair[];
  readonly body: Uint8Array | null;
  readonly readMs: number;
}

/** The head of an answer, and its body as it comes. The body must be read to its end or destroyed. */
export interface HopAnswer {
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly body: Readable;
}

/** Sends one request and waits for the head of its answer. On a fault the connection is of no use any more. */
export async function exchange(connection: Connection, hop: HopRequest, signal: AbortSignal): Promise<HopAnswer | Fault> {
  try {
    const { statusCode, headers, body } = await connection.client.request({
      method: hop.method,
      path: hop.path,
      headers: hop.headers.flat(),
      body: hop.body,
      headersTimeout: hop.readMs,
      bodyTimeout: hop.readMs,
      responseHeaders: "raw",
      signal,
    });
    // Errors also reach whoever reads the body; a body that nobody reads must not end the daemon.
    body.on("error", () => undefined);
    // `raw` gives names and values by turns, each byte of them one character.
    const pairs = pairsOf(headers as unknown as readonly string[]);
    if (pairs.length > MAX_RESPONSE_HEADERS) {
      body.destroy();
      return fault("response_too_large", 11, `The answer has more than ${MAX_RESPONSE_HEADERS} headers`);
    }
    return { status: statusCode, headers: pairs, body };
  } catch (error) {
    return upstreamFault(error);
  }
}

/** What a broken exchange is called. */
export function upstreamFault(error: unknown): Fault {
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
  if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT") return fault("timeout", 9, "Reading the answer timed out");
  if (code === "UND_ERR_HEADERS_OVERFLOW") return fault("response_too_large", 11, "The answer's headers are too large");
  if (code.startsWith("HPE_")) return fault("connection_lost", 11, "The answer is not valid HTTP");
  return fault("connection_lost", 11, "The connection was lost before the answer was whole", { code });
}
