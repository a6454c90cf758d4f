import { RumiError } from "@rumi/core";
import type * as v from "valibot";
import type { Envelope, FailureData } from "../envelope.ts";
import type { StreamEvent } from "../event-stream.ts";
import { ROUTES } from "../route-table.ts";
import type { RouteName, StreamRouteName, TableRoute } from "../route-table.ts";
import { readEvents } from "./read-events.ts";

/** Codes of the client itself. */
export type ClientErrorCode = "client.unreachable" | "client.timeout" | "client.not_rumi";

/** No answer of a Rumi daemon came. */
export class ClientError extends RumiError<ClientErrorCode> {}

/** Where the daemon is and who asks. */
export interface ClientOptions {
  readonly url: string;
  readonly token?: string;
  /** Language of `error` texts. */
  readonly language?: string;
  readonly fetch?: typeof fetch;
}

type RouteNamed<Name extends RouteName> = Extract<TableRoute, { readonly name: Name }>;
type InputOf<S> = S extends v.GenericSchema<infer In, unknown> ? In : never;
type OutputOf<S> = S extends v.GenericSchema<unknown, infer Out> ? Out : never;
type QueryText<Q> = { readonly [K in keyof Q]?: string | number | boolean | undefined };
type Part<Key extends string, T> = keyof T extends never
  ? { readonly [K in Key]?: never }
  : { [K in keyof T]-?: undefined extends T[K] ? never : K }[keyof T] extends never
    ? { readonly [K in Key]?: T }
    : { readonly [K in Key]: T };

/** What a call of a route takes: its path parameters, query and body, as far as it has them. */
export type CallInput<Name extends RouteName> = Part<"params", InputOf<RouteNamed<Name>["params"]>> &
  Part<"query", QueryText<InputOf<RouteNamed<Name>["query"]>>> &
  Part<"body", InputOf<RouteNamed<Name>["body"]>> & { readonly signal?: AbortSignal; readonly idempotencyKey?: string };

/** The data of a route's answer. */
export type CallData<Name extends RouteName> = OutputOf<RouteNamed<Name>["data"]>;

/** An answer: the envelope, with its HTTP facts. */
export type ApiAnswer<Data> = { readonly status: number; readonly requestId: string | null; readonly retryAfterSeconds: number | null } & (
  | { readonly ok: true; readonly data: Data; readonly envelope: Envelope<Data> }
  | {
      readonly ok: false;
      readonly code: string;
      readonly error: string;
      readonly data: (FailureData & Partial<Data>) | FailureData | null;
      readonly envelope: Envelope<Data>;
    }
);

/** A typed caller of the API. A refusal is an answer; only silence throws. */
export interface Client {
  /** Calls one route by its name. @throws ClientError `client.unreachable` `client.timeout` `client.not_rumi` */
  call<const Name extends Exclude<RouteName, StreamRouteName>>(name: Name, input?: CallInput<Name>): Promise<ApiAnswer<CallData<Name>>>;
  /**
   * Opens a stream of events. They end when the stream does, also when it is cut: the last one tells why, or is any other. With
   * `lastEventId` it goes on after that event. @throws ClientError as `call`
   */
  stream<const Name extends StreamRouteName>(
    name: Name,
    input?: CallInput<Name> & { readonly lastEventId?: number },
  ): Promise<StreamAnswer>;
}

/** A stream that was opened, or the refusal. */
export type StreamAnswer =
  | { readonly ok: true; readonly status: number; readonly events: AsyncGenerator<StreamEvent> }
  | Extract<ApiAnswer<never>, { readonly ok: false }>;

type Plain = string | number | boolean | undefined;

interface LooseInput {
  readonly params?: Readonly<Record<string, Plain>>;
  readonly query?: Readonly<Record<string, Plain>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  readonly idempotencyKey?: string;
  readonly lastEventId?: number;
}

