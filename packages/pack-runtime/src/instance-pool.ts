import { RumiError } from "@rumi/core";
import type { Clock, InFlightCall, Logger } from "@rumi/core";
import { SandboxError } from "@rumi/sandbox";
import type { InstanceEnd, RunResult, RunSpec } from "@rumi/sandbox";
import { PackRuntimeError } from "./errors.ts";
import type { CallOrigin } from "./gateway/ports.ts";
import { concerns } from "./instance-view.ts";
import type { InstanceFilter, InstanceView } from "./instance-view.ts";
import { DEFAULT_POOL_OPTIONS } from "./pool-options.ts";
import type { InstancePoolOptions } from "./pool-options.ts";
import type { InstanceSeed } from "./ports.ts";
import { Seat, seatKey } from "./seat.ts";
import type { LiveInstance, SlotGrant } from "./seat.ts";
import { StartBackoff } from "./start-backoff.ts";
import { startInstance } from "./start-instance.ts";
import type { StartedInstance, StartInstanceDeps } from "./start-instance.ts";

/** How often idle times and ages are looked at. */
const MAINTENANCE_MS = 1_000;

export interface InstancePoolDeps extends StartInstanceDeps {
  /** An instance went away by itself. */
  readonly onLost?: (seed: InstanceSeed, end: InstanceEnd) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Keeps one warm instance per (pack, digest, runtime, authority) and deals out its slots, first come first served.
 * An instance never serves another key. Calls that other calls wait for have a second one when the first is full. A call on a warm instance with a free slot is passed on at once.
 */
export class InstancePool implements AsyncDisposable {
  readonly #deps: InstancePoolDeps;
  readonly #options: Required<InstancePoolOptions>;
  readonly #seats = new Map<string, Seat>();
  readonly #backoff: StartBackoff;
  /** Seats that wait for room to start, first come first served. */
  readonly #wanting: Seat[] = [];
  /** Instances that exist or are being started or removed. */
  #total = 0;
  /** Of them, those being removed. */
  #removing = 0;
  /** Starts and removals under way. */
  readonly #work = new Set<Promise<void>>();
  #stopTick: (() => void) | null = null;
  #closed = false;

  constructor(deps: InstancePoolDeps, options: InstancePoolOptions = {}) {
    this.#deps = deps;
    this.#options = { ...DEFAULT_POOL_OPTIONS, ...options };
    this.#backoff = new StartBackoff(deps.clock);
  }

  /** True when a call with this seed meets an instance that is up. */
  isWarm(seed: InstanceSeed): boolean {
    const live = this.#seats.get(seatKey(seed))?.current;
    return live !== null && live !== undefined;
  }

  /**
   * Runs one call, starting an instance when there is none. With `origin` it counts as in flight for the instance's sockets.
   * Removal of the instance, or abort, ends it as `cancelled`.
   * @throws SandboxError `sandbox.busy` `sandbox.start_failed`, what `beforeStart` and `Sandbox.start` throw;
   * PackRuntimeError `daemon.stopping`
   */
  async run(seed: InstanceSeed, spec: RunSpec, signal: AbortSignal, origin: CallOrigin | null = null): Promise<RunResult> {
    const first = this.#seatFor(seed);
    const seat = isNested(first, origin) ? this.#seatFor(seed, origin?.chain.length) : first;
    const live = seat.takeSlot();
    if (live !== null) return this.#dispatch(live, spec, signal, "warm", origin);
    const grant = await this.#wait(seat, signal);
    if (grant === null) return failedResult("cancelled", "cancelled before it was started");
    return this.#dispatch(grant.live, spec, signal, grant.start, origin);
  }

  /** Starts an instance for `seed` unless one is up. @throws as `run` */
  async prewarm(seed: InstanceSeed): Promise<void> {
    const seat = this.#seatFor(seed);
    if (seat.current !== null) return;
    const grant = await this.#wait(seat, new AbortController().signal);
    if (grant !== null) this.#release(grant.live);
  }

