import type { Duplex } from "node:stream";
import type { AuditSink, Clock, InstanceCaller, JsonObject, JsonValue, Logger, SocketOwner } from "@rumi/core";
import { isJsonObject } from "@rumi/core";
import { Admission } from "./admission.ts";
import type { OwnAddress } from "./address-rule.ts";
import { closingAnswer, StreamedAnswer, WholeAnswer } from "./answer-sink.ts";
import type { AnswerSink } from "./answer-sink.ts";
import { Connections } from "./connections.ts";
import { systemConnector } from "./dial.ts";
import type { Connector } from "./dial.ts";
import type { Fault } from "./fault.ts";
import { fault, isFault } from "./fault.ts";
import { ForwardProxy } from "./forward-proxy.ts";
import { FrameSession } from "./frame-session.ts";
import { canonicalHost } from "./host-name.ts";
import type { HttpAnswer } from "./http-answer.ts";
import { DEFAULT_EGRESS_OPTIONS } from "./limits.ts";
import type { EgressOptions } from "./limits.ts";
import { Outbound } from "./outbound.ts";
import type { EgressPolicy, Resolver, SecretBroker } from "./ports.ts";
import type { EgressReports } from "./reports.ts";
import { claimedPrincipals, parseMessage } from "./request-message.ts";
import type { EgressMessage, EgressRequest } from "./request-message.ts";
import { RequestAudit, startTrace } from "./request-trace.ts";
import type { RequestTrace } from "./request-trace.ts";
import { Lookups, systemResolver } from "./resolver.ts";
import { Tunnels } from "./tunnels.ts";

export interface EgressProxyDeps {
  readonly policy: EgressPolicy;
  readonly secrets: SecretBroker;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly reports: EgressReports;
  /** Asked anew for every request. */
  readonly ownAddresses: () => readonly OwnAddress[];
  readonly resolver?: Resolver;
  readonly connect?: Connector;
}

/** Makes the requests of packs itself, under every rule of page "Execution", section 9. */
export class EgressProxy implements AsyncDisposable {
  readonly #deps: EgressProxyDeps;
  readonly #options: Required<EgressOptions>;
  readonly #admission: Admission;
  readonly #connections: Connections;
  readonly #outbound: Outbound;
  readonly #tunnels: Tunnels;
  readonly #forward: ForwardProxy;
  readonly #audit: RequestAudit;
  readonly #open = new Set<Duplex>();

