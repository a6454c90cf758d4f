import { Buffer } from "node:buffer";
import type { JsonObject } from "@rumi/core";
import { findForbiddenKey, isJsonObject } from "@rumi/core";
import * as v from "valibot";
import type { Fault } from "./fault.ts";
import { fault } from "./fault.ts";
import {
  DEFAULT_TIMEOUT_SECONDS,
  MAX_CONNECT_TIMEOUT_SECONDS,
  MAX_REDIRECTS,
  MAX_REQUEST_BODY_BYTES,
  MAX_TIMEOUT_SECONDS,
} from "./limits.ts";

export const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] as const;
export type Method = (typeof METHODS)[number];

/** Name and value of one header, as it stands on the wire. */
export type HeaderPair = readonly [name: string, value: string];

/** One request past rules 1 and 2. URL and headers are as the pack wrote them. */
export interface EgressRequest {
  readonly method: Method;
  readonly url: string;
  readonly headers: readonly HeaderPair[];
  readonly body: Uint8Array | null;
  readonly timeoutMs: number;
  readonly connectMs: number;
  readonly readMs: number;
  readonly idempotent: boolean;
  /** Redirects that are followed; the forward proxy's clients follow their own. */
  readonly maxRedirects: number;
}

/** Messages of an egress socket, by what they ask for. */
export type EgressMessage =
  | { readonly kind: "request"; readonly request: EgressRequest; readonly stream: boolean; readonly callId: string | undefined }
  | { readonly kind: "check"; readonly domain: string; readonly port: number; readonly callId: string | undefined }
  | { readonly kind: "tunnel"; readonly host: string; readonly port: number; readonly callId: string | undefined }
  | { readonly kind: "proxy"; readonly callId: string | undefined };

/** Members by which a message may claim to be somebody. They say nothing: the socket does. */
const IDENTITY = ["principal_id", "principal", "pack_id", "owner_pack"] as const;

const seconds = (name: string, most: number) =>
  v.optional(
    v.pipe(
      v.number(`${name} must be a number`),
      v.check((value) => value > 0 && value <= most, `${name} must be above 0 and at most ${most}`),
    ),
  );
const callId = v.nullish(v.pipe(v.string("call_id must be text"), v.maxLength(128, "call_id is too long")));
const port = v.pipe(
  v.number("port must be a number"),
  v.check((value) => Number.isInteger(value) && value >= 1 && value <= 65_535, "port must be 1 to 65535"),
);

const RequestMessage = v.strictObject({
  type: v.optional(v.literal("request", "type is unknown")),
  method: v.string("method must be text"),
  url: v.string("url must be text"),
  headers: v.nullish(
    v.pipe(v.custom<JsonObject>(isJsonObject, "headers must be an object"), v.record(v.string(), v.string("headers must hold text"))),
  ),
  body: v.nullish(v.string("body must be text")),
  body_base64: v.nullish(v.string("body_base64 must be text")),
  timeout_seconds: seconds("timeout_seconds", MAX_TIMEOUT_SECONDS),
  connect_timeout_seconds: seconds("connect_timeout_seconds", MAX_CONNECT_TIMEOUT_SECONDS),
  read_timeout_seconds: seconds("read_timeout_seconds", MAX_TIMEOUT_SECONDS),
  stream: v.optional(v.boolean("stream must be true or false")),
  idempotent: v.optional(v.boolean("idempotent must be true or false")),
  call_id: callId,
});
const CheckMessage = v.strictObject({ type: v.literal("check"), domain: v.string("domain must be text"), port, call_id: callId });
const TunnelMessage = v.strictObject({ type: v.literal("tunnel"), host: v.string("host must be text"), port, call_id: callId });
const ProxyMessage = v.strictObject({ type: v.literal("proxy"), call_id: callId });

/** The members by which `message` claims to be someone else than `principal`. */
export function claimedPrincipals(message: JsonObject, principal: string): string[] {
  return IDENTITY.filter((key) => Object.hasOwn(message, key) && message[key] !== principal);
}

