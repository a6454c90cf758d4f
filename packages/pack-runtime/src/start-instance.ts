import { SandboxError } from "@rumi/sandbox";
import type { Instance, Sandbox } from "@rumi/sandbox";
import type { Gateway, OpenGateway } from "./gateway/ports.ts";
import type { InstanceSeed, InstanceSpecs, Timers } from "./ports.ts";

export interface StartInstanceDeps {
  readonly sandbox: Sandbox;
  readonly specs: InstanceSpecs;
  /** Gives instances their capability and egress sockets. Absent: they have none. */
  readonly gateway?: Gateway;
  /** Gates that stand before every start (bytes re-hashed, sandbox fit). @throws the refusal as a RumiError */
  readonly beforeStart: (seed: InstanceSeed) => Promise<void>;
  readonly timers: Timers;
}

/** An instance that is up, with its sockets. */
export interface StartedInstance {
  readonly instance: Instance;
  readonly gateway: OpenGateway | null;
}

/**
 * An instance for `seed`, past its gates and ready in `maxMs`. Aborting `abort` gives it up, with nothing left.
 * @throws RumiError of a gate; SandboxError, `sandbox.start_failed` for whatever else went wrong
 */
export async function startInstance(
  deps: StartInstanceDeps,
  seed: InstanceSeed,
  abort: AbortController,
  maxMs: number,
): Promise<StartedInstance> {
  const { signal } = abort;
  const stopTimer = deps.timers.after(maxMs, () => {
    abort.abort(new SandboxError("sandbox.start_failed", `the instance was not ready in ${maxMs / 1000} s`));
  });
  let gateway: OpenGateway | null = null;
  try {
    await deps.beforeStart(seed);
    signal.throwIfAborted();
    const spec = await deps.specs.create(seed);
    signal.throwIfAborted();
    if (deps.gateway === undefined) return { instance: await deps.sandbox.start(spec, signal), gateway };
    const { isolation } = await deps.sandbox.probe();
    gateway = await deps.gateway.open(seed, { id: spec.instance_id, mode: isolation === "none" ? "host_permissive" : "container" });
    signal.throwIfAborted();
    const instance = await deps.sandbox.start({ ...spec, sockets: { ...spec.sockets, ...gateway.sockets } }, signal);
    return { instance, gateway };
  } catch (cause) {
    await gateway?.[Symbol.asyncDispose]();
    throw signal.aborted && signal.reason instanceof SandboxError ? signal.reason : asStartError(cause);
  } finally {
    stopTimer();
  }
}

function asStartError(cause: unknown): Error {
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string" && cause.code.includes(".")) return cause;
  return new SandboxError("sandbox.start_failed", "the instance could not be started", { cause });
}
