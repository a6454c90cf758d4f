import { isIP } from "node:net";
import type { JsonObject, JsonValue } from "@rumi/core";

/** What one yes gives of a declared right, and what it leaves to an act of its own. */
export interface PlannedRight {
  readonly permission_id: string;
  /** Null when nothing is left. */
  readonly config: JsonObject | null;
  /** Each item that is left out, with the name of its list. */
  readonly left_out: readonly string[];
}

/** Addresses that are not plainly outside. A wider net than the proxy's: what is caught here is only asked for once more. */
const LOCAL = /^(?:0|10|127|169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01])|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\./u;

/** Plans what `grant_declared` gives: what is declared, without `"*"` and private addresses. `declared` is pack-controlled. */
export function planDeclared(declared: Iterable<readonly [permission: string, config: JsonObject]>): PlannedRight[] {
  return [...declared].map(([permission_id, config]) => {
    const left: string[] = [];
    const kept = new Map<string, JsonValue>();
    let emptied = false;
    for (const [name, value] of Object.entries(config)) {
      if (!Array.isArray(value)) {
        if (holdsStar(value)) left.push(`${name} ${show(value)}`);
        else kept.set(name, value);
        continue;
      }
      const items = value.filter((item: JsonValue) => name !== "allow_private" && !holdsStar(item) && !isPrivate(item));
      for (const item of value) if (!items.includes(item)) left.push(`${name} ${show(item)}`);
      if (items.length > 0) kept.set(name, items);
      else if (name !== "allow_private") emptied = true;
    }
    return { permission_id, config: emptied ? null : Object.fromEntries(kept), left_out: left };
  });
}

/**
 * The config that holds both what is held and what is planned: lists joined, other limits as they are held. An approval takes
 * nothing from what an operator gave before.
 */
export function joinHeld(held: JsonObject, planned: JsonObject): JsonObject {
  const joined = new Map<string, JsonValue>(Object.entries(planned));
  for (const [name, value] of Object.entries(held)) {
    const more = joined.get(name);
    joined.set(name, Array.isArray(value) && Array.isArray(more) ? [...new Set([...value, ...more])] : value);
  }
  return Object.fromEntries(joined);
}

/** True when `held` gives at least the lists of `planned`. */
export function isHeld(held: JsonObject, planned: JsonObject): boolean {
  return Object.entries(planned).every(([name, value]) => {
    if (!Array.isArray(value)) return true;
    const list = held[name];
    return Array.isArray(list) && value.every((item: JsonValue) => list.includes("*") || list.includes(item));
  });
}

function holdsStar(value: JsonValue): boolean {
  if (typeof value === "string") return value === "*" || value.endsWith("@*");
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some((member) => holdsStar(member));
}

/** A private or local host, alone, as `KEY@host` or with a port. */
function isPrivate(item: JsonValue): boolean {
  if (typeof item !== "string") return false;
  const host = item
    .slice(item.lastIndexOf("@") + 1)
    .toLowerCase()
    .replace(/\.$/u, "");
  const address = host.replaceAll(/^\[|\](?::\d+)?$/gu, "");
  if (isIP(address) === 6) return !/^[23]/u.test(address) || /^(?:2002|2001:0?:|2001:db8)/u.test(address);
  const name = host.replace(/:\d{1,5}$/u, "");
  return LOCAL.test(name) || name === "localhost" || name.endsWith(".localhost") || name.endsWith(".local") || name.endsWith(".internal");
}

function show(item: JsonValue): string {
  return (typeof item === "string" ? item : JSON.stringify(item)).slice(0, 200);
}
