import type { JsonValue } from "./json.ts";

/** Time as a collaborator. Tests pass a manual clock. */
export interface Clock {
  /** Wall clock, ms since the epoch. */
  now(): number;
  /** Monotonic milliseconds, for durations and deadlines. */
  monotonic(): number;
}

/** Random bytes as a collaborator. */
export interface Random {
  /** `count` random bytes in lower-case hex. */
  hex(count: number): string;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

/** The daemon's own log. Never gets block output, secrets or host paths of packs. */
export interface Logger {
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** The audit categories; there are no others. */
export const AUDIT_CATEGORIES = [
  "flow_execution",
  "modifier_application",
  "python_file_call",
  "approval",
  "permission",
  "network",
  "security",
  "system",
] as const;
export type AuditCategory = (typeof AUDIT_CATEGORIES)[number];
export type AuditSeverity = "info" | "warning" | "error" | "critical";

/** Where a block ran. */
export type ExecutionMode = "container" | "host_permissive" | "rejected";

/** One thing that happened. Values of secrets and stores never appear here. */
export interface AuditEvent {
  readonly category: AuditCategory;
  readonly severity?: AuditSeverity;
  readonly action: string;
  readonly success: boolean;
  readonly flow_id?: string;
  readonly step_id?: string;
  readonly phase?: string;
  readonly owner_pack?: string;
  readonly modifier_id?: string;
  readonly run_id?: string;
  readonly digest?: string;
  readonly error?: string;
  readonly error_type?: string;
  readonly rejection_reason?: string;
  readonly execution_mode?: ExecutionMode;
  readonly details?: { readonly [key: string]: JsonValue | undefined };
}

/**
 * Where events are recorded. Resolves for `approval`, `permission` and `security` once the entry is on disk;
 * for others once it is queued among no more than some thousand (written within 200 ms).
 */
export interface AuditSink {
  /** @throws RumiError `audit.unavailable` when a durable category cannot be written: the action must not happen. */
  record(event: AuditEvent): Promise<void>;
}

export type PartStatus = "ok" | "degraded" | "disabled" | "failed";

/** How one part is now; kept by kind + id, newest wins. */
export interface PartReport {
  readonly kind: string;
  readonly id: string;
  readonly status: PartStatus;
  readonly code?: string;
  readonly message: string;
  readonly remedy?: string;
}

/** Where parts say how they are (fail soft: a broken part is reported, everything else goes on). */
export interface DiagnosticsSink {
  report(part: PartReport): void;
}

/** Wall and monotonic time of this machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/** UTC ISO time with milliseconds and `Z`. */
export function isoTime(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
