import { createHmac, createSecretKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { canonicalJson, FORBIDDEN_KEYS, isJsonObject } from "@rumi/core";
import type { AuditCategory, AuditEvent, AuditSeverity, JsonObject, JsonValue } from "@rumi/core";
import { redactValue } from "./redactor.ts";

/** One line of the log (page "Trust", section 15). */
export type AuditEntry = Omit<AuditEvent, "severity"> & {
  readonly seq: number;
  /** UTC, ISO, ms. */
  readonly ts: string;
  readonly category: AuditCategory;
  readonly severity: AuditSeverity;
  /** Id of the key that signs the entry. */
  readonly kid: string;
  /** `mac` of the entry before. */
  readonly prev: string;
  readonly mac: string;
};

/** `prev` of the first entry. */
export const GENESIS = "0".repeat(64);

/** Largest line on disk and largest text in it (page "Trust", section 15). */
export const MAX_ENTRY_BYTES = 16 * 1024;
export const MAX_TEXT_BYTES = 2 * 1024;

/** Texts are cut harder, step by step, until a line fits. */
const TEXT_STEPS = [MAX_TEXT_BYTES, 512, 128] as const;

/** Room that `seq`, `kid`, `prev` and `mac` take in a line. */
const CHAIN_BYTES = 400;

/** Text that nobody shortened yet; more is not looked at. */
const MAX_RAW_TEXT = 64 * 1024;
const MAX_DETAIL_DEPTH = 12;

const TEXT_FIELDS = [
  "flow_id",
  "step_id",
  "phase",
  "owner_pack",
  "modifier_id",
  "run_id",
  "digest",
  "error",
  "error_type",
  "rejection_reason",
  "execution_mode",
] as const;

/** An event made safe to keep: redacted, plain JSON, within the size of a line. No place in the chain yet. */
export function createEntryBody(event: AuditEvent, ts: string, redact: (text: string) => string): JsonObject {
  const fields: [string, JsonValue][] = [
    ["ts", ts],
    ["category", event.category],
    ["severity", event.severity ?? (event.success ? "info" : "warning")],
    ["action", redact(event.action)],
    ["success", event.success],
  ];
  for (const name of TEXT_FIELDS) {
    const text = event[name];
    if (text !== undefined) fields.push([name, redact(text.slice(0, MAX_RAW_TEXT))]);
  }
  if (event.details !== undefined) {
    fields.push(["details", redactValue(plainJson(event.details, 0, MAX_RAW_TEXT), redact)]);
  }
  const whole = Object.fromEntries(fields);
  for (const maxBytes of TEXT_STEPS) {
    const body = plainJson(whole, 0, maxBytes);
    if (isJsonObject(body) && toLine(body).length + CHAIN_BYTES <= MAX_ENTRY_BYTES) return body;
  }
  const { details: _details, ...rest } = plainJson(whole, 0, TEXT_STEPS[2]) as JsonObject;
  return { ...rest, details: { truncated: true } };
}

/** Plain, well-formed JSON with every text cut to `maxBytes`; what JSON cannot hold becomes text. */
function plainJson(value: unknown, depth: number, maxBytes: number): JsonValue {
  switch (typeof value) {
    case "string":
      return cutText(value.toWellFormed(), maxBytes);
    case "boolean":
      return value;
    case "number":
      return Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value)) ? value : String(value);
    case "bigint":
      return value.toString();
    case "object":
      break;
    default:
      return null;
  }
  if (value === null) return null;
  if (depth > MAX_DETAIL_DEPTH) return "[too deep]";
  if (Array.isArray(value)) return value.map((item: unknown) => plainJson(item, depth + 1, maxBytes));
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, member]) => member !== undefined && !FORBIDDEN_KEYS.has(name))
      .map(([name, member]) => [cutText(name.toWellFormed(), maxBytes), plainJson(member, depth + 1, maxBytes)]),
  );
}

const CUT_MARK = "...";

function cutText(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text;
  const bytes = Buffer.from(text).subarray(0, maxBytes - CUT_MARK.length);
  // A character cut in two decodes to U+FFFD at the end.
  return `${bytes.toString().replace(/\ufffd$/u, "")}${CUT_MARK}`;
}

/** A key of the chain. A made `KeyObject` is several times faster to use than its bytes. */
export type ChainKey = Uint8Array | KeyObject;

/** Keys by id, made once for many entries. */
export function createChainKeys(keys: Iterable<readonly [string, ChainKey]>): Map<string, KeyObject> {
  return new Map(Array.from(keys, ([kid, key]) => [kid, key instanceof Uint8Array ? createSecretKey(key) : key]));
}

/** Places a body in the chain. */
export function chainEntry(
  body: JsonObject,
  place: { seq: number; prev: string; kid: string; key: ChainKey },
): JsonObject & { readonly mac: string } {
  const unsigned = { seq: place.seq, ...body, kid: place.kid, prev: place.prev };
  return { ...unsigned, mac: chainMac(place.key, unsigned) };
}

/** HMAC over the canonical JSON of an entry or head without its `mac`. */
export function chainMac(key: ChainKey, unsigned: JsonObject): string {
  return createHmac("sha256", key).update(canonicalJson(unsigned)).digest("hex");
}

/** One ASCII line, without its line end. */
export function toLine(entry: JsonObject): string {
  // Without the u flag: each half of a surrogate pair is escaped by itself, as JSON wants it.
  return JSON.stringify(entry).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The object of one line with a usable place in the chain, or null. */
export function parseLine(line: string): (JsonObject & { seq: number; mac: string; prev: string; ts: string }) | null {
  let value: JsonValue;
  try {
    value = JSON.parse(line) as JsonValue;
  } catch {
    return null;
  }
  if (!isJsonObject(value)) return null;
  const { seq, mac, prev, ts } = value;
  if (typeof seq !== "number" || !Number.isSafeInteger(seq) || seq < 1) return null;
  if (typeof mac !== "string" || typeof prev !== "string" || typeof ts !== "string") return null;
  return { ...value, seq, mac, prev, ts };
}
