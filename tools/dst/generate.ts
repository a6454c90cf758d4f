// Writes the fixture that the scheduler is held against: when cron patterns fire around every change of the clocks of one
// year, in ten zones, worked out minute by minute from the time-zone database of this Node, by no cron library.
import { join } from "node:path";
import { writeGenerated } from "../generated.ts";

const YEAR = 2026;
const ZONES = [
  "America/New_York",
  "America/St_Johns",
  "America/Santiago",
  "Europe/London",
  "Europe/Berlin",
  "Africa/Cairo",
  "Australia/Sydney",
  "Australia/Lord_Howe",
  "Pacific/Auckland",
  "Asia/Tokyo",
];
/** Fixed times (no `*` or step in minute and hour) and wall-clock patterns, in and around the hours that go or come twice. */
const FIXED = [
  { cron: "30 2 * * *", hours: [2], minutes: [30] },
  { cron: "30 2,14 * * *", hours: [2, 14], minutes: [30] },
  { cron: "30 1 * * *", hours: [1], minutes: [30] },
  { cron: "15 0 * * *", hours: [0], minutes: [15] },
  { cron: "0,45 1-2 * * *", hours: [1, 2], minutes: [0, 45] },
];
const WALL = [
  { cron: "*/15 2 * * *", hour: (h: number) => h === 2, minute: (m: number) => m % 15 === 0 },
  { cron: "*/30 1 * * *", hour: (h: number) => h === 1, minute: (m: number) => m % 30 === 0 },
  { cron: "*/15 * * * *", hour: () => true, minute: (m: number) => m % 15 === 0 },
  { cron: "5 */3 * * *", hour: (h: number) => h % 3 === 0, minute: (m: number) => m === 5 },
];

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Wall-clock time of an instant, as if it were UTC; the difference is the zone's offset. */
function wallClock(zone: string): (instant: number) => number {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    calendar: "gregory",
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  return (instant) => {
    const parts = Object.fromEntries(format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(parts["year"] ?? 0, (parts["month"] ?? 1) - 1, parts["day"], parts["hour"], parts["minute"]);
  };
}

/** First minutes of a new offset in the year. */
function changes(wall: (instant: number) => number): number[] {
  const found: number[] = [];
  for (let hour = Date.UTC(YEAR, 0, 1); hour < Date.UTC(YEAR + 1, 0, 1); hour += HOUR) {
    if (wall(hour) - hour === wall(hour - HOUR) - (hour - HOUR)) continue;
    const before = wall(hour - HOUR) - (hour - HOUR);
    let minute = hour - HOUR;
    while (wall(minute) - minute === before) minute += MINUTE;
    found.push(minute);
  }
  return found;
}

/** Where each fixed time of each day falls: at its first occurrence, or where the clock stood still no more. */
function fixedFires(wall: (instant: number) => number, from: number, to: number, rule: (typeof FIXED)[number]): number[] {
  const fires = new Set<number>();
  const first = new Map<number, number>();
  for (let instant = from - 26 * HOUR; instant < to + 26 * HOUR; instant += MINUTE)
    if (!first.has(wall(instant))) first.set(wall(instant), instant);
  const days = new Set([...first.keys()].map((local) => Math.floor(local / (24 * HOUR)) * 24 * HOUR));
  for (const day of [...days].toSorted((a, b) => a - b).slice(1, -1)) {
    for (const hour of rule.hours) {
      for (const minute of rule.minutes) {
        let local = day + hour * HOUR + minute * MINUTE;
        while (!first.has(local)) local += MINUTE;
        fires.add(first.get(local) ?? Number.NaN);
      }
    }
  }
  return [...fires].filter((instant) => instant >= from && instant < to).toSorted((a, b) => a - b);
}

function wallFires(wall: (instant: number) => number, from: number, to: number, rule: (typeof WALL)[number]): number[] {
  const fires: number[] = [];
  for (let instant = from; instant < to; instant += MINUTE) {
    const local = new Date(wall(instant));
    if (rule.hour(local.getUTCHours()) && rule.minute(local.getUTCMinutes())) fires.push(instant);
  }
  return fires;
}

const iso = (instant: number): string => new Date(instant).toISOString().replace(":00.000Z", "Z");
const cells: object[] = [];
for (const timezone of ZONES) {
  const wall = wallClock(timezone);
  const moments = changes(wall);
  for (const around of moments.length === 0 ? [Date.UTC(YEAR, 5, 15)] : moments) {
    const [from, to] = [around - 12 * HOUR, around + 12 * HOUR];
    for (const rule of FIXED)
      cells.push({ timezone, cron: rule.cron, from: iso(from), to: iso(to), fires: fixedFires(wall, from, to, rule).map(iso) });
    for (const rule of WALL)
      cells.push({ timezone, cron: rule.cron, from: iso(from), to: iso(to), fires: wallFires(wall, from, to, rule).map(iso) });
  }
}
const text = `[\n${cells.map((cell) => `  ${JSON.stringify(cell)}`).join(",\n")}\n]\n`;
writeGenerated(join(import.meta.dirname, "..", "..", "packages", "flow-engine", "test", "fixtures", "dst.json"), text);
