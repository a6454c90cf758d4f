import type { SocketOwner } from "@rumi/core";
import type { CapabilityOutcome } from "./ports.ts";

/** How a run ended. */
export type RunEnd =
  | { readonly end: "done"; readonly outcome: CapabilityOutcome }
  | { readonly end: "timeout" }
  /** The instance, its call, or its connection is gone; nobody waits any more. */
  | { readonly end: "gone" }
  | { readonly end: "failed"; readonly cause: unknown };

/** What ends a run before it ends by itself. */
export interface RunLimits {
  readonly timeout_ms: number;
  readonly owner: SocketOwner;
  readonly call_id: string | undefined;
  readonly signal: AbortSignal;
}

/** Runs `work` until it ends, its time is over, or nobody waits. Never throws; what comes later is dropped. */
export function runInTime(work: (ended: AbortSignal) => Promise<CapabilityOutcome>, limits: RunLimits): Promise<RunEnd> {
  const { owner, call_id, signal } = limits;
  if (limits.timeout_ms <= 0) return Promise.resolve({ end: "timeout" });
  if (signal.aborted || owner.gone.aborted) return Promise.resolve({ end: "gone" });
  return new Promise((resolve) => {
    const abort = new AbortController();
    const leave = (): void => finish({ end: "gone" });
    const timer = setTimeout(() => finish({ end: "timeout" }), limits.timeout_ms);
    let forget = (): void => undefined;
    let isOver = false;
    const finish = (end: RunEnd): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      forget();
      signal.removeEventListener("abort", leave);
      owner.gone.removeEventListener("abort", leave);
      resolve(end);
      if (end.end !== "done") abort.abort();
    };
    signal.addEventListener("abort", leave, { once: true });
    owner.gone.addEventListener("abort", leave, { once: true });
    if (call_id !== undefined) forget = owner.onCallEnd(call_id, leave);
    if (isOver) return forget();
    start(work, abort.signal).then(
      (outcome) => finish({ end: "done", outcome }),
      (cause: unknown) => finish({ end: "failed", cause }),
    );
  });
}

/** A power that throws at once fails like one that throws later. */
async function start(work: (ended: AbortSignal) => Promise<CapabilityOutcome>, signal: AbortSignal): Promise<CapabilityOutcome> {
  const outcome: unknown = await work(signal);
  if (typeof outcome !== "object" || outcome === null || !("ok" in outcome)) throw new TypeError("a power answered nothing");
  return outcome as CapabilityOutcome;
}
