import type { Digest, ErrorCode } from "@rumi/core";
import * as v from "valibot";
import type { IdempotencyKeys } from "./idempotency.ts";
import type { ApiDeps } from "./deps.ts";
import type { EventStream } from "./event-stream.ts";
import type { Soon } from "./ports.ts";
import type { RouteScope } from "./scopes.ts";
import type { Caller } from "./token-registry.ts";

export type HttpMethod = "GET" | "POST" | "PUT" | "DELETE" | "PATCH";

/** A schema of one part of a request or of an answer. */
export type Schema = v.GenericSchema<unknown, unknown>;

/** What a handler is given beside the parsed request. */
export interface RouteContext {
  readonly deps: ApiDeps;
  readonly caller: Caller;
  readonly requestId: string;
  readonly idempotencyKey: string | null;
  readonly idempotency: IdempotencyKeys;
  /** Digest of the body's bytes as they came. */
  readonly bodyDigest: () => Digest;
  /** The last event that a client of a stream has got; null when it begins. */
  readonly lastEventId: number | null;
}

/** An answer with its own status, or a failure that carries data. */
export class Reply<Data> {
  readonly status: number;
  readonly data: Data;
  readonly failure: { readonly code: string; readonly error: string; readonly remedy?: string } | null;

  constructor(
    status: number,
    data: Data,
    failure: { readonly code: string; readonly error: string; readonly remedy?: string } | null = null,
  ) {
    this.status = status;
    this.data = data;
    this.failure = failure;
  }
}

/** One endpoint: everything about it is here, and routing, OpenAPI and the client derive from it. */
export interface Route<
  Name extends string = string,
  Params extends Schema = Schema,
  Query extends Schema = Schema,
  Body extends Schema = Schema,
  Data extends Schema = Schema,
> {
  /** `<noun>.<verb>`, the name the client calls it by. */
  readonly name: Name;
  readonly method: HttpMethod;
  /** `{name}` segments are path parameters. */
  readonly path: `/${string}`;
  readonly scope: RouteScope;
  readonly summary: string;
  /** The `rumi` verb that calls it. */
  readonly verb: string;
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly data: Data;
  /** The data of a 202 answer: the work was begun and goes on. Absent when the route never answers so. */
  readonly accepted?: Schema;
  /** Seconds the handler may take; 60 when absent. */
  readonly timeoutSeconds?: number;
  /** The answer is a stream of events, each of which has `data` for its data. */
  readonly stream?: true;
  /** Fields of the body that stand in no answer, error or audit entry, whatever goes wrong. */
  readonly confidential?: readonly string[];
  /** The code of a malformed field; `request.invalid` for the others. */
  readonly faults?: Readonly<Record<string, ErrorCode>>;
  handler(
    input: { readonly params: v.InferOutput<Params>; readonly query: v.InferOutput<Query>; readonly body: v.InferOutput<Body> },
    context: RouteContext,
  ): Soon<v.InferOutput<Data> | Reply<v.InferOutput<Data>> | EventStream>;
}

/** A request part that has no fields. */
export const Nothing = v.strictObject({});
export type Nothing = typeof Nothing;

/** Parts a route may leave out: then nothing is accepted there. */
interface Parts<Params, Query, Body> {
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
}

/** Types one row of the table. A row without a scope does not compile. */
export function route<
  const Name extends string,
  Data extends Schema,
  Params extends Schema = Nothing,
  Query extends Schema = Nothing,
  Body extends Schema = Nothing,
>(
  row: Omit<Route<Name, Params, Query, Body, Data>, "params" | "query" | "body"> & Parts<Params, Query, Body>,
): Route<Name, Params, Query, Body, Data> {
  const { params, query, body } = row as Parts<Schema, Schema, Schema>;
  return { ...row, params: params ?? Nothing, query: query ?? Nothing, body: body ?? Nothing } as unknown as Route<
    Name,
    Params,
    Query,
    Body,
    Data
  >;
}

/** Types one row whose answer is a stream of events. */
export function streamRoute<const Name extends string, Data extends Schema, Params extends Schema = Nothing>(
  row: Omit<Route<Name, Params, Nothing, Nothing, Data>, "params" | "query" | "body" | "stream" | "method"> & { readonly params?: Params },
): Route<Name, Params, Nothing, Nothing, Data> & { readonly stream: true } {
  return { ...route<Name, Data, Params>({ ...row, method: "GET" }), stream: true };
}

/** Names of the `{}` segments of a path, in order. */
export function pathParameters(path: string): readonly string[] {
  return [...path.matchAll(/\{(\w+)\}/gu)].map((match) => match[1] ?? "");
}

/** A path of the table in hono's words. */
export function honoPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/gu, ":$1");
}

/** True when a request's path has the shape of a route's path. */
export function matchesShape(routePath: string, requestPath: string): boolean {
  const wanted = routePath.split("/");
  const asked = requestPath.split("/");
  return (
    wanted.length === asked.length &&
    wanted.every((segment, index) => segment === asked[index] || (segment.startsWith("{") && asked[index] !== ""))
  );
}
