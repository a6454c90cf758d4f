import type { Clock, Decision, Digest, ErrorCode, PackId } from "@rumi/core";
import type { ApprovalGate, ApprovedSnapshot } from "./ports.ts";

/** How long a "whole" counts for the start it was asked for. */
const FRESH_MS = 1_000;

interface Check {
  readonly digest: Digest;
  readonly answer: Promise<Decision<object, ErrorCode>>;
  /** Null while under way. */
  endedAt: number | null;
}

/**
 * The gate with one re-hash per start: callers at the same time share it, and the start that follows within a second
 * does not repeat it. A "no" is never kept.
 */
export class SnapshotChecks implements ApprovalGate {
  readonly #gate: ApprovalGate;
  readonly #clock: Clock;
  readonly #checks = new Map<PackId, Check>();

  constructor(deps: { readonly gate: ApprovalGate; readonly clock: Clock }) {
    this.#gate = deps.gate;
    this.#clock = deps.clock;
  }

  gate(packId: PackId, digest?: Digest): Decision<ApprovedSnapshot, ErrorCode> {
    return this.#gate.gate(packId, digest);
  }

  verifySnapshot(packId: PackId, digest: Digest): Promise<Decision<object, ErrorCode>> {
    const known = this.#checks.get(packId);
    if (known !== undefined && known.digest === digest && (known.endedAt === null || this.#clock.monotonic() - known.endedAt < FRESH_MS))
      return known.answer;
    const check: Check = { digest, answer: this.#gate.verifySnapshot(packId, digest), endedAt: null };
    this.#checks.set(packId, check);
    const forget = (): void => {
      if (this.#checks.get(packId) === check) this.#checks.delete(packId);
    };
    check.answer.then((decision) => {
      check.endedAt = this.#clock.monotonic();
      if (!decision.allowed) forget();
    }, forget);
    return check.answer;
  }
}
