import { FORBIDDEN_KEYS, RumiError, sha256 } from "@rumi/core";
import { Hono } from "hono";
import * as v from "valibot";
import { answer, preflight, SECURITY_HEADERS, streamAnswer, success } from "./answer.ts";
import { parseBody, readBody } from "./body.ts";
import { codeEntry, workingRemedy } from "./codes.ts";
import { ApiError } from "./errors.ts";
import type { RequestIssue } from "./errors.ts";
import { EventStream, streamBody, StreamSlots } from "./event-stream.ts";
import { failureEnvelope, failureOf } from "./failure.ts";
import type { Failure } from "./failure.ts";
import { IdempotencyKeys } from "./idempotency.ts";
import { issueText } from "./issue-text.ts";
import { DEFAULT_API_LIMITS } from "./limits.ts";
import type { ApiLimits } from "./limits.ts";
import { preferredLanguage } from "./messages.ts";
import type { Language } from "./messages.ts";
import { isAllowedHost, judgeOrigin } from "./origin.ts";
import type { FrontDoorOptions } from "./origin.ts";
import type { ApiDeps } from "./deps.ts";
import type { Messages } from "./ports.ts";
import { SlidingWindow } from "./rate-limit.ts";
import { hush, redactAnswer, redactInTurns } from "./redact-answer.ts";
import { recordDenied, recordInternal } from "./request-audit.ts";
import { addressOf } from "./request-context.ts";
import type { ApiContext, ApiEnv } from "./request-context.ts";
import { ALL_ROUTES, ROUTE_VERBS } from "./route-table.ts";
import { honoPath, matchesShape, Reply } from "./route.ts";
import type { Route, RouteContext, Schema } from "./route.ts";
import { mayCall, scopeName } from "./scopes.ts";
import type { Caller } from "./token-registry.ts";

/** What an operator may set. */
export interface ApiOptions extends Partial<FrontDoorOptions> {
  readonly limits?: Partial<ApiLimits>;
  /** Texts for `error` by language; English needs none. */
  readonly messages?: Readonly<Partial<Record<Language, Messages>>>;
}

/** The HTTP face of the daemon. Nothing listens yet: see `serveApi`. */
export interface Api {
  readonly app: Hono<ApiEnv>;
  /** One failure as a whole answer, for faults that never reach the app. */
  readonly refuse: (error: unknown) => Response;
}

