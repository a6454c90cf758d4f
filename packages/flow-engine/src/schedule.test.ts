import { readFileSync } from "node:fs";
import type { JsonObject } from "@rumi/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseFlow } from "./parse-flow.ts";
import { nextFire, parseSchedule } from "./schedule.ts";
import type { ScheduleSpec } from "./schedule-spec.ts";

interface Cell {
  readonly timezone: string;
  readonly cron: string;
  readonly from: string;
  readonly to: string;
  readonly fires: readonly string[];
}
const CELLS = JSON.parse(readFileSync(new URL("../test/fixtures/dst.json", import.meta.url), "utf8")) as readonly Cell[];

const NO_INPUTS = new Map();
const parse = (raw: JsonObject) => parseSchedule(raw, NO_INPUTS);
const codes = (raw: JsonObject) => parse(raw).problems.map(({ code }) => code);
const minute = (text: string): string => text.slice(0, 16);

/** Instants from `from` (included) to `to` (excluded). */
function fires(spec: ScheduleSpec, from: string, to: string): string[] {
  const found: string[] = [];
  const end = Date.parse(to);
  for (let at = nextFire(spec, Date.parse(from) - 1, 0); at !== null && at < end; at = nextFire(spec, at, 0))
    found.push(minute(new Date(at).toISOString()));
  return found;
}

function cron(pattern: string, timezone = "UTC"): ScheduleSpec {
  const { spec } = parse({ cron: pattern, timezone });
  if (spec === null) throw new Error(`${pattern} is refused`);
  return spec;
}

describe("cron", () => {
  test.each(["*/15 0 1,15 * 1-5", "0 0 * * MON", "0 0 * * 7", "0 0 * jan-mar sun", "1-59/2 * * * *", "0 0 29 2 *"])(
    "F73 %s is valid",
    (pattern) => {
      expect(codes({ cron: pattern })).toEqual([]);
    },
  );

  test.each([
    "60 * * * *",
    "* * * *",
    "*/0 * * * *",
    "@daily",
    "* * * * * *",
    "0 0 L * *",
    "? * * * *",
    "0 0 15W * *",
    "0 0 * * 5#2",
    "5/10 * * * *",
    "0 0 * * 5-1",
    "0 0 0 * *",
    "0 0 * 13 *",
    "0 0 * foo *",
    "",
    "0 24 * * *",
    "0 0 * * 8",
    "*/99 * * * *",
  ])("F73 %s is schedule.invalid_cron", (pattern) => {
    expect(codes({ cron: pattern })).toEqual(["schedule.invalid_cron"]);
    expect(parse({ cron: pattern }).spec).toBeNull();
  });

  test("F73 a date that never comes is schedule.never_fires", () => {
    expect(codes({ cron: "0 0 30 2 *" })).toEqual(["schedule.never_fires"]);
  });

  test("F73 day and weekday both given: either", () => {
    expect(fires(cron("0 0 13 * 5"), "2026-01-01T00:00:00Z", "2026-01-14T00:00:00Z")).toEqual([
      "2026-01-02T00:00",
      "2026-01-09T00:00",
      "2026-01-13T00:00",
    ]);
  });

  test("F75 a zone moves the instant; an unknown one is UTC, said", () => {
    expect(fires(cron("30 9 * * *", "Asia/Tokyo"), "2026-01-01T00:00:00Z", "2026-01-01T12:00:00Z")).toEqual(["2026-01-01T00:30"]);
    const unknown = parse({ cron: "30 9 * * *", timezone: "Mars/Base" });
    expect(unknown.spec?.timezone).toBe("UTC");
    expect(unknown.problems).toMatchObject([{ code: "schedule.invalid", member: "timezone", fatal: false }]);
    for (const odd of ["../etc/passwd", "+05:00", "", 5, "EST5EDT4"])
      expect(parse({ cron: "0 0 * * *", timezone: odd }).spec?.timezone).toBe("UTC");
  });

  const NEW_YORK: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ["30 2 * * *", ["07:00"], ["07:30"]],
    ["30 2,14 * * *", ["07:00", "18:30"], ["07:30", "19:30"]],
    ["*/15 2 * * *", [], ["07:00", "07:15", "07:30", "07:45"]],
    ["30 1 * * *", ["06:30"], ["05:30"]],
    ["*/30 1 * * *", ["06:00", "06:30"], ["05:00", "05:30", "06:00", "06:30"]],
  ];
  test.each(NEW_YORK)("F76 %s in New York when clocks change", (pattern, march, november) => {
    const spec = cron(pattern, "America/New_York");
    const times = (from: string, to: string) => fires(spec, from, to).map((text) => text.slice(11));
    expect(times("2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z")).toEqual(march);
    expect(times("2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z")).toEqual(november);
  });

  test("F76 every 15 minutes stays every 15 real minutes", () => {
    for (const [from, to, count] of [
      ["2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", 92],
      ["2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", 100],
    ] as const) {
      expect(fires(cron("*/15 * * * *", "America/New_York"), from, to)).toHaveLength(count);
    }
  });

  test("F89 the fixture covers ten zones, most of them with changes of the clock", () => {
    expect(new Set(CELLS.map(({ timezone }) => timezone)).size).toBe(10);
    expect(CELLS.length).toBeGreaterThan(150);
  });

  test.each(CELLS)("F89 $cron in $timezone from $from", ({ timezone, cron: pattern, from, to, fires: wanted }) => {
    expect(fires(cron(pattern, timezone), from, to)).toEqual(wanted.map(minute));
  });

  test("whatever the pattern says: fires only go forward, and the same instant comes from wherever one asks before it", () => {
    const field = (max: number, min = 0) =>
      fc.oneof(
        fc.constant("*"),
        fc.integer({ min: 1, max: 20 }).map((step) => `*/${step}`),
        fc.integer({ min, max }).map(String),
        fc.tuple(fc.integer({ min, max }), fc.integer({ min, max })).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
      );
    const pattern = fc.tuple(field(59), field(23), field(28, 1), field(12, 1), field(6)).map((fields) => fields.join(" "));
    const zone = fc.constantFrom("UTC", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo");
    const start = fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2026, 11, 31) });
    fc.assert(
      fc.property(pattern, zone, start, (text, timezone, from) => {
        const { spec } = parse({ cron: text, timezone });
        if (spec === null) return;
        const first = nextFire(spec, from, 0);
        if (first === null) return;
        expect(first).toBeGreaterThan(from);
        const between = from + Math.floor((first - from) / 2);
        expect(nextFire(spec, between, 0)).toBe(first);
        expect(nextFire(spec, first, 0) ?? Number.POSITIVE_INFINITY).toBeGreaterThan(first);
      }),
      { numRuns: 300 },
    );
  });
});

