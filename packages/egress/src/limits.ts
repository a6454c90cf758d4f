import { MAX_RESPONSE_BYTES, MIB } from "@rumi/core";

// Source of everything here unless said otherwise: page "Execution", sections 9 and 11.

/** Longest body that a request carries, in bytes. */
export const MAX_REQUEST_BODY_BYTES = 4 * MIB;

/** Longest JSON text of one frame: a body of the largest size in base64, its headers, and room for escapes. */
export const MAX_FRAME_BYTES = Math.ceil((MAX_REQUEST_BODY_BYTES * 4) / 3) + MIB;

/** How long a frame may take from its first byte to its last. Source: section 8. */
export const FRAME_TIMEOUT_MS = 5000;

/** How long an answer may wait for a reader that takes none of it. */
export const STALLED_READER_MS = 30_000;

/** Longest URL, in UTF-8 bytes. */
export const MAX_URL_BYTES = 8 * 1024;

/** Most headers of a request, and how long their names and values may be. */
export const MAX_REQUEST_HEADERS = 100;
export const MAX_HEADER_NAME = 256;
export const MAX_HEADER_VALUE = 8192;

/** Most headers of an answer, and their bytes together. */
export const MAX_RESPONSE_HEADERS = 200;
export const MAX_RESPONSE_HEADER_BYTES = 64 * 1024;

/** Largest timeouts that a request may ask for, in seconds. */
export const MAX_TIMEOUT_SECONDS = 120;
export const MAX_CONNECT_TIMEOUT_SECONDS = 60;

/** A request's own timeout unless it names one, in seconds. */
export const DEFAULT_TIMEOUT_SECONDS = 30;

/** How long a name may take to resolve, and how many addresses it may have. */
export const RESOLVE_TIMEOUT_MS = 5000;
export const MAX_ADDRESSES = 16;

/** How long one address is tried alone before the next is tried beside it. Source: RFC 8305, section 5. */
export const NEXT_ADDRESS_MS = 250;

/** Redirects that are followed. */
export const MAX_REDIRECTS = 3;

/** How long an idle connection is kept for the next request. */
export const KEEP_ALIVE_MS = 30_000;

/** Idle connections kept for one principal and for all. */
export const MAX_IDLE_PER_PRINCIPAL = 20;
export const MAX_IDLE = 500;

/** Codings of one body that are undone. */
export const MAX_CODINGS = 3;

/** A tunnel: its first flight, what goes through each way, and how long it may be silent. */
export const FIRST_FLIGHT_BYTES = 16 * 1024;
export const FIRST_FLIGHT_MS = 5000;
export const MAX_TUNNEL_BYTES = 64 * MIB;
export const TUNNEL_IDLE_MS = 60_000;

/** Longest time for which a report may let requests pass, in seconds. */
export const MAX_REPORT_SECONDS = 3600;

/** Hosts that are remembered of one principal; the one seen longest ago goes first. */
export const MAX_OBSERVED = 500;

/** Longest path in an audit entry. */
export const MAX_AUDIT_PATH = 256;

/** What a daemon may set. Absent members take these defaults. */
export interface EgressOptions {
  /** `RUMI_EGRESS_RATE_LIMIT`: requests a minute of a principal whose grant says nothing. */
  readonly requestsPerMinute?: number;
  /** `RUMI_EGRESS_CONNECT_TIMEOUT`, in ms: for requests that name none. */
  readonly connectTimeoutMs?: number;
  /** `RUMI_EGRESS_READ_TIMEOUT`, in ms: for requests that name none. */
  readonly readTimeoutMs?: number;
  /** `RUMI_EGRESS_MAX_WORKERS`: requests and tunnels of one principal at once. */
  readonly maxInFlight?: number;
  /** `RUMI_MAX_RESPONSE_BYTES`: decoded body of one answer. */
  readonly maxResponseBytes?: number;
  /** `RUMI_EGRESS_PROXY`: false refuses `{type:"proxy"}` and tunnels. */
  readonly forwardProxy?: boolean;
}

export const DEFAULT_EGRESS_OPTIONS: Required<EgressOptions> = {
  requestsPerMinute: 60,
  connectTimeoutMs: 10_000,
  readTimeoutMs: 30_000,
  maxInFlight: 20,
  maxResponseBytes: MAX_RESPONSE_BYTES,
  forwardProxy: true,
};