/** Rules 1 and 2 for a pack-controlled message. */
export function parseMessage(
  message: JsonObject,
  defaults: { readonly connectTimeoutMs: number; readonly readTimeoutMs: number },
): EgressMessage | Fault {
  const forbidden = findForbiddenKey(message);
  if (forbidden !== null) return fault("protocol_error", 1, `the key ${forbidden} is not allowed`);
  const rest: Record<string, unknown> = { ...message };
  for (const key of IDENTITY) delete rest[key];
  switch (rest["type"]) {
    case "check": {
      const parsed = v.safeParse(CheckMessage, rest);
      if (!parsed.success) return shapeFault(parsed.issues[0]);
      return { kind: "check", domain: parsed.output.domain, port: parsed.output.port, callId: parsed.output.call_id ?? undefined };
    }
    case "tunnel": {
      const parsed = v.safeParse(TunnelMessage, rest);
      if (!parsed.success) return shapeFault(parsed.issues[0]);
      return { kind: "tunnel", host: parsed.output.host, port: parsed.output.port, callId: parsed.output.call_id ?? undefined };
    }
    case "proxy": {
      const parsed = v.safeParse(ProxyMessage, rest);
      return parsed.success ? { kind: "proxy", callId: parsed.output.call_id ?? undefined } : shapeFault(parsed.issues[0]);
    }
    default:
      return requestMessage(rest, defaults);
  }
}

function requestMessage(
  rest: Record<string, unknown>,
  defaults: { readonly connectTimeoutMs: number; readonly readTimeoutMs: number },
): EgressMessage | Fault {
  const parsed = v.safeParse(RequestMessage, rest, { abortEarly: true });
  if (!parsed.success) return shapeFault(parsed.issues[0]);
  const said = parsed.output;
  const method = methodOf(said.method);
  if (method === null) return fault("validation_error", 2, `method must be one of ${METHODS.join(" ")}`);
  const body = bodyOf(said.body ?? null, said.body_base64 ?? null);
  if (body !== null && "fault" in body) return body;
  return {
    kind: "request",
    stream: said.stream ?? false,
    callId: said.call_id ?? undefined,
    request: {
      method,
      url: said.url,
      headers: Object.entries(said.headers ?? {}),
      body,
      timeoutMs: (said.timeout_seconds ?? DEFAULT_TIMEOUT_SECONDS) * 1000,
      connectMs: said.connect_timeout_seconds === undefined ? defaults.connectTimeoutMs : said.connect_timeout_seconds * 1000,
      readMs: said.read_timeout_seconds === undefined ? defaults.readTimeoutMs : said.read_timeout_seconds * 1000,
      idempotent: said.idempotent ?? false,
      maxRedirects: MAX_REDIRECTS,
    },
  };
}

/** The method in upper case; null for one that is not served. */
export function methodOf(text: string): Method | null {
  return METHODS.find((method) => method === text.toUpperCase()) ?? null;
}

function bodyOf(text: string | null, base64: string | null): Uint8Array | null | Fault {
  if (text !== null && base64 !== null) return fault("validation_error", 1, "body and body_base64 exclude each other");
  if (base64 !== null && (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/u.test(base64))) {
    return fault("validation_error", 1, "body_base64 is no base64");
  }
  if (text === null && base64 === null) return null;
  const bytes = text === null ? Buffer.from(base64 ?? "", "base64") : Buffer.from(text, "utf8");
  if (bytes.length > MAX_REQUEST_BODY_BYTES) return fault("validation_error", 1, `body is over ${MAX_REQUEST_BODY_BYTES} bytes`);
  return bytes;
}

/** An unknown or missing member breaks the protocol; a bad value is the caller's mistake. */
function shapeFault(issue: v.BaseIssue<unknown>): Fault {
  const key = v.getDotPath(issue) ?? "message";
  const shape = issue.type === "strict_object" || issue.expected === "never";
  if (shape) return fault("protocol_error", 1, `${key} is ${issue.received === "undefined" ? "missing" : "unknown"}`);
  return fault("validation_error", 1, issue.message);
}
