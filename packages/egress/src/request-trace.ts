import type { AuditSink, Clock, InstanceCaller, JsonValue, Logger } from "@rumi/core";
import type { AddressClass } from "./address-class.ts";
import type { Fault } from "./fault.ts";
import { isDenial } from "./fault.ts";
import { MAX_AUDIT_PATH } from "./limits.ts";
import type { Target } from "./target-url.ts";

/** What is known of one request when it ends, for its one audit entry. */
export interface RequestTrace {
  readonly caller: InstanceCaller;
  readonly startedAt: number;
  method: string;
  scheme: string | null;
  host: string | null;
  port: number | null;
  path: string | null;
  class: AddressClass | null;
  address: string | null;
  hops: number;
  status: number | null;
  bytesRead: number;
  bytesSent: number;
  secretKeys: readonly string[];
  /** A running report let it pass. */
  wouldDeny: string | null;
  remedy: string | null;
}

/** A trace of a request that has not been looked at yet. */
export function startTrace(caller: InstanceCaller, method: string, clock: Clock): RequestTrace {
  return {
    caller,
    startedAt: clock.monotonic(),
    method: method.slice(0, 16),
    scheme: null,
    host: null,
    port: null,
    path: null,
    class: null,
    address: null,
    hops: 0,
    status: null,
    bytesRead: 0,
    bytesSent: 0,
    secretKeys: [],
    wouldDeny: null,
    remedy: null,
  };
}

/** Notes where a request goes: its path without the query, placeholders as written. `shown`: what may be kept of a server's words. */
export function traceTarget(trace: RequestTrace, target: Target, shown = (path: string): string => path): void {
  trace.scheme = target.scheme;
  trace.host = target.host;
  trace.port = target.port;
  trace.path = shown(target.path.split("?", 1)[0] ?? "").slice(0, MAX_AUDIT_PATH);
}

/** Writes the entries of requests: one in `network` each, a denial also in `security`. */
export class RequestAudit {
  readonly #audit: AuditSink;
  readonly #clock: Clock;
  readonly #logger: Logger;

  constructor(deps: { readonly audit: AuditSink; readonly clock: Clock; readonly logger: Logger }) {
    this.#audit = deps.audit;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
  }

  /** Resolves when a denial is on disk. Never rejects: a denial stays one without its entry. */
  async record(trace: RequestTrace, fault: Fault | null): Promise<void> {
    const denied = fault !== null && isDenial(fault.fault);
    const { caller } = trace;
    const event = {
      success: fault === null,
      severity: denied ? "warning" : "info",
      owner_pack: caller.principal,
      digest: caller.digest,
      execution_mode: caller.execution_mode,
      ...(caller.call === null
        ? {}
        : { flow_id: caller.call.flow_id, step_id: caller.call.step_id, phase: caller.call.phase, run_id: caller.call.run_id }),
      ...(fault === null ? {} : { error: fault.text, error_type: fault.fault }),
      ...(denied ? { rejection_reason: fault.reason } : {}),
      details: this.#details(trace, fault, denied),
    } as const;
    await this.#write({ category: "network", action: "network_request", ...event });
    if (denied) await this.#write({ category: "security", action: "network_denied", ...event });
  }

  /** A message that claimed to come from another principal. */
  async overridden(caller: InstanceCaller, claimed: readonly string[]): Promise<void> {
    await this.#write({
      category: "security",
      severity: "warning",
      action: "principal_id_overridden",
      success: false,
      owner_pack: caller.principal,
      digest: caller.digest,
      details: { socket: "egress", members: [...claimed] },
    });
  }

  #details(trace: RequestTrace, fault: Fault | null, denied: boolean): { readonly [key: string]: JsonValue | undefined } {
    return {
      method: trace.method,
      scheme: trace.scheme,
      host: trace.host,
      port: trace.port,
      path: trace.path,
      decision: denied ? "denied" : "allowed",
      rule: fault?.rule,
      code: fault?.code,
      class: fault?.class ?? trace.class,
      address: fault?.address ?? trace.address,
      hops: trace.hops,
      status: trace.status,
      bytes_read: trace.bytesRead,
      bytes_sent: trace.bytesSent,
      latency_ms: Math.round((this.#clock.monotonic() - trace.startedAt) * 10) / 10,
      secret_keys: trace.secretKeys.length === 0 ? undefined : [...trace.secretKeys],
      would_deny: trace.wouldDeny ?? undefined,
      remedy: denied ? (trace.remedy ?? undefined) : undefined,
    };
  }

  async #write(event: Parameters<AuditSink["record"]>[0]): Promise<void> {
    try {
      await this.#audit.record(event);
    } catch (error) {
      this.#logger.log("error", "an egress audit entry could not be kept", { action: event.action, error: String(error) });
    }
  }
}
