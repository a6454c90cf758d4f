import { Buffer } from "node:buffer";
import type { InstanceCaller, Logger } from "@rumi/core";
import type { Admission, Admitted } from "./admission.ts";
import { passAnswer } from "./answer-body.ts";
import type { AnswerSink } from "./answer-sink.ts";
import { ACCEPT_ENCODING } from "./body-coding.ts";
import { noteSent, scrubberOf } from "./bound-host.ts";
import type { Connection, ConnectionAsk, Connections } from "./connections.ts";
import { exchange } from "./exchange.ts";
import type { HopAnswer, HopRequest } from "./exchange.ts";
import type { Fault } from "./fault.ts";
import { blocked, fault, isFault } from "./fault.ts";
import { checkRequestHeaders, hasHeader, headerValue, withoutCredentials } from "./header-rules.ts";
import type { EgressOptions } from "./limits.ts";
import type { SecretBroker } from "./ports.ts";
import type { EgressRequest, HeaderPair, Method } from "./request-message.ts";
import type { RequestTrace } from "./request-trace.ts";
import { traceTarget } from "./request-trace.ts";
import { parseTarget, redirectTarget } from "./target-url.ts";
import type { Target } from "./target-url.ts";

export interface OutboundDeps {
  readonly admission: Admission;
  readonly secrets: SecretBroker;
  readonly connections: Connections;
  readonly logger: Logger;
}

/** What stays the same over the hops of one request. */
interface Journey {
  readonly caller: InstanceCaller;
  readonly request: EgressRequest;
  readonly trace: RequestTrace;
  readonly sink: AnswerSink;
  readonly signal: AbortSignal;
}

/** One hop: its target, and what of the request goes there. */
interface Hop {
  readonly target: Target;
  readonly method: Method;
  /** As the pack wrote them: placeholders unfilled. */
  readonly headers: readonly HeaderPair[];
  readonly body: Uint8Array | null;
  /** False after a redirect, whose target is the server's text: nothing in it is filled. */
  readonly written: boolean;
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Bytes of a redirect's own body that are read so that its connection can serve on. */
const MAX_DRAINED_BYTES = 64 * 1024;

/** Rules 3 to 12 for one request. Rules 1 and 2 are its message's. */
export class Outbound {
  readonly #deps: OutboundDeps;
  readonly #options: Required<EgressOptions>;

  constructor(deps: OutboundDeps, options: Required<EgressOptions>) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Carries `request` out. Null when the whole answer went into `sink`. Never rejects. */
  async perform(
    request: EgressRequest,
    caller: InstanceCaller,
    trace: RequestTrace,
    sink: AnswerSink,
    given: AbortSignal,
  ): Promise<Fault | null> {
    try {
      return await this.#judged(request, caller, trace, sink, given);
    } catch (error) {
      this.#deps.logger.log("error", "an egress request broke", { error: error instanceof Error ? error.stack : String(error) });
      return fault("internal_error", 0, "Internal error");
    }
  }

  async #judged(
    request: EgressRequest,
    caller: InstanceCaller,
    trace: RequestTrace,
    sink: AnswerSink,
    given: AbortSignal,
  ): Promise<Fault | null> {
    const target = parseTarget(request.url);
    if (isFault(target)) return target;
    traceTarget(trace, target);
    const badHeader = checkRequestHeaders(request.headers);
    if (badHeader !== null) return badHeader;
    const place = this.#deps.admission.take(caller.principal);
    if (isFault(place)) return place;
    const life = new AbortController();
    let timedOut = false;
    const stop = (): void => life.abort();
    const late = (): void => {
      timedOut = true;
      life.abort();
    };
    const timer = setTimeout(late, request.timeoutMs);
    given.addEventListener("abort", stop, { once: true });
    if (given.aborted) stop();
    const cut = (): Fault => (timedOut ? fault("timeout", 9, "The request timed out") : fault("cancelled", 9, "Cancelled"));
    try {
      const end = await this.#hops({ caller, request, trace, sink, signal: life.signal }, firstHop(request, caller, target));
      return end !== null && life.signal.aborted ? cut() : end;
    } catch (error) {
      if (life.signal.aborted) return cut();
      throw error;
    } finally {
      clearTimeout(timer);
      given.removeEventListener("abort", stop);
      // Whatever is still open of it (a connection that is being made, a body half read) goes.
      life.abort();
      place.release();
    }
  }

