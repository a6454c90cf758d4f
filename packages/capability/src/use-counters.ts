import type { JsonObject, PackId, PermissionId } from "@rumi/core";
import { RateLimiter } from "./rate-limiter.ts";

/** The limits that any grant may carry, at one level. */
export interface UseLevel {
  readonly principal: PackId;
  readonly max_uses?: number;
  /** Per UTC day. */
  readonly max_uses_per_day?: number;
  readonly rate_per_minute?: number;
}

/** Counts uses of grants. A count that is lost counts as used up. */
export interface UseCounters {
  /** A grant was made or replaced: its counter exists from now on, and goes on counting if it did. */
  begin(principal: PackId, permission: PermissionId): void;
  /** The grant is gone, and its count with it. */
  forget(principal: PackId, permission: PermissionId): void;
  /** Takes one use from every level, or from none: false when any of them has no use left. */
  take(levels: readonly UseLevel[], permission: PermissionId, nowMs: number): boolean;
  /** Notes a use for the listings. Cheap; the last minute may be lost in a crash. */
  note(principal: PackId, permission: PermissionId, nowMs: number): void;
  lastUsedAt(principal: PackId, permission: PermissionId): number | null;
}

/** What is counted of one grant. */
export interface UseCount {
  readonly total: number;
  /** UTC date of `today`. */
  readonly day: string;
  readonly today: number;
}

/** A grant nobody used yet. */
export const NO_USE: UseCount = { total: 0, day: "", today: 0 };

/** The count after one more use, or null when the level has none left. Undefined: the count was lost. */
export function nextCount(level: UseLevel, count: UseCount | undefined, nowMs: number): UseCount | null {
  if (count === undefined) return null;
  const day = new Date(nowMs).toISOString().slice(0, 10);
  const today = count.day === day ? count.today : 0;
  if (count.total >= (level.max_uses ?? Infinity) || today >= (level.max_uses_per_day ?? Infinity)) return null;
  return { total: count.total + 1, day, today: today + 1 };
}

/** True for a level whose uses are counted on disk. */
export function isCounted(level: UseLevel): boolean {
  return level.max_uses !== undefined || level.max_uses_per_day !== undefined;
}

/** One key per grant. */
export function useKey(principal: PackId, permission: PermissionId): string {
  return `${principal}/${permission}`;
}

/** The limits that `config` sets at the level of `principal`. */
export function useLevel(principal: PackId, config: JsonObject): UseLevel {
  const limits = ["max_uses", "max_uses_per_day", "rate_per_minute"].flatMap((name) => {
    const value = Object.hasOwn(config, name) ? config[name] : undefined;
    return typeof value === "number" ? [[name, value] as const] : [];
  });
  return { principal, ...Object.fromEntries(limits) };
}

/** The rates of several levels: room in all of them, or in none. */
export class LevelRates {
  readonly #rates = new RateLimiter();

  hasRoom(levels: readonly UseLevel[], permission: PermissionId, nowMs: number): boolean {
    return levels.every(
      ({ principal, rate_per_minute }) =>
        rate_per_minute === undefined || this.#rates.hasRoom(useKey(principal, permission), rate_per_minute, nowMs),
    );
  }

  add(levels: readonly UseLevel[], permission: PermissionId, nowMs: number): void {
    for (const { principal, rate_per_minute } of levels) {
      if (rate_per_minute !== undefined) this.#rates.add(useKey(principal, permission), nowMs);
    }
  }
}

/** Counters that live as long as the process. */
export class MemoryUseCounters implements UseCounters {
  readonly #counts = new Map<string, UseCount>();
  readonly #lastUsed = new Map<string, number>();
  readonly #rates = new LevelRates();

  begin(principal: PackId, permission: PermissionId): void {
    const key = useKey(principal, permission);
    this.#counts.set(key, this.#counts.get(key) ?? NO_USE);
  }

  forget(principal: PackId, permission: PermissionId): void {
    this.#counts.delete(useKey(principal, permission));
    this.#lastUsed.delete(useKey(principal, permission));
  }

  take(levels: readonly UseLevel[], permission: PermissionId, nowMs: number): boolean {
    if (!this.#rates.hasRoom(levels, permission, nowMs)) return false;
    const next = levels.filter(isCounted).map((level) => {
      const key = useKey(level.principal, permission);
      return [key, nextCount(level, this.#counts.get(key), nowMs)] as const;
    });
    if (next.some(([, count]) => count === null)) return false;
    for (const [key, count] of next) if (count !== null) this.#counts.set(key, count);
    this.#rates.add(levels, permission, nowMs);
    return true;
  }

  note(principal: PackId, permission: PermissionId, nowMs: number): void {
    this.#lastUsed.set(useKey(principal, permission), nowMs);
  }

  lastUsedAt(principal: PackId, permission: PermissionId): number | null {
    return this.#lastUsed.get(useKey(principal, permission)) ?? null;
  }
}
