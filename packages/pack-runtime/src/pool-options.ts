/** Life times and counts of instances. Source of the defaults: page "Execution", section 5. */
export interface InstancePoolOptions {
  /** Calls at once per instance (1 with `reuse`). */
  readonly slots?: number;
  /** Calls waiting per key before `busy`. */
  readonly queue?: number;
  /** Longest wait for a slot. */
  readonly queueMs?: number;
  /** An instance must be ready in this time. */
  readonly startMs?: number;
  /** Instances in all. */
  readonly maxInstances?: number;
  /** Idle instances are removed after this. */
  readonly idleRemoveMs?: number;
  /** Idle instances are paused after this; 0 = never. */
  readonly pauseMs?: number;
  /** An instance takes no further call after so many, or after `maxAgeMs`. */
  readonly maxCalls?: number;
  readonly maxAgeMs?: number;
  /** A draining instance is removed at 0 calls, or after this. */
  readonly drainMs?: number;
}

/** What holds when nothing is said. */
export const DEFAULT_POOL_OPTIONS: Required<InstancePoolOptions> = {
  slots: 4,
  queue: 64,
  queueMs: 30_000,
  startMs: 20_000,
  maxInstances: 32,
  idleRemoveMs: 900_000,
  pauseMs: 0,
  maxCalls: 10_000,
  maxAgeMs: 6 * 3_600_000,
  drainMs: 120_000,
};
