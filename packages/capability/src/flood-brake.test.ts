import { ManualClock } from "@rumi/core/testing";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FloodBrake } from "./flood-brake.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Whether an answer may go now. */
async function isHeld(held: Promise<void>): Promise<boolean> {
  let done = false;
  void held.then(() => (done = true));
  await vi.advanceTimersByTimeAsync(0);
  return !done;
}

test("the 601st refusal in a minute is answered late, those of others and those of the next minute are not", async () => {
  const clock = new ManualClock();
  const brake = new FloodBrake({ clock });
  const { signal } = new AbortController();
  for (let nth = 1; nth <= 600; nth++) expect(await isHeld(brake.hold("a", signal))).toBe(false);
  const late = brake.hold("a", signal);
  expect(await isHeld(late)).toBe(true);
  expect(await isHeld(brake.hold("b", signal))).toBe(false);
  await vi.advanceTimersByTimeAsync(100);
  expect(await isHeld(late)).toBe(false);
  clock.advance(60_001);
  expect(await isHeld(brake.hold("a", signal))).toBe(false);
});

test("a caller that is gone is not waited for", async () => {
  const brake = new FloodBrake({ clock: new ManualClock() });
  const gone = new AbortController();
  for (let nth = 1; nth <= 600; nth++) await brake.hold("a", gone.signal);
  const late = brake.hold("a", gone.signal);
  expect(await isHeld(late)).toBe(true);
  gone.abort();
  expect(await isHeld(late)).toBe(false);
  expect(await isHeld(brake.hold("a", gone.signal))).toBe(false);
});
