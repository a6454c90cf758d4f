import { redactValue } from "@rumi/audit";
import type { JsonValue, Logger, LogLevel } from "@rumi/core";
import pino from "pino";

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: "json" | "text";
  /** Where lines go; the daemon's standard error. */
  readonly write: (line: string) => void;
  readonly redact: (text: string) => string;
}

/** The daemon's own log: pino, one line each, redacted. Never block output. */
export function createLogger(options: LoggerOptions): Logger {
  const { format, redact } = options;
  const write = (line: string): void => options.write(redact(format === "json" ? line : readable(line)));
  const log = pino(
    { level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    { write },
  );
  // Texts before they are escaped once more in the line, which may hold escaped texts already; then the line, whatever else is in it.
  const plain = (fields: Readonly<Record<string, unknown>>): object => redactValue(fields as JsonValue, redact) as object;
  return { log: (level, message, fields) => log[level](fields === undefined ? {} : plain(fields), redact(message)) };
}

/** `12:30:01 warn  message  key=value`. */
function readable(line: string): string {
  const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(fields).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return `${[String(time).slice(11, 19), String(level).padEnd(5), String(msg), ...rest].join(" ")}\n`;
}
