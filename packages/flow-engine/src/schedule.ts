import type { JsonObject } from "@rumi/core";
import { isJsonObject } from "@rumi/core";
import { Cron } from "croner";
import type { InputDeclaration } from "./definition.ts";
import type { FlowLoadCode } from "./errors.ts";
import { MAX_INTERVAL_SECONDS, MIN_INTERVAL_SECONDS } from "./limits.ts";
import { shown } from "./problems.ts";
import type { ScheduleSpec } from "./schedule-spec.ts";

/** Something a `schedule` says that it may not; with `fatal` the flow loads unscheduled. */
export interface ScheduleProblem {
  readonly code: FlowLoadCode;
  /** Member of `schedule`, or empty for the whole. */
  readonly member: string;
  readonly message: string;
  readonly fatal: boolean;
}

/** What a flow's `schedule` amounts to. */
export interface ParsedSchedule {
  readonly spec: ScheduleSpec | null;
  readonly problems: readonly ScheduleProblem[];
}

const MEMBERS: ReadonlySet<string> = new Set(["cron", "interval", "interval_seconds", "timezone", "inputs"]);
const MONTH = String.raw`(?:\d{1,2}|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)`;
const WEEKDAY = "(?:[0-7]|sun|mon|tue|wed|thu|fri|sat)";
const NUMBER = String.raw`\d{1,2}`;
const CRON = new RegExp(`^${[NUMBER, NUMBER, NUMBER, MONTH, WEEKDAY].map(fieldPattern).join(" +")}$`, "iu");
const MAX_CRON_CHARS = 256;

/** `*`, values, ranges, steps on either, joined by commas. */
function fieldPattern(value: string): string {
  const item = String.raw`(?:(?:\*|${value}-${value})(?:/\d{1,2})?|${value})`;
  return `${item}(?:,${item})*`;
}

/** Reads a flow's `schedule`. Never throws; `inputs` are the flow's declared ones. */
export function parseSchedule(raw: JsonObject, inputs: ReadonlyMap<string, InputDeclaration>): ParsedSchedule {
  const problems: ScheduleProblem[] = [];
  const fatal = (code: FlowLoadCode, member: string, message: string): null => {
    problems.push({ code, member, message: `${message}; the flow loads unscheduled`, fatal: true });
    return null;
  };
  const warn = (code: FlowLoadCode, member: string, message: string): void => void problems.push({ code, member, message, fatal: false });

  for (const name of Object.keys(raw)) if (!MEMBERS.has(name)) warn("flow.unknown_field", name, "unknown field, ignored");
  const timezone = readTimezone(raw["timezone"] ?? null, warn);
  const given = readInputs(raw["inputs"] ?? null, inputs, fatal);
  const { cron = null } = raw;
  const interval = raw["interval"] ?? raw["interval_seconds"] ?? null;
  const when =
    cron !== null && interval !== null
      ? fatal("schedule.invalid", "", "a schedule has cron or interval, not both")
      : cron !== null
        ? readCron(cron, timezone, fatal)
        : interval !== null
          ? readInterval(interval, warn, fatal)
          : fatal("schedule.invalid", "", "a schedule needs cron or interval");
  if (when === null || given === null) return { spec: null, problems };
  return { spec: { ...when, timezone, inputs: given }, problems };
}

type Fatal = (code: FlowLoadCode, member: string, message: string) => null;
type Warn = (code: FlowLoadCode, member: string, message: string) => void;

function readTimezone(value: unknown, warn: Warn): string {
  if (value === null) return "UTC";
  if (typeof value === "string" && isTimezone(value)) return value;
  warn("schedule.invalid", "timezone", `must be an IANA time zone, got ${shown(JSON.stringify(value))}; UTC is used`);
  return "UTC";
}

function isTimezone(name: string): boolean {
  if (name !== "UTC" && !/^[A-Za-z]+(?:\/[A-Za-z0-9_+-]+)+$/u.test(name)) return false;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

function readInputs(value: unknown, declared: ReadonlyMap<string, InputDeclaration>, fatal: Fatal): JsonObject | null {
  if (value !== null && !isJsonObject(value)) return fatal("schedule.invalid", "inputs", "must be a map of literal values");
  const inputs: JsonObject = value ?? {};
  const missing = [...declared].filter(
    ([name, { required, default_value: standard }]) => required && standard === undefined && !Object.hasOwn(inputs, name),
  );
  if (missing.length === 0) return inputs;
  return fatal("schedule.missing_inputs", "inputs", `must give the required inputs ${missing.map(([name]) => name).join(", ")}`);
}

function readCron(value: unknown, timezone: string, fatal: Fatal): { readonly kind: "cron"; readonly cron: string } | null {
  const expected = "must have five fields of digits, * , - / and names (JAN-DEC, SUN-SAT)";
  if (typeof value !== "string" || value.length > MAX_CRON_CHARS || !CRON.test(value.trim())) {
    return fatal("schedule.invalid_cron", "cron", `${expected}, got ${shown(JSON.stringify(value))}`);
  }
  const cron = value.trim();
  try {
    if (createCron(cron, timezone).nextRun(new Date(0)) !== null) return { kind: "cron", cron };
  } catch {
    return fatal("schedule.invalid_cron", "cron", `${expected}, each in its range, got ${shown(cron)}`);
  }
  return fatal("schedule.never_fires", "cron", `must have a date that comes, got ${shown(cron)}`);
}

function readInterval(value: unknown, warn: Warn, fatal: Fatal): { readonly kind: "interval"; readonly interval_seconds: number } | null {
  if (typeof value !== "number" || !Number.isFinite(value) || value > MAX_INTERVAL_SECONDS) {
    return fatal(
      "schedule.invalid",
      "interval",
      `must be a number of seconds, at most ${MAX_INTERVAL_SECONDS}, got ${shown(JSON.stringify(value))}`,
    );
  }
  if (value >= MIN_INTERVAL_SECONDS) return { kind: "interval", interval_seconds: value };
  warn("schedule.invalid", "interval", `must be at least ${MIN_INTERVAL_SECONDS}, got ${value}; ${MIN_INTERVAL_SECONDS} is used`);
  return { kind: "interval", interval_seconds: MIN_INTERVAL_SECONDS };
}

/**
 * The first instant after `afterMs` at which `spec` fires, ms since the epoch; null when none comes. An interval counts from
 * `registeredMs`, on a fixed grid. Where clocks go forward, a fixed time in the gap fires at its end; where they go back,
 * once; times with `*` or a step follow the wall clock.
 */
export function nextFire(spec: ScheduleSpec, afterMs: number, registeredMs: number): number | null {
  if (spec.kind === "cron") return createCron(spec.cron, spec.timezone).nextRun(new Date(afterMs))?.getTime() ?? null;
  const step = spec.interval_seconds * 1000;
  return registeredMs + Math.max(1, Math.floor((afterMs - registeredMs) / step) + 1) * step;
}

function createCron(pattern: string, timezone: string): Cron {
  return new Cron(pattern, { timezone, mode: "5-part", fixedTimeRule: "no-wildcard", paused: true });
}
