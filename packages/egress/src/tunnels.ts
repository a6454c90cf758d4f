import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import type { Clock, InstanceCaller, Logger, SocketOwner } from "@rumi/core";
import type { Admission, Wish } from "./admission.ts";
import { scrubberOf } from "./bound-host.ts";
import { callLife } from "./call-life.ts";
import { readFirstFlight } from "./client-hello.ts";
import type { FirstFlight } from "./client-hello.ts";
import { dialFirst } from "./dial.ts";
import type { Connector } from "./dial.ts";
import type { Fault } from "./fault.ts";
import { fault, isFault } from "./fault.ts";
import { canonicalHost } from "./host-name.ts";
import type { CanonicalHost } from "./host-name.ts";
import { FIRST_FLIGHT_BYTES, FIRST_FLIGHT_MS, MAX_TUNNEL_BYTES, TUNNEL_IDLE_MS } from "./limits.ts";
import type { EgressOptions } from "./limits.ts";
import type { EgressPolicy, SecretBroker } from "./ports.ts";
import { startTrace } from "./request-trace.ts";
import type { RequestAudit, RequestTrace } from "./request-trace.ts";
import { splice } from "./splice.ts";

/** Where a tunnel leads, and for whom. */
export interface TunnelAsk {
  readonly owner: SocketOwner;
  readonly callId: string | undefined;
  readonly host: string;
  readonly port: number;
}

/** The tunnel's client, in the words of its protocol. */
export interface TunnelClient {
  /** Says no, or says yes; afterwards `stream` carries the tunnel's bytes. */
  answer(fault: Fault | null): void;
  readonly stream: Duplex;
  /** Serves plain HTTP that begins with `head`, each request under all rules, its host the tunnel's. */
  http(head: Buffer, tunnel: { readonly host: string; readonly port: number }): void;
}

export interface TunnelDeps {
  readonly admission: Admission;
  readonly policy: EgressPolicy;
  readonly secrets: SecretBroker;
  readonly connect: Connector;
  readonly audit: RequestAudit;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Fatal alert `access_denied` in a plaintext record. Source: RFC 8446, sections 5.1 and 6.2. */
const ACCESS_DENIED_ALERT = Buffer.from([21, 3, 3, 0, 2, 2, 49]);

/** What a client that speaks neither TLS nor HTTP is answered with. */
const NEITHER = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/** How long a wrong server name is held against its call. */
const MISMATCH_MS = 60_000;
const MAX_MISMATCHES = 1000;

/** Tunnels: rules 3, 5, 6 and 8, then a first flight that must name the tunnel's own host. */
export class Tunnels {
  readonly #deps: TunnelDeps;
  readonly #options: Required<EgressOptions>;
  readonly #mismatches = new Map<string, number>();

