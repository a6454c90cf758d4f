import type { Clock, DiagnosticsSink, Logger } from "@rumi/core";
import { SandboxError } from "@rumi/sandbox";
import type { Runtime, Sandbox, SandboxProbe } from "@rumi/sandbox";
import type { Timers } from "./ports.ts";

/** `strict`: only behind whole walls. `permissive`: also behind weak ones, or none, with a warning each time. */
export type SecurityMode = "strict" | "permissive";

/** How often a sandbox that answers is looked at, and leftovers swept. Source: page "Execution", sections 3 and 5. */
export const WATCH_UP_MS = 60_000;
/** First and longest time between two looks at one that does not answer. Source: page "Execution", section 5. */
export const WATCH_DOWN_MIN_MS = 5_000;
export const WATCH_DOWN_MAX_MS = 30_000;

/** The fixed words of `docker_required`. Source: page "HTTP, command line, operations", section 6. */
export const DOCKER_REQUIRED_TEXT = "Docker is required but not available";

/** Why `runtime` may not run now, or null when it may. Pure. */
export function refuseRuntime(probe: SandboxProbe, mode: SecurityMode, runtime: Runtime): SandboxError | null {
  if (!probe.available || (mode === "strict" && probe.isolation !== "container")) {
    return new SandboxError("sandbox.docker_required", DOCKER_REQUIRED_TEXT, { remedy: probe.remedy ?? "rumi doctor" });
  }
  if (mode === "strict" && probe.weaknesses.length > 0) {
    const weak = probe.weaknesses.map((weakness) => weakness.message).join("; ");
    return new SandboxError("sandbox.engine_weak", `the engine cannot give every wall: ${weak}`, { remedy: probe.remedy ?? "rumi doctor" });
  }
  const image = probe.runtimes[runtime];
  if (!image.present) {
    return new SandboxError("sandbox.image_missing", `there is no ${runtime} image "${image.ref}"`, {
      remedy: probe.remedy ?? "rumi doctor",
    });
  }
  return null;
}

export interface SandboxWatchDeps {
  readonly sandbox: Sandbox;
  readonly diagnostics: DiagnosticsSink;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
}

/** Knows whether the sandbox serves: asked before each start, looked at in the background, leftovers swept each minute. */
export class SandboxWatch implements AsyncDisposable {
  readonly #deps: SandboxWatchDeps;
  readonly #mode: SecurityMode;
  #last: SandboxProbe | null = null;
  #downMs = WATCH_DOWN_MIN_MS;
  #stopTimer: (() => void) | null = null;
  #closed = false;

  constructor(deps: SandboxWatchDeps, mode: SecurityMode) {
    this.#deps = deps;
    this.#mode = mode;
  }

  get mode(): SecurityMode {
    return this.#mode;
  }

  /** What was found last; null before the first look. */
  get last(): SandboxProbe | null {
    return this.#last;
  }

  /** Looks now, then again and again until disposed. */
  async start(): Promise<SandboxProbe> {
    const probe = await this.probe({ fresh: true });
    await this.sweep();
    this.#again();
    return probe;
  }

  /** What the sandbox can do now; remembers and reports it. Never throws. */
  async probe(options: { readonly fresh?: boolean } = {}): Promise<SandboxProbe> {
    const probe = await this.#deps.sandbox.probe(options);
    if (probe === this.#last) return probe;
    const was = this.#last;
    this.#last = probe;
    if (was === null || was.available !== probe.available || was.weaknesses.length !== probe.weaknesses.length) this.#report(probe);
    return probe;
  }

  /** Gate 5: the sandbox answers, is whole and has the runtime's image. @throws SandboxError */
  async admit(runtime: Runtime): Promise<void> {
    const refusal = refuseRuntime(await this.probe(), this.#mode, runtime);
    if (refusal !== null) throw refusal;
  }

  /** The engine was seen failing: looks afresh soon. */
  suspect(): void {
    if (this.#closed) return;
    void this.probe({ fresh: true }).then(() => this.#again());
  }

  /** Removes what an earlier daemon left. Returns the count; 0 when the sandbox does not answer. */
  async sweep(): Promise<number> {
    if (this.#last?.available !== true) return 0;
    try {
      const count = await this.#deps.sandbox.sweep();
      if (count > 0) this.#deps.logger.log("info", "leftover instances were removed", { count });
      return count;
    } catch (cause) {
      this.#deps.logger.log("warn", "the sweep of leftover instances failed", { error: String(cause) });
      return 0;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#stopTimer?.();
    this.#stopTimer = null;
    return Promise.resolve();
  }

  #again(): void {
    this.#stopTimer?.();
    if (this.#closed) return;
    const up = this.#last?.available === true;
    const waitMs = up ? WATCH_UP_MS : this.#downMs;
    this.#downMs = up ? WATCH_DOWN_MIN_MS : Math.min(WATCH_DOWN_MAX_MS, this.#downMs * 2);
    this.#stopTimer = this.#deps.timers.after(waitMs, () => {
      void this.probe({ fresh: true })
        .then(() => this.sweep())
        .then(() => this.#again());
    });
  }

  #report(probe: SandboxProbe): void {
    const refusal = refuseRuntime(probe, this.#mode, "python");
    const fault = refusal?.code === "sandbox.image_missing" ? null : refusal;
    this.#deps.logger.log("debug", "the sandbox was looked at", { adapter: probe.adapter, available: probe.available });
    this.#deps.diagnostics.report({
      kind: "sandbox",
      id: probe.adapter,
      status: fault === null ? (probe.isolation === "container" ? "ok" : "degraded") : "failed",
      message: fault?.message ?? (probe.isolation === "container" ? "blocks run isolated" : "blocks run on the host, without walls"),
      ...(fault === null ? {} : { code: fault.code }),
      ...(fault?.remedy === undefined ? {} : { remedy: fault.remedy }),
    });
  }
}
