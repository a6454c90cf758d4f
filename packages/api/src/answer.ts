import type { Envelope } from "./envelope.ts";
import type { ApiContext } from "./request-context.ts";

const METHODS = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";
const PREFLIGHT_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID";
/** Seconds a browser may keep a preflight's answer. Source: page 40, section 1. */
const PREFLIGHT_MAX_AGE = "600";

/** Headers of every answer. Source: page 40, section 1. */
export const SECURITY_HEADERS = {
  "Content-Type": "application/json; charset=utf-8",
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
} as const;

/** The envelope of what was done. */
export function success<Data>(data: Data): Envelope<Data> {
  return { success: true, data, error: null, code: null };
}

/** One whole answer: JSON text, the fixed headers, the request id. */
export function answer(c: ApiContext, status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { ...SECURITY_HEADERS, "X-Request-Id": c.get("requestId"), ...corsHeaders(c), ...headers },
  });
}

/** An answer of events that goes on; null when only its headers were asked for. */
export function streamAnswer(c: ApiContext, body: ReadableStream<Uint8Array> | null): Response {
  const headers = { ...SECURITY_HEADERS, "Content-Type": "text/event-stream; charset=utf-8", "X-Request-Id": c.get("requestId") };
  return new Response(body, { status: 200, headers: { ...headers, ...corsHeaders(c) } });
}

function corsHeaders(c: ApiContext): Record<string, string> {
  const origin = c.get("corsOrigin");
  return origin === undefined ? {} : { "Access-Control-Allow-Origin": origin, Vary: "Origin" };
}

/** The answer to an allowed origin that asks first. */
export function preflight(c: ApiContext): Response {
  return new Response(null, {
    status: 204,
    headers: {
      ...corsHeaders(c),
      Vary: "Origin",
      "Access-Control-Allow-Methods": METHODS,
      "Access-Control-Allow-Headers": PREFLIGHT_HEADERS,
      "Access-Control-Max-Age": PREFLIGHT_MAX_AGE,
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
      "X-Request-Id": c.get("requestId"),
    },
  });
}
