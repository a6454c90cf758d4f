import { MAX_MESSAGE_BYTES } from "@rumi/wire";
import type { SandboxOutcomeCode } from "./errors.ts";
import type { Instance, InstanceEnd, RunFacts, RunFailed, RunFailureType, RunOk, RunResult } from "./ports.ts";

/** True for a call that ended well. */
export function isRunOk(result: RunResult): result is RunOk {
  return result.kind === "ok";
}

/** The stable code of a call that did not end well. */
export function outcomeCode(result: RunFailed): SandboxOutcomeCode {
  return `sandbox.${result.kind}`;
}

/** A failed result with its message cut to its limit. */
export function failedRun(kind: RunFailureType, message: string, facts: RunFacts): RunFailed {
  return { ...facts, kind, message: clipUtf8(message, MAX_MESSAGE_BYTES) };
}

/** How a call ends whose instance ended while it ran. */
export function failureOfEnd(end: InstanceEnd): RunFailureType {
  return end.kind === "stopped" ? "cancelled" : end.kind;
}

/** `text` cut to at most `maxBytes` of UTF-8, never inside a character; a cut ends in `…`. */
export function clipUtf8(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const bytes = Buffer.from(text).subarray(0, Math.max(0, maxBytes - 3));
  let end = bytes.length;
  while (end > 0 && ((bytes[end - 1] ?? 0) & 0xc0) === 0x80) end -= 1;
  const lead = bytes[end - 1] ?? 0;
  const width = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  const whole = end - 1 + width <= bytes.length ? bytes.length : end - 1;
  return `${bytes.subarray(0, whole).toString()}…`;
}

/** Facts of a call that never reached an instance, or whose instance is gone. */
export function noFacts(durationMs = 0): RunFacts {
  return { duration_ms: durationMs, start: "warm", log: { bytes: 0, dropped: 0 } };
}

/** True while `instance` has not ended. Costs one turn of the microtask queue. */
export async function isAlive(instance: Instance): Promise<boolean> {
  const mark = Symbol("alive");
  return (await Promise.race([instance.gone, Promise.resolve(mark)])) === mark;
}
