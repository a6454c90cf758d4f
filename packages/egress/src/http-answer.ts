import type { JsonObject } from "@rumi/core";

/** Why a request has no whole answer, as the pack sees it. */
export type EgressErrorType =
  | "protocol_error"
  | "validation_error"
  | "rate_limited"
  | "busy"
  | "grant_denied"
  | "secret_denied"
  | "dns_error"
  | "blocked"
  | "connection_refused"
  | "ssl_error"
  | "timeout"
  | "too_many_redirects"
  | "response_too_large"
  | "connection_lost"
  | "sni_mismatch"
  | "cancelled"
  | "internal_error";

/** The answer to one request; every key is always there. */
export interface HttpAnswer extends JsonObject {
  /** An HTTP answer came whole, whatever its status. */
  readonly success: boolean;
  /** 0 when no answer came. */
  readonly status_code: number;
  /** Names in lower case; repeated ones joined by `, `. */
  readonly headers: { readonly [name: string]: string };
  /** Text; base64 when the bytes are not UTF-8, and then the header `X-Proxy-Body-Encoding: base64` says so. */
  readonly body: string;
  readonly error: string | null;
  readonly error_type: EgressErrorType | null;
  readonly latency_ms: number;
  readonly redirect_hops: number;
  /** Decoded body bytes. */
  readonly bytes_read: number;
  readonly final_url: string;
}

/**
 * What a request with `stream: true` is answered with: `head` once, `chunk` as bytes come, and `end` always, the last one.
 * A request that fails before its answer began has only an `end`.
 */
export type StreamFrame =
  | {
      readonly type: "head";
      readonly status_code: number;
      readonly headers: { readonly [name: string]: string };
      readonly redirect_hops: number;
      readonly final_url: string;
    }
  | { readonly type: "chunk"; readonly body_base64: string }
  /** `body` is empty here. */
  | ({ readonly type: "end" } & HttpAnswer);
