import type { AuditEvent, AuditSink, Clock, DiagnosticsSink, Logger, PartReport } from "../ports.ts";

/** A clock that moves only when told. */
export class ManualClock implements Clock {
  #now: number;

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  advance(ms: number): void {
    this.#now += ms;
  }
}

/** Keeps audit events in memory, in order. */
export class MemoryAudit implements AuditSink {
  readonly events: AuditEvent[] = [];

  record(event: AuditEvent): Promise<void> {
    this.events.push(event);
    return Promise.resolve();
  }
}

/** Keeps part reports in memory, in order. */
export class MemoryDiagnostics implements DiagnosticsSink {
  readonly reports: PartReport[] = [];

  report(part: PartReport): void {
    this.reports.push(part);
  }
}

/** A logger that says nothing. */
export const silentLogger: Logger = { log: () => undefined };