  async #hops(journey: Journey, first: Hop): Promise<Fault | null> {
    const { caller, request, trace } = journey;
    for (let hop = first; ;) {
      const end = await this.#hop(journey, hop);
      if (end === null || isFault(end)) return end;
      if (trace.hops >= request.maxRedirects) return fault("too_many_redirects", 10, `More than ${request.maxRedirects} redirects`);
      trace.hops++;
      // A part of a secret that is cut off in the audit log would not be known for one.
      const scrubber = scrubberOf(this.#deps.secrets, caller.principal, end.target);
      traceTarget(trace, end.target, (path) => scrubber?.text(path) ?? path);
      hop = end;
    }
  }

  /** Rules 6 to 12 for one hop: the next hop, null when the answer was given, or what ended it. */
  async #hop(journey: Journey, hop: Hop): Promise<Hop | Fault | null> {
    const { caller, trace, request, signal } = journey;
    const { admission } = this.#deps;
    const { target } = hop;
    const wish = { host: target.host, literal: target.literal, port: target.port, method: hop.method };
    const admitted = admission.admit(caller, wish, trace);
    if (isFault(admitted)) return admitted;
    const brokered = await this.#broker(journey, hop, admitted);
    if (isFault(brokered)) return brokered;
    const addresses = await admission.addresses(caller, wish, admitted, trace, signal);
    if (isFault(addresses)) return addresses;
    const ask = { principal: caller.principal, target, addresses, connectMs: request.connectMs };
    const sent = await this.#send(ask, brokered, trace, signal);
    if (isFault(sent)) return sent;
    const { answer, connection } = sent;
    trace.status = answer.status;
    trace.class = addresses.find(({ address }) => address === connection.address)?.class ?? null;
    const scrubber = scrubberOf(this.#deps.secrets, caller.principal, target);
    // What a host with a secret answers may hold it, and must not reach another one unsearched.
    const next = nextHop(request, hop, answer, brokered.keys.length > 0 || scrubber !== null);
    if (next !== null) {
      if (isFault(next) || !(await drained(answer))) connection.destroy();
      else connection.release();
      return next;
    }
    const way = {
      method: hop.method,
      hops: trace.hops,
      finalUrl: target.url,
      maxBytes: this.#options.maxResponseBytes,
      scrubber,
      count: (bytes: number): void => void (trace.bytesRead += bytes),
    };
    let end: Fault | null = null;
    let whole = false;
    try {
      end = await passAnswer(answer, way, journey.sink);
      whole = end === null;
    } finally {
      // What was not read to its end would stand before the next answer.
      if (whole) connection.release();
      else {
        answer.body.destroy();
        connection.destroy();
      }
    }
    return end;
  }

