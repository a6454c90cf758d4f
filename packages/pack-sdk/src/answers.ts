import type { JsonObject, JsonValue } from "@rumi/core";

/** What came of an HTTP request. Every key is always there; `success` means an HTTP answer came whole, whatever its status. */
export interface HttpAnswer {
  readonly success: boolean;
  /** 0 when no answer came. */
  readonly status_code: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Text; base64 when the bytes are not UTF-8, and then the header `X-Proxy-Body-Encoding` says `base64`. */
  readonly body: string;
  readonly error: string | null;
  readonly error_type: string | null;
  readonly latency_ms: number;
  readonly redirect_hops: number;
  readonly bytes_read: number;
  readonly final_url: string;
}

/** One piece of an answer that is read as it comes: a `head`, any number of `chunk`s, and always one `end`, the last. */
export type HttpPiece =
  | {
      readonly type: "head";
      readonly status_code: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly redirect_hops: number;
      readonly final_url: string;
    }
  | { readonly type: "chunk"; readonly bytes: Uint8Array }
  /** `success` is false when the answer did not come whole. `body` is empty here. A request that failed early has only this. */
  | ({ readonly type: "end" } & HttpAnswer);

/** Whether a request would be allowed, and why. */
export interface NetworkCheck {
  readonly allowed: boolean;
  readonly reason: string;
}

/** What a pack learns of a use that was refused or failed. */
export interface CapabilityFailure {
  readonly success: false;
  readonly error: string;
  readonly error_type: string;
  readonly [fact: string]: JsonValue;
}

/** What came of a capability call. `output` of a built-in power holds `success` beside what it gives. */
export type CapabilityAnswer<Output extends JsonValue = JsonValue> =
  | {
      readonly success: true;
      readonly output: Output;
      readonly error: null;
      readonly error_type: null;
      readonly latency_ms: number;
    }
  | {
      readonly success: false;
      readonly output: CapabilityFailure;
      readonly error: string;
      readonly error_type: string;
      readonly latency_ms: number;
    };

/** An answer of a built-in power that gives `Fields`. */
export type BuiltInAnswer<Fields extends JsonObject = JsonObject> = CapabilityAnswer<{ readonly success: true } & Fields>;
