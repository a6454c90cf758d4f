import type { Digest, JsonObject, JsonValue, PackId } from "@rumi/core";
import { isJsonObject, jsonDepth } from "@rumi/core";
import { MAX_INTERFACE_BYTES, MAX_INTERFACE_DEPTH, MAX_NAME_CHARS } from "./limits.ts";

/** The one key that every component may write: each its own part, read as a whole. */
export const CAPABILITIES_KEY = "component.capabilities";
/** What packs neither register nor read. Source: page "Flows", section 14.2. */
const RESERVED_HEADS: ReadonlySet<string> = new Set(["kernel", "flow", "io", "system"]);
const DOTTED_NAME = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/u;
const SERVICE_NAME = /^[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*$/u;

/** One component of the approved bytes of one pack. */
export interface ComponentPlace {
  readonly pack_id: PackId;
  readonly component_id: string;
  readonly digest: Digest;
  /** Services that the pack or this component declares to provide. */
  readonly provides: readonly string[];
}

/** A dotted name of letters, digits, `_` and `-`: a key, or what follows a pack's id in a topic. */
export function isDottedName(text: string): boolean {
  return text.length <= MAX_NAME_CHARS && DOTTED_NAME.test(text);
}

/** True for a key that no pack may read. */
export function isReservedKey(key: string): boolean {
  return RESERVED_HEADS.has(headOf(key));
}

/** Why a component may not register a key, or null. `isKnownPack`: an installed pack has this id. Pure; `key` is pack-controlled. */
export function refuseKey(place: ComponentPlace, key: string, isKnownPack: (id: string) => boolean): string | null {
  if (!isDottedName(key)) return "a key is dotted names of letters, digits, _ and -, at most 128 characters";
  if (key === CAPABILITIES_KEY) return null;
  if (isReservedKey(key)) return `keys below ${headOf(key)}. are the daemon's`;
  if (place.provides.includes(key)) return null;
  const head = headOf(key);
  if (head === key) return `${key} is no service that the pack provides`;
  if (head === place.pack_id) return null;
  if (head !== place.component_id) return `a component registers keys below its pack's or its own id, and what it provides`;
  return isKnownPack(head) ? `keys below ${head}. are those of the pack ${head}` : null;
}

/** Why a value may not be registered under `key`, or null. Pure; `value` is pack-controlled. */
export function refuseValue(key: string, value: JsonValue): string | null {
  const fault = refuseSize(value);
  if (fault !== null) return fault;
  if (key !== CAPABILITIES_KEY) return null;
  const isPart = isJsonObject(value) && Object.entries(value).every(([name, there]) => isService(name) && typeof there === "boolean");
  return isPart ? null : `${CAPABILITIES_KEY} is a map of service names to true or false`;
}

/** Why a value or an event's data is too much, or null. */
export function refuseSize(value: JsonValue): string | null {
  if (jsonDepth(value, MAX_INTERFACE_DEPTH) > MAX_INTERFACE_DEPTH) return `a value is nested at most ${MAX_INTERFACE_DEPTH} deep`;
  return Buffer.byteLength(JSON.stringify(value)) > MAX_INTERFACE_BYTES ? `a value has at most ${MAX_INTERFACE_BYTES} bytes as JSON` : null;
}

/** The parts of all components as one: a name is true when one of them says so. */
export function mergeCapabilities(parts: readonly JsonValue[]): JsonObject {
  const merged = new Map<string, boolean>();
  for (const part of parts) {
    if (!isJsonObject(part)) continue;
    for (const [name, there] of Object.entries(part)) merged.set(name, there === true || merged.get(name) === true);
  }
  return Object.fromEntries(merged);
}

function isService(name: string): boolean {
  return name.length <= MAX_NAME_CHARS && SERVICE_NAME.test(name);
}

function headOf(key: string): string {
  return key.slice(0, `${key}.`.indexOf("."));
}
