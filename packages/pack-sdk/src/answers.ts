import type { JsonValue } from "@rumi/core";

/** What came of an HTTP request. Every key is always there; `success` means an HTTP answer came whole. */
export interface HttpAnswer {
  readonly success: boolean;
  readonly status_code: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly error: string | null;
  readonly error_type: string | null;
  readonly latency_ms: number;
  readonly redirect_hops: number;
  readonly bytes_read: number;
  readonly final_url: string;
}

/** Whether a request would be allowed, and why. */
export interface NetworkCheck {
  readonly allowed: boolean;
  readonly reason: string;
}

/** What came of a capability call. */
export interface CapabilityAnswer {
  readonly success: boolean;
  readonly output: JsonValue;
  readonly error: string | null;
  readonly error_type: string | null;
  readonly latency_ms: number;
}