  /** Rule 9, and the head of the answer. A connection that comes back is the caller's to release. */
  async #send(
    ask: ConnectionAsk,
    { request, keys }: { readonly request: HopRequest; readonly keys: readonly string[] },
    trace: RequestTrace,
    signal: AbortSignal,
  ): Promise<{ readonly answer: HopAnswer; readonly connection: Connection } | Fault> {
    const { connections, secrets } = this.#deps;
    const taken = await connections.take(ask, signal);
    if (isFault(taken)) return taken;
    trace.address = taken.address;
    trace.bytesSent += request.body?.length ?? 0;
    noteSent(secrets, ask.principal, taken.address, keys);
    const answer = await exchange(taken, request, signal);
    if (!isFault(answer)) return { answer, connection: taken };
    taken.destroy();
    const harmless = request.method === "GET" || request.method === "HEAD";
    if (taken.fresh || !harmless || answer.fault !== "connection_lost" || signal.aborted) return answer;
    // The server closed the kept connection just as it was used: nothing was answered.
    const again = await connections.open(ask, signal);
    if (isFault(again)) return again;
    trace.address = again.address;
    noteSent(secrets, ask.principal, again.address, keys);
    const second = await exchange(again, request, signal);
    if (!isFault(second)) return { answer: second, connection: again };
    again.destroy();
    return second;
  }

  /** Rule 7: the request with its placeholders filled. */
  async #broker(
    { caller, request, trace }: Journey,
    hop: Hop,
    admitted: Admitted,
  ): Promise<{ readonly request: HopRequest; readonly keys: readonly string[] } | Fault> {
    const { secrets } = this.#deps;
    const { target } = hop;
    const parts = { target: hop.written ? target.path : "/", headers: hop.headers, body: hop.body };
    const keys = secrets.keys(parts);
    // Pieces of an answer could be smaller than what is searched for in it.
    if (hasHeader(hop.headers, "range") && (keys.length > 0 || scrubberOf(secrets, caller.principal, target) !== null)) {
      return fault("secret_denied", 7, "Range is not allowed where secrets are brokered");
    }
    let filled = parts;
    if (keys.length > 0) {
      trace.secretKeys = keys;
      if (admitted.report) {
        const reason = trace.wouldDeny ?? "No network grant for this pack";
        return fault("grant_denied", 7, `Network access denied: ${reason}`, { reason: "a report brokers nothing" });
      }
      const ask = { principal: caller.principal, host: target.host, port: target.port, secure: target.scheme === "https" || admitted.pair };
      // oxlint-disable-next-line unicorn/no-array-fill-with-reference-type -- a broker is no array
      const answer = await secrets.fill(ask, parts);
      if (!answer.allowed) return fault("secret_denied", 7, answer.error, { reason: answer.reason });
      filled = { target: answer.parts.target, headers: answer.parts.headers, body: answer.parts.body };
      trace.secretKeys = answer.keys;
    }
    return {
      request: {
        method: hop.method,
        path: hop.written ? filled.target : target.path,
        headers: [...filled.headers, ["accept-encoding", ACCEPT_ENCODING]],
        body: filled.body,
        readMs: request.readMs,
      },
      keys,
    };
  }
}

function firstHop(request: EgressRequest, caller: InstanceCaller, target: Target): Hop {
  const key = caller.call?.idempotency_key;
  const headers =
    request.idempotent && key !== undefined && !hasHeader(request.headers, "idempotency-key")
      ? [...request.headers, ["Idempotency-Key", key] as const]
      : request.headers;
  return { target, method: request.method, headers, body: request.body, written: true };
}

/** Rule 10: where this answer leads; null when it is the pack's to see. `bound`: a secret is, or was, the host's to have. */
function nextHop(request: EgressRequest, hop: Hop, answer: HopAnswer, bound: boolean): Hop | Fault | null {
  if (request.maxRedirects === 0 || !REDIRECTS.has(answer.status)) return null;
  if (hop.method !== "GET" && hop.method !== "HEAD") return null;
  const location = headerValue(answer.headers, "location");
  if (location === undefined) return null;
  const target = redirectTarget(hop.target, Buffer.from(location, "latin1").toString("utf8"));
  if (isFault(target)) return bound ? null : target;
  const same = target.origin === hop.target.origin;
  if (bound && !same) return null;
  if (hop.target.scheme === "https" && target.scheme === "http") return blocked(10, "a redirect leads from https to http");
  const headers = same ? hop.headers : withoutCredentials(hop.headers);
  return { target, method: hop.method, headers, body: same ? hop.body : null, written: false };
}

/** Reads the rest of a redirect's own body, if it is short. */
async function drained(answer: HopAnswer): Promise<boolean> {
  let bytes = 0;
  try {
    for await (const chunk of answer.body) {
      bytes += (chunk as Uint8Array).length;
      if (bytes > MAX_DRAINED_BYTES) return false;
    }
    return true;
  } catch {
    return false;
  }
}
