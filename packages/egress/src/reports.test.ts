import type { PackId } from "@rumi/core";
import { ManualClock } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { MAX_OBSERVED } from "./limits.ts";
import { EgressReports } from "./reports.ts";

const A = "a" as PackId;

test("X75 a report ends in time, by itself or when it is told", () => {
  const clock = new ManualClock();
  const reports = new EgressReports({ clock });
  expect(reports.running(A)).toBe(false);
  expect(reports.start(A, 60)).toBe("2026-01-01T00:01:00.000Z");
  clock.advance(59_999);
  expect(reports.running(A)).toBe(true);
  expect(reports.running("b" as PackId)).toBe(false);
  clock.advance(1);
  expect(reports.until(A)).toBeNull();
  reports.start(A, 3600);
  expect(reports.start(A, 0)).toBeNull();
  expect(reports.running(A)).toBe(false);
  for (const seconds of [-1, 3601, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => reports.start(A, seconds)).toThrow(expect.objectContaining({ code: "egress.report_too_long" }));
  }
});

test("what is proposed covers what was seen outside, and never what lies inside", () => {
  const clock = new ManualClock();
  const reports = new EgressReports({ clock });
  expect(reports.proposed(A)).toBeNull();
  const note = (domain: string, port: number, allowed: boolean, global = true): void => reports.note(A, { domain, port, allowed, global });
  note("b.example", 443, false);
  clock.advance(1000);
  note("a.example", 443, true);
  note("a.example", 443, true);
  note("box.lan", 80, false, false);
  expect(reports.proposed(A)).toEqual({ allowed_domains: ["a.example", "b.example"], allowed_ports: [443] });
  expect(reports.observed(A)).toContainEqual({
    domain: "a.example",
    port: 443,
    count: 2,
    would_allow: true,
    last_at: "2026-01-01T00:00:01.000Z",
  });
  expect(reports.observed(A)).toHaveLength(3);
  for (let n = 0; n < 2 * MAX_OBSERVED; n++) note(`${n}.example`, 443, false);
  expect(reports.observed(A)).toHaveLength(MAX_OBSERVED);
  reports.forget(A);
  expect(reports.observed(A)).toEqual([]);
});
