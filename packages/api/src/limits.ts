import { MIB } from "@rumi/core";

/** Numbers of the HTTP server an operator may set. */
export interface ApiLimits {
  readonly rateWindowSeconds: number;
  /** Requests of one token in the window. */
  readonly tokenRateLimit: number;
  /** Requests of one address without a valid token in the window. */
  readonly addressRateLimit: number;
  readonly maxBodyBytes: number;
  /** Seconds for a whole body to come. */
  readonly bodySeconds: number;
  /** Seconds a handler may take when its row says nothing else. */
  readonly handlerSeconds: number;
  readonly maxUrlBytes: number;
  /** Streams of events that one token may have open. */
  readonly streamsPerToken: number;
  /** Seconds without an event after which a stream sends a comment. */
  readonly streamCommentSeconds: number;
  /** Milliseconds between two looks whether the token of an open stream still holds. */
  readonly streamLookMs: number;
}

/** Source: page 40, section 1. */
export const DEFAULT_API_LIMITS: ApiLimits = {
  rateWindowSeconds: 60,
  tokenRateLimit: 600,
  addressRateLimit: 60,
  maxBodyBytes: 10 * MIB,
  bodySeconds: 30,
  handlerSeconds: 60,
  maxUrlBytes: 8 * 1024,
  streamsPerToken: 32,
  streamCommentSeconds: 15,
  streamLookMs: 250,
};

/** Numbers of the listening socket. */
export interface ServerLimits {
  readonly maxHeaderBytes: number;
  readonly maxSockets: number;
  /** Milliseconds for all headers to come. */
  readonly headersMs: number;
  /** Milliseconds for a whole request to come, headers included. */
  readonly requestMs: number;
  /** Milliseconds an idle connection stays. */
  readonly idleMs: number;
  /** Milliseconds a client may leave an answer unread before it is cut. */
  readonly writeMs: number;
  /** Milliseconds between two looks for slow connections. */
  readonly checkMs: number;
}

/** Source: page 40, section 1: headers 16 KiB and 10 s, body 30 s, idle 10 s, 256 sockets; an answer gets the time of a body. */
export const DEFAULT_SERVER_LIMITS: ServerLimits = {
  maxHeaderBytes: 16 * 1024,
  maxSockets: 256,
  headersMs: 10_000,
  requestMs: 40_000,
  idleMs: 10_000,
  writeMs: 30_000,
  checkMs: 1000,
};