/** Makes a client. No connection is opened before the first call. */
export function createClient(options: ClientOptions): Client {
  const send = options.fetch ?? fetch;
  const ask = async (name: string, input: LooseInput): Promise<Response> => {
    const row = ROUTES.find((item) => item.name === name);
    if (row === undefined) throw new ClientError("client.not_rumi", `there is no route ${name}`);
    const { params = {}, query = {}, body, signal, idempotencyKey, lastEventId } = input;
    const headers: Record<string, string> = { Accept: "stream" in row ? "text/event-stream, application/json" : "application/json" };
    if (options.token !== undefined) headers["Authorization"] = `Bearer ${options.token}`;
    if (options.language !== undefined) headers["Accept-Language"] = options.language;
    if (idempotencyKey !== undefined) headers["Idempotency-Key"] = idempotencyKey;
    if (lastEventId !== undefined) headers["Last-Event-ID"] = String(lastEventId);
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const init: RequestInit = { method: row.method, headers };
    if (body !== undefined) init.body = JSON.stringify(body);
    if (signal !== undefined) init.signal = signal;
    return await send(addressOf(options.url, row.path, params, query), init);
  };
  const silence = (error: unknown, signal: AbortSignal | undefined): unknown => {
    if (signal?.aborted === true) return error;
    if (isSlowAnswer(error)) return new ClientError("client.timeout", "the answer took too long; the work goes on", { cause: error });
    if (error instanceof ClientError) return error;
    return new ClientError("client.unreachable", "the daemon does not answer", {
      cause: error,
      details: { url: options.url },
      remedy: "rumi start",
    });
  };
  return {
    call: async (name, input) => {
      const loose = (input ?? {}) as LooseInput;
      try {
        const response = await ask(name, loose);
        const text = await response.text();
        return readAnswer(name, response, text);
      } catch (error) {
        throw silence(error, loose.signal);
      }
    },
    stream: async (name, input) => {
      const loose = (input ?? {}) as LooseInput;
      try {
        const response = await ask(name, loose);
        if (response.ok && response.body !== null && (response.headers.get("content-type") ?? "").startsWith("text/event-stream"))
          return { ok: true, status: response.status, events: readEvents(response.body, loose.signal) };
        const answer = readAnswer<never>(name, response, await response.text());
        if (answer.ok) throw new ClientError("client.not_rumi", "the answer is not a stream of events");
        return answer;
      } catch (error) {
        throw silence(error, loose.signal);
      }
    },
  };
}

/** True when Node's fetch gave up waiting: it waits 300 seconds for an answer to begin. */
function isSlowAnswer(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined;
  return code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT";
}

function addressOf(base: string, path: string, params: Readonly<Record<string, Plain>>, query: Readonly<Record<string, Plain>>): URL {
  const filled = path.replaceAll(/\{(\w+)\}/gu, (_, name: string) => segmentOf(String(params[name] ?? "")));
  const url = new URL(filled, base);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
  return url;
}

/** One path segment. A segment of dots would be taken away by any URL parser: it is sent as text that no id matches. */
function segmentOf(id: string): string {
  return /^\.{1,2}$/u.test(id) ? id.replaceAll(".", "%252E") : encodeURIComponent(id);
}

function readAnswer<Data>(name: string, response: Response, text: string): ApiAnswer<Data> {
  const facts = {
    status: response.status,
    requestId: response.headers.get("x-request-id"),
    retryAfterSeconds: Number(response.headers.get("retry-after") ?? Number.NaN) || null,
  };
  let envelope: unknown;
  try {
    envelope = JSON.parse(text);
  } catch (error) {
    throw new ClientError("client.not_rumi", "the answer is not a Rumi daemon's", { cause: error, details: { status: response.status } });
  }
  if (name === "openapi" && response.ok) {
    const data = envelope as Data;
    return { ...facts, ok: true, data, envelope: { success: true, data, error: null, code: null } };
  }
  const read = envelope as Envelope<Data>;
  if (typeof envelope !== "object" || envelope === null || typeof read.success !== "boolean") {
    throw new ClientError("client.not_rumi", "the answer is not a Rumi daemon's", { details: { status: response.status } });
  }
  if (read.success) return { ...facts, ok: true, data: read.data, envelope: read };
  return { ...facts, ok: false, code: read.code, error: read.error, data: read.data, envelope: read };
}
