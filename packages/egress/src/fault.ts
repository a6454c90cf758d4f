import type { AddressClass } from "./address-class.ts";
import type { EgressErrorType } from "./http-answer.ts";

/** Why a request ends without a whole answer. A value: it is audited like a success. */
export interface Fault {
  readonly fault: EgressErrorType;
  /** The rule of page "Execution", section 9, that said no or broke. */
  readonly rule: number;
  /** What the pack reads. */
  readonly text: string;
  /** The real reason, for operator and audit. */
  readonly reason: string;
  readonly code?: string;
  readonly class?: AddressClass;
  readonly address?: string;
}

/** What the pack reads when an address is not allowed. Source: page "Execution", section 9, rule 8. */
const BLOCKED_TEXT = "Request blocked by security policy";

/** A fault whose reason the pack may read. */
export function fault(type: EgressErrorType, rule: number, text: string, more: Partial<Fault> = {}): Fault {
  return { fault: type, rule, text, reason: text, ...more };
}

/** A fault of policy, whose reason the pack may not read. */
export function blocked(rule: number, reason: string, more: Partial<Fault> = {}): Fault {
  return { fault: "blocked", rule, text: BLOCKED_TEXT, reason, ...more };
}

/** True for a fault. */
export function isFault(value: object): value is Fault {
  return "fault" in value;
}

/** Faults that are a "no" of the house; the others are failures on the way. */
const DENIALS: ReadonlySet<EgressErrorType> = new Set<EgressErrorType>([
  "protocol_error",
  "validation_error",
  "rate_limited",
  "busy",
  "grant_denied",
  "secret_denied",
  "blocked",
  "sni_mismatch",
]);

/** True when the house refused, false when something failed on the way. */
export function isDenial(type: EgressErrorType): boolean {
  return DENIALS.has(type);
}