  /** Removes matching instances now; their calls, also waiting ones, end `cancelled`. Resolves with the count when all are gone. */
  async remove(filter: InstanceFilter, reason: string): Promise<number> {
    const gone: Promise<void>[] = [];
    for (const seat of [...this.#seats.values()]) {
      if (concerns(seat.seed, filter)) gone.push(...this.#dropSeat(seat, reason));
    }
    await Promise.all(gone);
    return gone.length;
  }

  /** Matching instances take no further call and leave when theirs have ended. Resolves with the count when all are gone. */
  async drain(filter: InstanceFilter): Promise<number> {
    const gone: Promise<unknown>[] = [];
    for (const seat of [...this.#seats.values()]) {
      if (!concerns(seat.seed, filter)) continue;
      if (seat.starting !== null) seat.outdated = true;
      for (const live of seat.instances()) {
        if (live.state !== "draining") this.#drain(live);
        gone.push(live.instance.gone.then(() => live.removal));
      }
    }
    await Promise.all(gone);
    return gone.length;
  }

  /** Ends all instances and refuses further calls. Idempotent. */
  async close(reason = "the daemon is stopping"): Promise<void> {
    this.#closed = true;
    this.#stopTick?.();
    this.#stopTick = null;
    await this.remove({}, reason);
    await Promise.all(this.#work);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Instances now, in order of their keys. */
  list(): InstanceView[] {
    const views: InstanceView[] = [];
    for (const seat of this.#seats.values()) {
      const { pack_id, digest, runtime, authority } = seat.seed;
      const base = { pack_id, digest, runtime, authority, waiting: seat.waiting };
      for (const live of seat.instances()) {
        views.push({
          ...base,
          id: live.instance.spec.instance_id,
          state: live.state,
          busy: live.busy,
          calls: live.calls,
          started_at: live.instance.started_at,
        });
      }
      if (seat.starting !== null) views.push({ ...base, id: "", state: "starting", busy: 0, calls: 0, started_at: null });
    }
    return views;
  }

  /** `depth`: the seat beside the first one, for calls that others wait for. */
  #seatFor(seed: InstanceSeed, depth?: number): Seat {
    const key = depth === undefined ? seatKey(seed) : `${seatKey(seed)}\n${depth}`;
    const known = this.#seats.get(key);
    if (known !== undefined) return known;
    if (this.#closed) throw new PackRuntimeError("daemon.stopping", "the daemon is stopping");
    const seat = new Seat(key, seed, seed.reuse ? 1 : this.#options.slots);
    this.#seats.set(key, seat);
    return seat;
  }

  #wait(seat: Seat, signal: AbortSignal): Promise<SlotGrant | null> {
    if (seat.inUse >= seat.slots + this.#options.queue) {
      throw new SandboxError(
        "sandbox.busy",
        `pack "${seat.seed.pack_id}" has ${seat.slots} calls running and ${this.#options.queue} waiting`,
      );
    }
    const waitMs = seat.current === null && seat.starting === null ? this.#backoff.waitMs(seat.key) : 0;
    if (waitMs > 0) {
      this.#dropIfUnused(seat);
      throw new SandboxError(
        "sandbox.start_failed",
        `pack "${seat.seed.pack_id}" failed to start repeatedly; next try in ${Math.ceil(waitMs / 1000)} s`,
      );
    }
    const granted = seat.wait(signal, this.#deps.timers, this.#options.queueMs);
    if (seat.current === null && seat.starting === null) this.#wantStart(seat);
    return granted;
  }

  async #dispatch(
    live: LiveInstance,
    given: RunSpec,
    signal: AbortSignal,
    start: SlotGrant["start"],
    origin: CallOrigin | null,
  ): Promise<RunResult> {
    live.calls += 1;
    const { gateway } = live;
    const spec = gateway === null ? given : { ...given, context: { ...given.context, capability_socket: gateway.capabilityPath } };
    const end = gateway === null || origin === null ? null : gateway.begin(inFlight(origin, spec, this.#deps.clock.monotonic()));
    try {
      if (live.pausing !== null) {
        if (!(await this.#resume(live))) return failedResult("instance_lost", "the instance could not be resumed");
        return { ...(await this.#deps.sandbox.run(live.instance, spec, signal)), start: "resumed" };
      }
      if (live.state === "idle") live.state = "busy";
      const result = await this.#deps.sandbox.run(live.instance, spec, signal);
      // The end of the instance may be told just after the end of its call: no one else gets this slot before.
      if (MAY_END_INSTANCE.has(result.kind)) await nextTurn();
      return result.start === start ? result : { ...result, start };
    } finally {
      end?.();
      this.#release(live);
    }
  }

  #release(live: LiveInstance): void {
    const { seat } = live;
    live.busy -= 1;
    live.lastUsedAt = this.#deps.clock.monotonic();
    if (live.state === "draining") {
      if (live.busy === 0) this.#track(this.#removeInstance(live, "drained"));
      return;
    }
    if (live.removal !== null) return;
    if (live.calls >= this.#options.maxCalls || live.lastUsedAt - live.startedAt >= this.#options.maxAgeMs) {
      this.#drain(live);
      return;
    }
    seat.grantWaiting();
    if (live.busy === 0) {
      live.state = "idle";
      if (this.#wanting.length > 0) this.#makeRoom();
    }
  }

  #drain(live: LiveInstance): void {
    const { seat } = live;
    live.state = "draining";
    seat.retire(live);
    if (live.busy === 0) this.#track(this.#removeInstance(live, "drained"));
    else live.stopTimer = this.#deps.timers.after(this.#options.drainMs, () => this.#track(this.#removeInstance(live, "drained")));
    this.#startForWaiting(seat);
  }

  /** Calls that wait need an instance, whatever took theirs away. */
  #startForWaiting(seat: Seat): void {
    if (seat.waiting > 0 && seat.current === null && seat.starting === null && !seat.dropped) this.#wantStart(seat);
  }

  #wantStart(seat: Seat): void {
    seat.starting = new AbortController();
    this.#wanting.push(seat);
    this.#makeRoom();
  }

  /** Starts wanting seats while there is room; else the least recently used idle or paused instances leave. */
  #makeRoom(): void {
    while (this.#wanting.length > 0 && this.#total < this.#options.maxInstances) {
      const seat = this.#wanting.shift();
      if (seat === undefined || seat.dropped) continue;
      if (seat.waiting === 0) {
        seat.starting = null;
        this.#dropIfUnused(seat);
        continue;
      }
      this.#total += 1;
      this.#track(this.#start(seat));
    }
    let needed = this.#wanting.filter((seat) => !seat.dropped).length - this.#removing;
    while (needed > 0) {
      const victim = this.#leastRecentlyUsed();
      if (victim === null) return;
      this.#track(this.#removeInstance(victim, "room is needed"));
      needed -= 1;
    }
  }

  #leastRecentlyUsed(): LiveInstance | null {
    let oldest: LiveInstance | null = null;
    for (const seat of this.#seats.values()) {
      const live = seat.current;
      if (live === null || live.busy > 0 || seat.waiting > 0) continue;
      if (oldest === null || live.lastUsedAt < oldest.lastUsedAt) oldest = live;
    }
    return oldest;
  }

  async #start(seat: Seat): Promise<void> {
    const { seed, starting } = seat;
    if (starting === null) return;
    seat.outdated = false;
    let started: StartedInstance;
    try {
      started = await startInstance(this.#deps, seed, starting, this.#options.startMs);
    } catch (cause) {
      this.#total -= 1;
      seat.starting = null;
      if (!seat.dropped) this.#startFailed(seat, cause);
      this.#makeRoom();
      return;
    }
    seat.starting = null;
    if (seat.dropped || seat.outdated || this.#closed) {
      this.#startForWaiting(seat);
      this.#dropIfUnused(seat);
      await this.#stopQuietly(started);
      this.#total -= 1;
      this.#makeRoom();
      return;
    }
    const { instance, gateway } = started;
    this.#backoff.forget(seat.key);
    const now = this.#deps.clock.monotonic();
    const live: LiveInstance = {
      seat,
      instance,
      gateway,
      state: "idle",
      busy: 0,
      calls: 0,
      startedAt: now,
      lastUsedAt: now,
      removal: null,
      stopTimer: null,
      pausing: null,
    };
    seat.current = live;
    void instance.gone.then((end) => this.#gone(live, end));
    void instance.leaving?.then(() => {
      if (live.removal === null && live.state !== "draining") this.#drain(live);
    });
    this.#tickLater();
    seat.grantWaiting("cold");
    if (live.busy === 0 && this.#wanting.length > 0) this.#makeRoom();
  }

  #startFailed(seat: Seat, cause: unknown): void {
    const error = cause instanceof Error ? cause : new SandboxError("sandbox.start_failed", "the instance could not be started");
    const code = error instanceof RumiError ? error.code : "sandbox.start_failed";
    if (code === "sandbox.start_failed") this.#backoff.failed(seat.key);
    this.#deps.logger.log("warn", "an instance did not start", { pack_id: seat.seed.pack_id, runtime: seat.seed.runtime, code });
    seat.refuseWaiting(error);
    this.#dropIfUnused(seat);
  }

  #gone(live: LiveInstance, end: InstanceEnd): void {
    if (live.removal !== null) return;
    const { seat } = live;
    this.#deps.logger.log("warn", "an instance went away", { pack_id: seat.seed.pack_id, runtime: seat.seed.runtime, kind: end.kind });
    this.#deps.onLost?.(seat.seed, end);
    this.#track(this.#removeInstance(live, end.message));
  }

  /** Takes the instance out of service at once and resolves when nothing of it is left. */
  #removeInstance(live: LiveInstance, reason: string): Promise<void> {
    live.removal ??= this.#endInstance(live, reason);
    return live.removal;
  }

  async #endInstance(live: LiveInstance, reason: string): Promise<void> {
    const { pack_id: packId, runtime } = live.seat.seed;
    this.#deps.logger.log("debug", "an instance is removed", { pack_id: packId, runtime, reason });
    live.stopTimer?.();
    live.seat.forget(live);
    this.#startForWaiting(live.seat);
    this.#dropIfUnused(live.seat);
    this.#removing += 1;
    await this.#stopQuietly(live);
    this.#removing -= 1;
    this.#total -= 1;
    this.#makeRoom();
  }

  #dropSeat(seat: Seat, reason: string): Promise<void>[] {
    seat.dropped = true;
    this.#seats.delete(seat.key);
    this.#backoff.forget(seat.key);
    seat.starting?.abort(new Error(reason));
    seat.cancelWaiting();
    return seat.instances().map((live) => {
      const work = this.#removeInstance(live, reason);
      this.#track(work);
      return work;
    });
  }

  #dropIfUnused(seat: Seat): void {
    if (seat.current !== null || seat.starting !== null || seat.waiting > 0 || seat.instances().length > 0) return;
    seat.dropped = true;
    if (this.#seats.get(seat.key) === seat) this.#seats.delete(seat.key);
  }

  async #stopQuietly({ instance, gateway }: StartedInstance): Promise<void> {
    const closing = gateway?.[Symbol.asyncDispose]();
    try {
      await this.#deps.sandbox.stop(instance);
    } catch (cause) {
      this.#deps.logger.log("error", "an instance could not be removed; the next sweep tries again", { error: String(cause) });
    }
    await closing;
  }

  #track(work: Promise<void>): void {
    this.#work.add(work);
    const done = (): void => {
      this.#work.delete(work);
    };
    work.then(done, done);
  }

  #tickLater(): void {
    this.#stopTick ??= this.#deps.timers.after(MAINTENANCE_MS, () => {
      this.#stopTick = null;
      this.#maintain();
    });
  }

  #maintain(): void {
    const now = this.#deps.clock.monotonic();
    const { idleRemoveMs, pauseMs, maxAgeMs } = this.#options;
    let any = false;
    for (const seat of [...this.#seats.values()]) {
      const live = seat.current;
      if (live === null) continue;
      any = true;
      if (live.busy > 0) {
        if (now - live.startedAt >= maxAgeMs) this.#drain(live);
        continue;
      }
      if (now - live.lastUsedAt >= idleRemoveMs) this.#track(this.#removeInstance(live, "idle"));
      else if (now - live.startedAt >= maxAgeMs) this.#drain(live);
      else if (pauseMs > 0 && live.state === "idle" && now - live.lastUsedAt >= pauseMs) this.#pause(live);
    }
    if (any && !this.#closed) this.#tickLater();
  }

  #pause(live: LiveInstance): void {
    live.state = "paused";
    live.pausing = this.#deps.sandbox.pause(live.instance).then(
      () => true,
      () => {
        this.#track(this.#removeInstance(live, "it could not be paused"));
        return false;
      },
    );
  }

  async #resume(live: LiveInstance): Promise<boolean> {
    const paused = await live.pausing;
    if (paused !== true) return paused === null;
    try {
      await this.#deps.sandbox.resume(live.instance);
      live.pausing = null;
      if (live.state === "paused") live.state = "busy";
      return true;
    } catch {
      this.#track(this.#removeInstance(live, "it could not be resumed"));
      return false;
    }
  }
}