/** Builds the app from the route table. Checks, in order: Host, Origin, `/health`, token, rate, route, scope, body, schema. */
export function createApi(deps: ApiDeps, options: ApiOptions = {}): Api {
  const limits: ApiLimits = { ...DEFAULT_API_LIMITS, ...options.limits };
  const door: FrontDoorOptions = { allowedHosts: options.allowedHosts ?? [], corsOrigins: options.corsOrigins ?? [] };
  const messages = options.messages ?? {};
  const windowMs = limits.rateWindowSeconds * 1000;
  const tokenRate = new SlidingWindow(deps.clock, { limit: limits.tokenRateLimit, windowMs });
  const addressRate = new SlidingWindow(deps.clock, { limit: limits.addressRateLimit, windowMs });
  const idempotency = new IdempotencyKeys(deps.clock);
  const streams = new StreamSlots(limits.streamsPerToken);
  const app = new Hono<ApiEnv>();

  const takeRate = (table: SlidingWindow, key: string): void => {
    const verdict = table.take(key);
    if (verdict.allowed) return;
    throw new ApiError("rate.limited", "too many requests", { details: { retry_after_seconds: verdict.retryAfterSeconds } });
  };

  app.use("*", async (c, next) => {
    c.set("requestId", `req_${deps.random.hex(12)}`);
    if (c.req.raw.url.length > limits.maxUrlBytes)
      throw new ApiError("request.too_large", `the URL is longer than ${limits.maxUrlBytes} bytes`);
    const host = c.req.header("host") ?? new URL(c.req.raw.url).host;
    // A foreign page may knock as often as it likes: what it is refused, and what is written down of it, has the address's limit.
    const refuseCaller = (error: RumiError): never => {
      takeRate(addressRate, addressOf(c));
      throw error;
    };
    if (!isAllowedHost(host, door)) refuseCaller(new ApiError("http.host_rejected", "this host is not served here"));
    const origin = c.req.header("origin");
    if (origin !== undefined) {
      const verdict = judgeOrigin(origin, host, door);
      if (verdict === "refused") refuseCaller(new ApiError("http.origin_rejected", "this origin may not call the API"));
      if (verdict === "allowed") c.set("corsOrigin", origin);
      if (c.req.method === "OPTIONS" && c.req.header("access-control-request-method") !== undefined) {
        takeRate(addressRate, addressOf(c));
        return preflight(c);
      }
    }
    if (c.req.path === "/health") {
      takeRate(addressRate, addressOf(c));
      assertServing(deps, true);
      return await next();
    }
    const caller = callerOf(c, deps);
    if (caller === null) return refuseCaller(lockedHome(deps) ?? new ApiError("auth.required", "Unauthorized"));
    takeRate(tokenRate, caller.token_id);
    assertServing(deps, false);
    if (walks(c.env?.incoming?.url ?? "")) throw new ApiError("request.invalid", "the path has segments of dots or a backslash");
    c.set("caller", caller);
    await next();
  });

  for (const row of ALL_ROUTES) {
    app.on(row.method, honoPath(row.path), async (c) => await serveRoute(c, row));
  }

  const clean = (body: unknown): Promise<unknown> => redactInTurns(body, deps.redact);

  async function serveRoute(c: ApiContext, row: Route): Promise<Response> {
    const caller = row.scope === "open" ? NOBODY : c.get("caller");
    if (!mayCall(caller.scopes, row.scope)) {
      throw new ApiError("auth.scope", `this needs a token with the scope ${scopeName(row.scope)}`, {
        details: { scope: typeof row.scope === "string" ? row.scope : (row.scope[0] ?? "read") },
      });
    }
    const params = parsePart(row.params, c.req.param(), { code: "request.invalid_id", message: "the id in the path is not valid" });
    const bytes =
      row.method === "GET"
        ? new Uint8Array()
        : await readBody(c.req.raw, c.env ?? {}, { maxBytes: limits.maxBodyBytes, timeoutMs: limits.bodySeconds * 1000 });
    const json = parseBody(bytes, c.req.header("content-type") ?? null);
    if (row.confidential !== undefined) c.set("hush", hush(row.confidential.map((field) => textOf(json[field]))));
    const query = parsePart(row.query, plainQuery(c), { code: "request.invalid", message: "the query is not valid" });
    const body = parsePart(row.body, json, { code: "request.invalid", message: "the body is not valid" }, row);
    const context: RouteContext = {
      deps,
      caller,
      requestId: c.get("requestId"),
      idempotencyKey: c.req.header("idempotency-key") ?? null,
      idempotency,
      bodyDigest: () => sha256(bytes),
      lastEventId: row.stream === true ? lastEventId(c) : null,
    };
    const seconds = row.timeoutSeconds ?? limits.handlerSeconds;
    const result = await within(Promise.resolve(row.handler({ params, query, body }, context)), seconds);
    if (row.name === "openapi") return answer(c, 200, result);
    if (result instanceof EventStream) return openStream(c, caller, result);
    if (!(result instanceof Reply)) return answer(c, 200, await clean(success(result)));
    if (result.failure === null) return answer(c, result.status, await clean(success(result.data)));
    const entry = codeEntry(result.failure.code);
    const { remedy: _, ...told } = result.data as Record<string, unknown>;
    const remedy = workingRemedy(result.failure.code, result.failure.remedy, told, ROUTE_VERBS);
    const failure: Failure = {
      status: result.status,
      code: result.failure.code,
      error: result.failure.error,
      data: {
        ...told,
        retryable: entry.retryable,
        ...(remedy === null ? {} : { remedy }),
      },
      details: {},
      retryAfterSeconds: result.status === 429 ? 1 : null,
      internal: false,
    };
    return fail(c, failure);
  }

  function openStream(c: ApiContext, caller: Caller, stream: EventStream): Response {
    if (c.req.method === "HEAD") return streamAnswer(c, null);
    const holds = deps.tokens.watch(tokenOf(c) ?? "");
    const done = streams.take(caller.token_id);
    if (done === null)
      throw new ApiError("stream.capacity", `this token has ${limits.streamsPerToken} streams open`, {
        details: { limit: limits.streamsPerToken },
      });
    const body = streamBody(stream, {
      ending: () => (holds() ? (deps.daemon.phase() === "stopping" ? "daemon.stopping" : null) : "token.expired"),
      lookMs: limits.streamLookMs,
      commentMs: limits.streamCommentSeconds * 1000,
      clean: (data) => redactAnswer(data, deps.redact),
      now: () => deps.clock.monotonic(),
      done,
    });
    return streamAnswer(c, body);
  }

  app.notFound((c) => {
    const methods = ALL_ROUTES.filter((row) => matchesShape(row.path, c.req.path)).map((row) => row.method);
    if (methods.length === 0) return refuse(c, new ApiError("http.not_found", "there is nothing at this path"));
    const allow = [...new Set(methods.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method])))].join(", ");
    return refuse(c, new ApiError("http.method", "this path does not answer that method", { details: { allow } }));
  });
  app.onError((error, c) => refuse(c, error));

  async function refuse(c: ApiContext, error: unknown): Promise<Response> {
    const failure = failureOf(error, namedInPath(c.req.path));
    if (failure.internal) await recordInternal(deps, c, error, c.get("hush"));
    if (failure.status === 401 || failure.status === 403 || failure.status === 421) await recordDenied(deps, c, failure);
    return fail(c, failure, typeof failure.details["allow"] === "string" ? { Allow: failure.details["allow"] } : {});
  }

  async function fail(c: ApiContext, failure: Failure, headers: Record<string, string> = {}): Promise<Response> {
    const language = preferredLanguage(c.req.header("accept-language"));
    if (failure.status === 401) headers["WWW-Authenticate"] = "Bearer";
    if (failure.retryAfterSeconds !== null) headers["Retry-After"] = String(failure.retryAfterSeconds);
    const body = await clean(failureEnvelope(failure, language, messages));
    const quiet = c.get("hush");
    return answer(c, failure.status, quiet === undefined ? body : redactAnswer(body, quiet), headers);
  }

  return {
    app,
    refuse: (error) => {
      const failure = failureOf(error);
      const body = JSON.stringify(failureEnvelope(failure, "en", {}));
      return new Response(body, { status: failure.status, headers: { ...SECURITY_HEADERS, "X-Request-Id": `req_${deps.random.hex(12)}` } });
    },
  };
}

