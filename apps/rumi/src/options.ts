import { UsageError } from "./session.ts";
import type { Session } from "./session.ts";

/** Collects a repeated option. */
export function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}

/** A whole number of an option. @throws UsageError naming it */
export function wholeNumber(session: Session, name: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const number = typeof value === "string" && /^\d{1,15}$/u.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw new UsageError(session.say("cli.bad_number", { option: name }));
  return number;
}

/** `443` and `*` as ports. @throws UsageError */
export function portsOf(session: Session, values: readonly string[]): (number | "*")[] {
  return values
    .flatMap((value) => value.split(","))
    .map((value) => {
      if (value === "*") return "*";
      const port = /^\d{1,5}$/u.test(value) ? Number(value) : 0;
      if (port < 1 || port > 65_535) throw new UsageError(session.say("network.bad_port"));
      return port;
    });
}

/** Lists that hold numbers where the text is one. */
const NUMBER_LISTS: ReadonlySet<string> = new Set(["allowed_ports"]);

/**
 * `key=value` pairs, or whole JSON objects, as a config. A name that starts with `allowed_`, and `allow_private`, is a list: each
 * pair adds an item. Other values are JSON where they can be, else text. @throws UsageError
 */
export function configOf(session: Session, pairs: readonly string[]): Record<string, unknown> {
  const config = new Map<string, unknown>();
  for (const pair of pairs) {
    const whole = pair.startsWith("{") ? jsonOr(pair) : null;
    if (typeof whole === "object" && whole !== null) {
      for (const [name, value] of Object.entries(whole)) config.set(name, value);
      continue;
    }
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(session.say("grant.bad_config", { pair }));
    const [name, text] = [pair.slice(0, at), pair.slice(at + 1)];
    if (!name.startsWith("allowed_") && name !== "allow_private") {
      config.set(name, jsonOr(text));
      continue;
    }
    const items = text.startsWith("[") ? jsonOr(text) : NUMBER_LISTS.has(name) && /^\d+$/u.test(text) ? Number(text) : text;
    const before = config.get(name);
    config.set(name, [...(Array.isArray(before) ? (before as unknown[]) : []), ...(Array.isArray(items) ? (items as unknown[]) : [items])]);
  }
  return Object.fromEntries(config);
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** A JSON file of the person's. @throws UsageError when it cannot be read or is no JSON object */
export async function jsonFile(session: Session, file: string): Promise<Record<string, unknown>> {
  const text = await session.world.readText(file);
  if (text === null) throw new UsageError(session.say("flow.no_file", { file }));
  const value = jsonOr(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new UsageError(session.say("flow.bad_file", { file }));
  return value as Record<string, unknown>;
}

/** `expires_at` and `notes` of `--expires` and `--notes`. */
export function termsOf(options: Readonly<Record<string, unknown>>): { expires_at?: string; notes?: string } {
  const { expires, notes } = options;
  return {
    ...(typeof expires === "string" ? { expires_at: expires } : {}),
    ...(typeof notes === "string" ? { notes } : {}),
  };
}
