import type { PackId, PermissionId } from "@rumi/core";
import { expect, test } from "vitest";
import type { UseCounters, UseLevel } from "../use-counters.ts";

const A = "a" as PackId;
const CHILD = "a__b" as PackId;
const READ = "fs.read" as PermissionId;
const NOON = Date.UTC(2026, 0, 1, 12);
const DAY_MS = 86_400_000;

/** What every adapter of `UseCounters` holds. `open` gives fresh counters. */
export function useCountersContract(open: () => UseCounters & Partial<Disposable>): void {
  const counted = (run: (counters: UseCounters) => void): (() => void) => {
    return () => {
      const counters = open();
      try {
        run(counters);
      } finally {
        counters[Symbol.dispose]?.();
      }
    };
  };
  const times = (counters: UseCounters, levels: readonly UseLevel[], at: readonly number[]): boolean[] =>
    at.map((now) => counters.take(levels, READ, now));

  test(
    "a limit holds over all time, and over a new grant in place of the old",
    counted((counters) => {
      counters.begin(A, READ);
      const levels = [{ principal: A, max_uses: 2 }];
      expect(times(counters, levels, [NOON, NOON + 5 * DAY_MS, NOON])).toEqual([true, true, false]);
      counters.begin(A, READ);
      expect(counters.take(levels, READ, NOON)).toBe(false);
      expect(counters.take([{ principal: A, max_uses: 3 }], READ, NOON)).toBe(true);
    }),
  );

  test(
    "a limit a day starts again with the next day, UTC",
    counted((counters) => {
      counters.begin(A, READ);
      const levels = [{ principal: A, max_uses_per_day: 1 }];
      expect(times(counters, levels, [NOON, NOON + 1, NOON + DAY_MS / 2, NOON + DAY_MS])).toEqual([true, false, true, false]);
    }),
  );

  test(
    "a rate holds over any minute",
    counted((counters) => {
      counters.begin(A, READ);
      const levels = [{ principal: A, rate_per_minute: 2 }];
      expect(times(counters, levels, [NOON, NOON + 59_000, NOON + 59_500, NOON + 60_001, NOON + 60_002])).toEqual([
        true,
        true,
        false,
        true,
        false,
      ]);
    }),
  );

  test(
    "one use is taken from every level, or from none",
    counted((counters) => {
      counters.begin(A, READ);
      counters.begin(CHILD, READ);
      const both = [
        { principal: A, max_uses: 5 },
        { principal: CHILD, max_uses: 1 },
      ];
      expect(times(counters, both, [NOON, NOON, NOON])).toEqual([true, false, false]);
      expect(times(counters, both.slice(0, 1), [NOON, NOON, NOON, NOON, NOON])).toEqual([true, true, true, true, false]);
    }),
  );

  test(
    "a count that is not there is used up; a grant without limits needs none",
    counted((counters) => {
      expect(counters.take([{ principal: A, max_uses: 9 }], READ, NOON)).toBe(false);
      expect(counters.take([{ principal: A, max_uses_per_day: 9 }], READ, NOON)).toBe(false);
      expect(counters.take([{ principal: A }], READ, NOON)).toBe(true);
    }),
  );

  test(
    "a grant that went takes its count along",
    counted((counters) => {
      counters.begin(A, READ);
      counters.take([{ principal: A, max_uses: 1 }], READ, NOON);
      counters.note(A, READ, NOON);
      counters.forget(A, READ);
      expect(counters.lastUsedAt(A, READ)).toBeNull();
      expect(counters.take([{ principal: A, max_uses: 1 }], READ, NOON)).toBe(false);
      counters.begin(A, READ);
      expect(counters.take([{ principal: A, max_uses: 1 }], READ, NOON)).toBe(true);
    }),
  );

  test(
    "principals and permissions are counted apart; the last use is told",
    counted((counters) => {
      for (const id of [A, CHILD]) counters.begin(id, READ);
      expect(counters.take([{ principal: A, max_uses: 1 }], READ, NOON)).toBe(true);
      expect(counters.take([{ principal: CHILD, max_uses: 1 }], READ, NOON)).toBe(true);
      counters.note(A, READ, NOON);
      expect([counters.lastUsedAt(A, READ), counters.lastUsedAt(CHILD, READ)]).toEqual([NOON, null]);
    }),
  );
}
