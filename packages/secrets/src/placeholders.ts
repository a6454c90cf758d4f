import type { SecretKey } from "@rumi/core";
import { bodyFormat, escapeFor, type BodyFormat } from "./placeholder-escapes.ts";
import type { PlaceholderRefusal, SecretParts, SecretPlaceholder, SecretSlot } from "./ports.ts";

/** Placeholders of one request at most (page "Trust", section 9). */
export const MAX_PLACEHOLDERS = 8;

/** `{{secret:KEY}}` and `{{secret:KEY|basic:user}}`. */
const PLAIN = /\{\{secret:([A-Z0-9_]{1,64})(?:\|basic:([^\0-\x20:{}|\x7f]{1,128}))?\}\}/gu;
/** The same where a client may have percent-encoded it. */
const ENCODED =
  /(?:\{|%7B){2}secret(?::|%3A)([A-Z0-9_]{1,64})(?:(?:\||%7C)basic(?::|%3A)((?:(?!%7D|%7B|%7C|%3A)[^\0-\x20:{}|&=#\x7f]){1,256}))?(?:\}|%7D){2}/giu;
/** What every placeholder holds: looked for before anything is parsed. */
const SIGN = "secret";

/** The placeholders of a request, in order. Cheap when there are none. In the path and in names they are plain text. */
export function findPlaceholders(
  parts: SecretParts,
): { readonly ok: true; readonly placeholders: readonly SecretPlaceholder[] } | PlaceholderRefusal {
  const placeholders: SecretPlaceholder[] = [];
  rewrite(parts, (placeholder, text) => {
    placeholders.push(placeholder);
    return text;
  });
  if (placeholders.length > MAX_PLACEHOLDERS) return refused(`a request holds at most ${MAX_PLACEHOLDERS} placeholders`);
  return { ok: true, placeholders };
}

/**
 * The request with each placeholder replaced, escaped for its place, in one pass: what a value says is never looked at
 * again. Every key needs a value.
 */
export function fillPlaceholders(
  parts: SecretParts,
  values: ReadonlyMap<SecretKey, string>,
): { readonly ok: true; readonly parts: SecretParts } | PlaceholderRefusal {
  let reason: string | null = null;
  let count = 0;
  const filled = rewrite(parts, ({ key, slot, basicUser }, text, format) => {
    count++;
    const value = values.get(key);
    const plain = value === undefined || basicUser === null ? value : Buffer.from(`${basicUser}:${value}`).toString("base64");
    const escaped = plain === undefined ? null : escapeFor(slot, format, plain);
    if (escaped === null) reason ??= value === undefined ? `no value for ${key}` : `the value of ${key} cannot stand in a header`;
    return escaped ?? text;
  });
  if (count > MAX_PLACEHOLDERS) return refused(`a request holds at most ${MAX_PLACEHOLDERS} placeholders`);
  return reason === null ? { ok: true, parts: filled } : refused(reason);
}

type Replace = (placeholder: SecretPlaceholder, text: string, format: BodyFormat) => string;

function rewrite(parts: SecretParts, replace: Replace): SecretParts {
  const headers = parts.headers.map(([name, value]) => [name, plain(value, "header", "raw", replace)] as const);
  return { target: query(parts.target, replace), headers, body: body(parts, replace) };
}

function plain(text: string, slot: SecretSlot, format: BodyFormat, replace: Replace): string {
  if (!text.includes(SIGN)) return text;
  return text.replace(PLAIN, (found: string, key: SecretKey, user: string | undefined) =>
    replace({ key, slot, basicUser: user ?? null }, found, format),
  );
}

/** Placeholders in the values of `name=value&...`. */
function pairs(text: string, slot: SecretSlot, replace: Replace): string {
  if (!text.includes(SIGN)) return text;
  return text
    .split("&")
    .map((pair) => {
      const value = pair.indexOf("=") + 1;
      if (value === 0) return pair;
      const replaced = pair.slice(value).replace(ENCODED, (found: string, key: string, user: string | undefined) => {
        const basicUser = user === undefined ? null : decoded(user);
        // Percent-encoded or not, only what would be one in plain text is one.
        if (key !== key.toUpperCase() || !/secret/u.test(found) || basicUser === undefined) return found;
        return replace({ key: key as SecretKey, slot, basicUser }, found, "form");
      });
      return pair.slice(0, value) + replaced;
    })
    .join("&");
}

function query(target: string, replace: Replace): string {
  const at = target.indexOf("?");
  return at === -1 ? target : `${target.slice(0, at)}?${pairs(target.slice(at + 1), "query", replace)}`;
}

function body({ headers, body: bytes }: SecretParts, replace: Replace): Uint8Array | null {
  if (bytes === null || !Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(SIGN)) return bytes;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // Not a text: nothing in it is a placeholder.
    return bytes;
  }
  const format = bodyFormat(headers, text);
  const filled = format === "form" ? pairs(text, "body", replace) : plain(text, "body", format, replace);
  return filled === text ? bytes : Buffer.from(filled);
}

function decoded(text: string): string | undefined {
  try {
    const user = decodeURIComponent(text);
    return /[\0-\x1f:{}|\x7f]/u.test(user) ? undefined : user;
  } catch {
    return undefined;
  }
}

function refused(reason: string): PlaceholderRefusal {
  return { ok: false, reason };
}
