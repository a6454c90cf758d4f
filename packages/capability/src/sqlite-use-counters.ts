import type { Logger, PackId, PermissionId } from "@rumi/core";
import type { UseCounters, UseLevel } from "./use-counters.ts";

/** Counters in `user_data/permissions/uses.db`; a use is on disk before it is taken. A file that is gone or damaged: limit reached. */
export class SqliteUseCounters implements UseCounters, Disposable {
  /** Never throws: over a damaged file every limited grant is used up. */
  static open(_path: string, _logger: Logger): SqliteUseCounters {
    throw new Error("to be filled in");
  }
  begin(_principal: PackId, _permission: PermissionId): void {}
  forget(_principal: PackId, _permission: PermissionId): void {}
  take(_levels: readonly UseLevel[], _permission: PermissionId, _nowMs: number): boolean {
    return false;
  }
  note(_principal: PackId, _permission: PermissionId, _nowMs: number): void {}
  lastUsedAt(_principal: PackId, _permission: PermissionId): number | null {
    return null;
  }
  [Symbol.dispose](): void {}
}
