import type { PackId } from "@rumi/core";
import { ManualClock } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { RequestPace } from "./request-pace.ts";

const A = "a" as PackId;
const B = "b" as PackId;

test("X68 a window slides: a place is free again a minute after it was taken, not before", () => {
  const clock = new ManualClock();
  const pace = new RequestPace({ clock });
  const take = (who = A) => pace.take(who, { perMinute: 60, atOnce: 100 });
  for (let n = 0; n < 60; n++) {
    expect(take()).toBe("taken");
    clock.advance(500);
  }
  expect(take()).toBe("rate_limited");
  expect(take(B)).toBe("taken");
  clock.advance(29_999);
  expect(take()).toBe("rate_limited");
  clock.advance(1);
  expect(take()).toBe("taken");
  expect(take()).toBe("rate_limited");
});

test("places at once are given back", () => {
  const pace = new RequestPace({ clock: new ManualClock() });
  const take = () => pace.take(A, { perMinute: 1000, atOnce: 2 });
  expect([take(), take(), take()]).toEqual(["taken", "taken", "busy"]);
  pace.release(A);
  expect(take()).toBe("taken");
});

test("long use keeps no more than a window", () => {
  const clock = new ManualClock();
  const pace = new RequestPace({ clock });
  for (let n = 0; n < 10_000; n++) {
    expect(pace.take(A, { perMinute: 2000, atOnce: 1 })).toBe("taken");
    pace.release(A);
    clock.advance(50);
  }
});

test("refusals are quick until somebody makes a habit of them; then they come one after the other", () => {
  const clock = new ManualClock();
  const pace = new RequestPace({ clock });
  for (let n = 0; n < 600; n++) expect(pace.refusalDelay(A)).toBe(0);
  expect([pace.refusalDelay(A), pace.refusalDelay(A), pace.refusalDelay(B)]).toEqual([100, 200, 0]);
  clock.advance(60_000);
  expect(pace.refusalDelay(A)).toBe(0);
});
