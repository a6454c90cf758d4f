import type { JsonObject, PackId, PermissionId } from "@rumi/core";

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
  /** Notes a use for the listings. Cheap; may be lost in a crash. */
  note(principal: PackId, permission: PermissionId, nowMs: number): void;
  lastUsedAt(principal: PackId, permission: PermissionId): number | null;
}

/** The limits that `config` sets at the level of `principal`. */
export function useLevel(principal: PackId, config: JsonObject): UseLevel {
  const limits = ["max_uses", "max_uses_per_day", "rate_per_minute"].flatMap((name) => {
    const value = config[name];
    return typeof value === "number" ? [[name, value] as const] : [];
  });
  return { principal, ...Object.fromEntries(limits) };
}

/** Counters that live as long as the process. */
export class MemoryUseCounters implements UseCounters {
  begin(_principal: PackId, _permission: PermissionId): void {}
  forget(_principal: PackId, _permission: PermissionId): void {}
  take(_levels: readonly UseLevel[], _permission: PermissionId, _nowMs: number): boolean {
    return false;
  }
  note(_principal: PackId, _permission: PermissionId, _nowMs: number): void {}
  lastUsedAt(_principal: PackId, _permission: PermissionId): number | null {
    return null;
  }
}