  constructor(deps: EgressProxyDeps, options: EgressOptions = {}) {
    this.#deps = deps;
    this.#options = { ...DEFAULT_EGRESS_OPTIONS, ...options };
    const { clock, logger, policy, reports, secrets, ownAddresses, connect = systemConnector, resolver = systemResolver } = deps;
    const lookups = new Lookups({ resolver, clock });
    const audit = new RequestAudit(deps);
    const admission = new Admission({ policy, reports, lookups, ownAddresses, clock }, this.#options);
    this.#audit = audit;
    this.#admission = admission;
    this.#connections = new Connections({ connect });
    this.#outbound = new Outbound({ admission, secrets, connections: this.#connections, logger }, this.#options);
    this.#tunnels = new Tunnels({ admission, policy, secrets, connect, audit, clock, logger }, this.#options);
    this.#forward = new ForwardProxy({ outbound: this.#outbound, tunnels: this.#tunnels, admission, audit, clock, logger }, this.#options);
  }

  /** Owns `connection` from now on: frames, tunnels and the forward proxy. Never throws. */
  serve(connection: Duplex, owner: SocketOwner): void {
    this.#open.add(connection);
    connection.once("close", () => this.#open.delete(connection));
    void new FrameSession(connection, owner, {
      message: (message, session, signal) => this.#message(message, session, owner, signal),
      broken: async (reason) => {
        const caller = owner.caller();
        const no = fault("protocol_error", 1, `Invalid request: ${reason}`);
        await this.#refused(caller, startTrace(caller, "", this.#deps.clock), no);
        return this.#closing(no, "");
      },
    });
  }

  /** One request as a frame would carry it, answered in one piece. Never rejects. */
  async request(message: JsonObject, owner: SocketOwner, signal: AbortSignal): Promise<HttpAnswer> {
    const parsed = parseMessage(message, this.#options);
    const caller = owner.caller(isFault(parsed) ? undefined : parsed.callId);
    await this.#claims(message, caller);
    const trace = startTrace(caller, textOf(message["method"]), this.#deps.clock);
    if (!isFault(parsed) && parsed.kind === "request") return this.#whole(parsed.request, owner, caller, trace, signal);
    const no = isFault(parsed) ? parsed : fault("protocol_error", 1, "Not a request");
    await this.#refused(caller, trace, no);
    return this.#closing(no, textOf(message["url"]));
  }

  /** Closes what is still open. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#open) connection.destroy();
    await this.#connections.close();
  }

  async #message(message: JsonValue, session: FrameSession, owner: SocketOwner, signal: AbortSignal): Promise<void> {
    try {
      const parsed = isJsonObject(message) ? parseMessage(message, this.#options) : fault("protocol_error", 1, "Invalid request");
      const caller = owner.caller(isFault(parsed) ? undefined : parsed.callId);
      const object = isJsonObject(message) ? message : {};
      await this.#claims(object, caller);
      if (isFault(parsed)) {
        const trace = startTrace(caller, textOf(object["method"]), this.#deps.clock);
        await this.#refused(caller, trace, parsed);
        const closing = this.#closing(parsed, textOf(object["url"]));
        await session.send(object["stream"] === true ? { type: "end", ...closing } : closing);
      } else await this.#parsed(parsed, session, owner, caller, signal);
    } catch (error) {
      this.#deps.logger.log("error", "an egress message broke", { error: error instanceof Error ? error.stack : String(error) });
      await session.send(this.#closing(fault("internal_error", 0, "Internal error"), ""));
    }
  }

  async #parsed(
    message: EgressMessage,
    session: FrameSession,
    owner: SocketOwner,
    caller: InstanceCaller,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#deps;
    switch (message.kind) {
      case "check":
        return session.send(this.#check(caller, message.domain, message.port));
      case "request": {
        const trace = startTrace(caller, message.request.method, clock);
        if (!message.stream) return session.send(await this.#whole(message.request, owner, caller, trace, signal));
        const sink = new StreamedAnswer((frame) => session.send(frame));
        const end = await this.#perform(message.request, owner, caller, trace, sink, signal);
        return session.send({ type: "end", ...closingAnswer(this.#ending(trace, end, message.request.url), sink.last, {}, "") });
      }
      case "proxy": {
        if (!this.#options.forwardProxy) return this.#noProxy(session, caller);
        const { connection, head } = session.takeOver();
        return this.#forward.serve(connection, head, owner, message.callId);
      }
      case "tunnel": {
        if (!this.#options.forwardProxy) return this.#noProxy(session, caller);
        const { host, port, callId } = message;
        const { connection, head } = session.takeOver();
        if (head.length > 0) connection.unshift(head);
        return this.#forward.tunnel(connection, { owner, callId, host, port });
      }
    }
  }

  /** May this pack reach that host and port? Asks nobody outside. */
  #check(caller: InstanceCaller, domain: string, port: number): JsonObject {
    const { policy } = this.#deps;
    const { principal, digest } = caller;
    const host = canonicalHost(domain)?.host ?? null;
    // A grant that limits methods still reaches the host with those.
    const method = policy.limits(principal)?.allowed_methods?.[0] ?? "GET";
    const ask = { principal, digest, host: host ?? "", port, method };
    const verdict = host === null ? null : (policy.check?.(ask) ?? policy.decide(ask));
    const reason = verdict?.reason ?? "Domain not in allowed list";
    return { allowed: verdict?.allowed ?? false, reason, pack_id: principal, domain: host ?? domain, port };
  }

  async #whole(
    request: EgressRequest,
    owner: SocketOwner,
    caller: InstanceCaller,
    trace: RequestTrace,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const sink = new WholeAnswer();
    const end = await this.#perform(request, owner, caller, trace, sink, signal);
    return sink.answer(this.#ending(trace, end, request.url));
  }

  async #perform(
    request: EgressRequest,
    owner: SocketOwner,
    caller: InstanceCaller,
    trace: RequestTrace,
    sink: AnswerSink,
    signal: AbortSignal,
  ): Promise<Fault | null> {
    const life = new AbortController();
    const stop = (): void => life.abort();
    for (const one of [signal, owner.gone]) {
      if (one.aborted) stop();
      one.addEventListener("abort", stop, { once: true });
    }
    const end = await this.#outbound.perform(request, caller, trace, sink, life.signal);
    for (const one of [signal, owner.gone]) one.removeEventListener("abort", stop);
    await this.#refused(caller, trace, end);
    return end;
  }

  /** The one entry of a request that is over, and the wait of one that was refused too often. */
  async #refused(caller: InstanceCaller, trace: RequestTrace, end: Fault | null): Promise<void> {
    if (end !== null) await this.#admission.refusalPause(caller.principal);
    await this.#audit.record(trace, end);
  }

  async #claims(message: JsonObject, caller: InstanceCaller): Promise<void> {
    const claimed = claimedPrincipals(message, caller.principal);
    if (claimed.length === 0) return;
    await this.#admission.refusalPause(caller.principal);
    await this.#audit.overridden(caller, claimed);
  }

  async #noProxy(session: FrameSession, caller: InstanceCaller): Promise<void> {
    const no = fault("grant_denied", 6, "Network access denied: the forward proxy is off", { code: "egress.proxy_off" });
    await this.#refused(caller, startTrace(caller, "CONNECT", this.#deps.clock), no);
    await session.send(this.#closing(no, ""));
  }

  #ending(trace: RequestTrace, end: Fault | null, url: string): Parameters<typeof closingAnswer>[0] {
    return { fault: end, url, hops: trace.hops, bytes: trace.bytesRead, ms: this.#deps.clock.monotonic() - trace.startedAt };
  }

  #closing(no: Fault, url: string): HttpAnswer {
    return closingAnswer({ fault: no, url, hops: 0, bytes: 0, ms: 0 }, null, {}, "");
  }
}

function textOf(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}