/**
 * A call asked for by others finds every slot taken, perhaps by those that wait for it: waiting in their line might never end.
 * Each depth has a line of its own then, so that whoever waits only waits for calls that are deeper. The one process of a
 * pack that keeps its state is never doubled.
 */
function isNested(seat: Seat, origin: CallOrigin | null): boolean {
  return origin !== null && origin.chain.length > 1 && !seat.seed.reuse && seat.current !== null && !seat.hasRoom;
}

/** Outcomes of a call that may have taken the whole instance with them. */
const MAY_END_INSTANCE: ReadonlySet<RunResult["kind"]> = new Set(["crashed", "oom_killed", "instance_lost", "protocol_error", "timeout"]);

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** `origin` may hold more than a call's facts: only those are kept. */
function inFlight(origin: CallOrigin, spec: RunSpec, now: number): InFlightCall {
  return {
    call_id: spec.call_id,
    run_id: origin.run_id,
    flow_id: origin.flow_id,
    step_id: origin.step_id,
    phase: origin.phase,
    idempotency_key: origin.idempotency_key,
    chain: origin.chain,
    deadline: now + spec.timeout_ms,
  };
}

function failedResult(kind: "cancelled" | "instance_lost", message: string): RunResult {
  return { kind, message, duration_ms: 0, start: "warm", log: { bytes: 0, dropped: 0 } };
}
