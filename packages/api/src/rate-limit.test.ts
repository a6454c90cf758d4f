import { ManualClock } from "@rumi/core/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { SlidingWindow } from "./rate-limit.ts";

test("no window of the given length ever holds more than the limit, and nothing is refused below it", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 200 }), fc.integer({ min: 1, max: 30 }), (steps, limit) => {
      const clock = new ManualClock();
      const window = new SlidingWindow(clock, { limit, windowMs: 100 });
      const taken: number[] = [];
      for (const step of steps) {
        clock.advance(step);
        const now = clock.monotonic();
        const inside = taken.filter((time) => time > now - 100).length;
        const verdict = window.take("k");
        expect(verdict.allowed).toBe(inside < limit);
        if (verdict.allowed) taken.push(now);
      }
    }),
  );
});

test("a table remembers at most 10000 keys", () => {
  const window = new SlidingWindow(new ManualClock(), { limit: 1, windowMs: 1000 });
  expect(window.take("first").allowed).toBe(true);
  expect(window.take("first").allowed).toBe(false);
  for (let n = 0; n < 10_000; n += 1) window.take(`k${n}`);
  expect(window.take("first").allowed).toBe(true);
});