describe("interval", () => {
  test("F74 below ten seconds it is ten, said; text is refused", () => {
    expect(parse({ interval: 3 })).toMatchObject({
      spec: { kind: "interval", interval_seconds: 10 },
      problems: [{ code: "schedule.invalid", fatal: false }],
    });
    for (const value of ["3s", Number.POSITIVE_INFINITY, 31_536_001, true]) {
      expect(parse({ interval: value })).toMatchObject({ spec: null, problems: [{ code: "schedule.invalid", fatal: true }] });
    }
  });

  test("both or neither with cron is refused", () => {
    for (const raw of [{}, { cron: "* * * * *", interval: 30 }, { interval: null }]) expect(parse(raw)).toMatchObject({ spec: null });
  });

  test("the first fire is one interval after registration, then a fixed grid", () => {
    const { spec } = parse({ interval_seconds: 30 });
    if (spec === null) throw new Error("refused");
    expect([0, 1, 29_999, 30_000, 59_000, 61_000].map((after) => nextFire(spec, 1_000 + after, 1_000))).toEqual([
      31_000, 31_000, 31_000, 61_000, 61_000, 91_000,
    ]);
    // A clock set back before the registration waits for the first slot.
    expect(nextFire(spec, -50_000, 1_000)).toBe(31_000);
  });
});

test("a required input without a value leaves the flow unscheduled; a given or default one does not", () => {
  const inputs = new Map([["city", { type: "string", required: true }]] as const);
  expect(parseSchedule({ interval: 60 }, inputs)).toMatchObject({ spec: null, problems: [{ code: "schedule.missing_inputs" }] });
  expect(parseSchedule({ interval: 60, inputs: { city: "Tokyo" } }, inputs).spec?.inputs).toEqual({ city: "Tokyo" });
  expect(parseSchedule({ interval: 60 }, new Map([["city", { type: "string", required: true, default_value: "x" }]])).problems).toEqual([]);
});

test("F73 a flow with a bad schedule loads, unscheduled, with the line of what is wrong", () => {
  const text = "flow_id: a\nphases: [main]\nschedule:\n  cron: '60 * * * *'\nsteps: []\n";
  const { flow, problems } = parseFlow(text, { source: "shared", pack_id: null, file: "a.flow.yaml" });
  expect(flow?.fires).toBeNull();
  expect(problems).toMatchObject([{ code: "schedule.invalid_cron", severity: "warning", path: "schedule.cron", line: 4 }]);
});
