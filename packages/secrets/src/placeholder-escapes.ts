import type { SecretSlot } from "./ports.ts";

/** How a text body is written, which decides how a value is escaped in it. */
export type BodyFormat = "raw" | "json" | "form";

/** The format that the request's own `content-type` names; without one, JSON is told by what it is. */
export function bodyFormat(headers: readonly (readonly [name: string, value: string])[], text: string): BodyFormat {
  const named = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1];
  if (named === undefined) return isJson(text) ? "json" : "raw";
  const type = (named.split(";")[0] ?? "").trim().toLowerCase();
  if (type === "application/x-www-form-urlencoded") return "form";
  return type === "application/json" || type.endsWith("+json") || type.endsWith("-json") || type === "application/json5" ? "json" : "raw";
}

/** `value` as it must be written there; null when it cannot be. */
export function escapeFor(slot: SecretSlot, format: BodyFormat, value: string): string | null {
  if (slot === "header") return headerValue(value);
  if (slot === "query" || format === "form") return percentEncoded(value);
  return format === "json" ? JSON.stringify(value).slice(1, -1) : value;
}

/** Raw; beyond ASCII its UTF-8 bytes, one Latin-1 character each, as HTTP clients of Node write them. */
function headerValue(value: string): string | null {
  if (/[\0-\x08\x0a-\x1f\x7f]/u.test(value)) return null;
  return Buffer.from(value).toString("latin1");
}

function percentEncoded(value: string): string {
  return encodeURIComponent(value).replace(/[!'()*]/gu, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