  constructor(deps: TunnelDeps, options: Required<EgressOptions>) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Serves one tunnel to its end. Never rejects. */
  async serve(ask: TunnelAsk, client: TunnelClient): Promise<void> {
    const caller = ask.owner.caller(ask.callId);
    const trace = startTrace(caller, "CONNECT", this.#deps.clock);
    client.stream.on("error", () => undefined);
    using life = callLife(ask.owner, ask.callId);
    let end: Fault | null;
    try {
      end = await this.#serve(ask, caller, trace, client, life.signal);
    } catch (error) {
      this.#deps.logger.log("error", "an egress tunnel broke", { error: error instanceof Error ? error.stack : String(error) });
      client.stream.destroy();
      end = fault("internal_error", 0, "Internal error");
    }
    await this.#deps.audit.record(trace, end);
  }

  async #serve(
    ask: TunnelAsk,
    caller: InstanceCaller,
    trace: RequestTrace,
    client: TunnelClient,
    signal: AbortSignal,
  ): Promise<Fault | null> {
    const { admission } = this.#deps;
    const refuse = async (end: Fault): Promise<Fault> => {
      await admission.refusalPause(caller.principal);
      client.answer(end);
      return end;
    };
    trace.scheme = "tunnel";
    const host = canonicalHost(ask.host);
    if (host === null) return refuse(fault("validation_error", 3, "The tunnel has no valid host"));
    trace.host = host.host;
    trace.port = ask.port;
    const place = admission.take(caller.principal);
    if (isFault(place)) return refuse(place);
    try {
      const wish = { host: host.host, literal: host.kind !== "name", port: ask.port, method: null };
      const admitted = this.#barred(caller, wish) ?? admission.admit(caller, wish, trace);
      if (isFault(admitted)) return await refuse(admitted);
      const addresses = await admission.addresses(caller, wish, admitted, trace, signal);
      if (isFault(addresses)) return await refuse(addresses);
      const connectMs = this.#options.connectTimeoutMs;
      const dialled = await dialFirst(this.#deps.connect, { addresses, port: ask.port, connectMs }, signal);
      if (isFault(dialled)) return await refuse(dialled);
      trace.address = dialled.address;
      const upstream = dialled.socket;
      upstream.pause();
      client.answer(null);
      const first = await firstFlight(client.stream, signal);
      if (first === null) {
        upstream.destroy();
        client.stream.destroy();
        return fault("cancelled", 9, "The client left before it said anything");
      }
      if (first.flight.kind === "http") {
        upstream.destroy();
        place.release();
        client.http(first.bytes, { host: host.host, port: ask.port });
        return null;
      }
      const wrong = this.#judge(first.flight, host, caller, ask.port);
      if (wrong !== null) {
        upstream.destroy();
        client.stream.end(first.flight.kind === "hello" || first.flight.kind === "bad_hello" ? ACCESS_DENIED_ALERT : NEITHER);
        return wrong;
      }
      client.stream.unshift(first.bytes);
      const passed = await splice(client.stream, upstream, { maxBytes: MAX_TUNNEL_BYTES, idleMs: TUNNEL_IDLE_MS }, signal);
      trace.bytesSent = passed.sent;
      trace.bytesRead = passed.received;
      return passed.ended === "too_much" ? fault("response_too_large", 11, `More than ${MAX_TUNNEL_BYTES} bytes one way`) : null;
    } finally {
      place.release();
    }
  }

  /** What keeps a tunnel away from a host to which requests may go. */
  #barred(caller: InstanceCaller, { host, literal, port }: Pick<Wish, "host" | "literal" | "port">): Fault | null {
    const { policy, secrets } = this.#deps;
    const methods = policy.limits(caller.principal)?.allowed_methods ?? null;
    if (methods !== null) {
      return fault("grant_denied", 6, "Network access denied: no tunnel where methods are limited", { code: "egress.tunnel_methods" });
    }
    if (scrubberOf(secrets, caller.principal, { host, literal }) !== null) {
      return fault("grant_denied", 7, "Network access denied: no tunnel to a host that secrets are bound to");
    }
    const until = this.#mismatches.get(mismatchKey(caller, host, port));
    if (until === undefined || until <= this.#deps.clock.monotonic()) return null;
    return fault("sni_mismatch", 9, "The TLS server name was not the tunnel's host");
  }

  /** Why this first flight may not go on; null when it may. */
  #judge(flight: FirstFlight, host: CanonicalHost, caller: InstanceCaller, port: number): Fault | null {
    if (flight.kind === "other" || flight.kind === "more" || flight.kind === "http") {
      return fault("protocol_error", 9, "A tunnel carries TLS or HTTP");
    }
    const named = flight.kind === "hello" && flight.sni !== null ? (canonicalHost(flight.sni)?.host ?? "") : null;
    // An address has no server name (RFC 6066, section 3), and stands for itself alone.
    const right = flight.kind === "hello" && !flight.ech && (named === host.host || (named === null && host.kind !== "name"));
    if (right) return null;
    const key = mismatchKey(caller, host.host, port);
    this.#mismatches.delete(key);
    this.#mismatches.set(key, this.#deps.clock.monotonic() + MISMATCH_MS);
    if (this.#mismatches.size > MAX_MISMATCHES) {
      const [oldest] = this.#mismatches.keys();
      if (oldest !== undefined) this.#mismatches.delete(oldest);
    }
    const reason =
      flight.kind === "bad_hello" ? "no valid ClientHello" : flight.ech ? "the server name is encrypted" : `SNI ${named ?? "absent"}`;
    return fault("sni_mismatch", 9, "The TLS server name was not the tunnel's host", { reason });
  }
}

function mismatchKey(caller: InstanceCaller, host: string, port: number): string {
  return `${caller.instance_id} ${caller.call?.call_id ?? ""} ${host} ${port}`;
}

/**
 * The first bytes of a stream, as many as it takes to judge them; null when it ended, or its call did, before that. The stream is
 * paused afterwards.
 */
function firstFlight(stream: Duplex, signal: AbortSignal): Promise<{ readonly bytes: Buffer; readonly flight: FirstFlight } | null> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const settle = (flight: FirstFlight | null): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", over);
      stream.removeListener("data", take);
      stream.removeListener("end", over);
      stream.removeListener("close", over);
      stream.pause();
      resolve(flight === null ? null : { bytes: Buffer.concat(chunks), flight });
    };
    const over = (): void => settle(null);
    const take = (chunk: Buffer): void => {
      chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      const flight = readFirstFlight(bytes);
      if (flight.kind !== "more") settle(flight);
      else if (bytes.length > FIRST_FLIGHT_BYTES) settle({ kind: "bad_hello" });
    };
    const timer = setTimeout(settle, FIRST_FLIGHT_MS, { kind: "more" });
    signal.addEventListener("abort", over, { once: true });
    stream.once("end", over);
    stream.once("close", over);
    stream.on("data", take);
    if (stream.destroyed || signal.aborted) over();
    else stream.resume();
  });
}
