import { findForbiddenKey, isJsonObject, jsonDepth } from "@rumi/core";
import type { JsonObject, JsonValue } from "@rumi/core";

/** What a pack asks when it names no time. Source: page "Trust", section 7. */
const DEFAULT_TIMEOUT_MS = 30_000;
/** No call takes longer, whatever it asks for. Source: there. */
export const MAX_TIMEOUT_MS = 120_000;
/** Deepest message; what is put into a store may be deep. */
const MAX_DEPTH = 128;
const MAX_REQUEST_ID = 256;

/** Fields in which a message may claim to come from somebody. Nobody believes them. */
const CLAIMS = ["principal_id", "principal", "owner_pack", "pack_id"];

/** A message of the right shape. Everything in it is pack-controlled. */
export interface CapabilityRequest {
  /** A permission id, an alias, or anything. */
  readonly permission: string;
  readonly args: JsonObject;
  readonly timeout_ms: number;
  readonly request_id: string | null;
  readonly call_id: string | undefined;
  /** Names it claims to speak for. */
  readonly claims: readonly string[];
}

/** Check 2: the shape of a message. A text is why it is refused. */
export function parseCapabilityRequest(message: JsonValue): CapabilityRequest | string {
  if (!isJsonObject(message)) return "the message is no object";
  if (jsonDepth(message, MAX_DEPTH) > MAX_DEPTH) return "the message is nested too deep";
  const forbidden = findForbiddenKey(message);
  if (forbidden !== null) return `the key ${forbidden} is not allowed`;
  const { timeout_seconds, request_id, call_id } = message;
  const asked = askedPower(message);
  if (typeof asked === "string") return asked;
  const timeout = timeout_seconds ?? DEFAULT_TIMEOUT_MS / 1000;
  if (typeof timeout !== "number" || !(timeout > 0)) return "timeout_seconds is a number above 0";
  if (request_id != null && (typeof request_id !== "string" || request_id.length > MAX_REQUEST_ID)) return "request_id is a short text";
  return {
    ...asked,
    timeout_ms: Math.min(timeout * 1000, MAX_TIMEOUT_MS),
    request_id: request_id ?? null,
    call_id: typeof call_id === "string" ? call_id : undefined,
    claims: CLAIMS.flatMap((name) => (typeof message[name] === "string" ? [message[name]] : [])),
  };
}

/** `{permission_id, args}`, or `{type: "function.call", qualified_name, args}`. */
function askedPower(message: JsonObject): { permission: string; args: JsonObject } | string {
  const args = message.args ?? {};
  if (!isJsonObject(args)) return "args is an object";
  if (message.type === "function.call") {
    const name = message.qualified_name;
    return typeof name === "string" ? { permission: "function.call", args: { function: name, args } } : "qualified_name is a text";
  }
  const permission = message.permission_id;
  if (typeof permission !== "string" || permission === "") return "permission_id is a text";
  return { permission, args };
}
