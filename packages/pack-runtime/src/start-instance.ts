import { SandboxError } from "@rumi/sandbox";
import type { Instance, Sandbox } from "@rumi/sandbox";
import type { InstanceSeed, InstanceSpecs, Timers } from "./ports.ts";

export interface StartInstanceDeps {
  readonly sandbox: Sandbox;
  readonly specs: InstanceSpecs;
  /** Gates that stand before every start (bytes re-hashed, sandbox fit). @throws the refusal as a RumiError */
  readonly beforeStart: (seed: InstanceSeed) => Promise<void>;
  readonly timers: Timers;
}

/**
 * An instance for `seed`, past its gates and ready in `maxMs`. Aborting `abort` gives it up, with nothing left.
 * @throws RumiError of a gate; SandboxError, `sandbox.start_failed` for whatever else went wrong
 */
export async function startInstance(deps: StartInstanceDeps, seed: InstanceSeed, abort: AbortController, maxMs: number): Promise<Instance> {
  const { signal } = abort;
  const stopTimer = deps.timers.after(maxMs, () => {
    abort.abort(new SandboxError("sandbox.start_failed", `the instance was not ready in ${maxMs / 1000} s`));
  });
  try {
    await deps.beforeStart(seed);
    signal.throwIfAborted();
    const spec = await deps.specs.create(seed);
    signal.throwIfAborted();
    return await deps.sandbox.start(spec, signal);
  } catch (cause) {
    throw signal.aborted && signal.reason instanceof SandboxError ? signal.reason : asStartError(cause);
  } finally {
    stopTimer();
  }
}

function asStartError(cause: unknown): Error {
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string" && cause.code.includes(".")) return cause;
  return new SandboxError("sandbox.start_failed", "the instance could not be started", { cause });
}