const NOBODY: Caller = { token_id: "", actor: "nobody", scopes: [], allowed_flow_ids: [] };

function assertServing(deps: ApiDeps, alsoStarting: boolean): void {
  const phase = deps.daemon.phase();
  if (phase === "stopping") throw new ApiError("daemon.stopping", "the daemon is stopping");
  if (alsoStarting && phase === "starting") throw new ApiError("daemon.starting", "the daemon is still starting");
}

/** The refusal of a home whose token records cannot be judged, or null. */
function lockedHome(deps: ApiDeps): RumiError | null {
  const locked = deps.daemon.locked();
  return locked === null ? null : new RumiError("safe_files.locked", `this home is locked: ${locked.reason}`, { remedy: locked.remedy });
}

function callerOf(c: ApiContext, deps: ApiDeps): Caller | null {
  const value = tokenOf(c);
  return value === null ? null : deps.tokens.verify(value);
}

function tokenOf(c: ApiContext): string | null {
  return /^bearer +(\S+)$/iu.exec(c.req.header("authorization") ?? "")?.[1] ?? null;
}

/** The event a client goes on after. @throws ApiError `request.invalid` */
function lastEventId(c: ApiContext): number | null {
  const text = c.req.header("last-event-id") ?? "";
  if (text === "") return null;
  if (!/^\d{1,15}$/u.test(text)) throw new ApiError("request.invalid", "Last-Event-ID is not the number of an event");
  return Number(text);
}

/** True when the target as it was sent has segments that a URL parser takes away: a path is what it says, or nothing. */
function walks(target: string): boolean {
  const path = target.split("?", 1)[0] ?? "";
  return path.includes("\\") || path.split("/").some((segment) => /^(?:\.|%2e){1,2}$/iu.test(segment));
}

/** The pack, flow or run that a path names, for remedies. Only what is plainly an id. */
function namedInPath(path: string): Record<string, string> {
  const match = /^\/api\/(pack|flow|run)s\/([\w.-]{1,160})(?:\/|$)/u.exec(path);
  return match?.[1] === undefined || match[2] === undefined ? {} : { [`${match[1]}_id`]: match[2] };
}

/** Query as plain values; a repeated name becomes a list, which every schema here refuses. @throws ApiError `request.invalid` */
function plainQuery(c: ApiContext): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  const url = c.req.raw.url;
  const at = url.indexOf("?");
  if (at === -1) return plain;
  const search = new URLSearchParams(url.slice(at + 1));
  for (const name of new Set(search.keys())) {
    if (FORBIDDEN_KEYS.has(name)) throw new ApiError("request.invalid", `the query name ${name} is not accepted`);
    const values = search.getAll(name);
    plain[name] = values.length === 1 ? values[0] : values;
  }
  return plain;
}

/** How a part of a request is refused. */
interface PartFault {
  readonly code: "request.invalid" | "request.invalid_id";
  readonly message: string;
}

/** @throws ApiError with the fault's code, or the one that the row has for the first bad field. No text repeats what was sent. */
function parsePart(schema: Schema, value: unknown, fault: PartFault, row: Pick<Route, "confidential" | "faults"> = {}): never {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output as never;
  const fieldOf = (issue: v.BaseIssue<unknown>): string => {
    const key: unknown = issue.path?.[0]?.key;
    return typeof key === "string" ? key : "";
  };
  const first = parsed.issues[0];
  const own = Object.entries(row.faults ?? {}).find(([field]) => field === fieldOf(first))?.[1];
  const issues: RequestIssue[] = parsed.issues.slice(0, 20).map((issue) => ({
    code: own ?? fault.code,
    // The name of an unknown field may be what should have been its value.
    path: row.confidential !== undefined && issue.expected === "never" ? "/?" : pointerTo(issue),
    message: issueText(issue),
  }));
  if (own !== undefined) throw new RumiError(own, `${fieldOf(first)} is not valid`, { details: { issues } });
  throw new ApiError(fault.code, fault.message, { details: { issues } });
}

function pointerTo(issue: v.BaseIssue<unknown>): string {
  return `/${(issue.path ?? []).map((item) => String(item.key).slice(0, 128).replaceAll("~", "~0").replaceAll("/", "~1")).join("/")}`;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

async function within<T>(work: Promise<T>, seconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new ApiError("http.timeout", `no answer within ${seconds} seconds; the work goes on`));
    }, seconds * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
