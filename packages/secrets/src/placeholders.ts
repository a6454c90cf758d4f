import type { SecretKey } from "@rumi/core";
import type { PlaceholderRefusal, SecretParts, SecretPlaceholder } from "./ports.ts";

/** Placeholders of one request at most (page "Trust", section 9). */
export const MAX_PLACEHOLDERS = 8;

/** The placeholders of a request, in order. Cheap when there are none. In the path they are plain text. */
export function findPlaceholders(
  _parts: SecretParts,
): { readonly ok: true; readonly placeholders: readonly SecretPlaceholder[] } | PlaceholderRefusal {
  throw new Error("not yet");
}

/** The request with each placeholder replaced, escaped for its place, in one pass. */
export function fillPlaceholders(
  _parts: SecretParts,
  _values: ReadonlyMap<SecretKey, string>,
): { readonly ok: true; readonly parts: SecretParts } | PlaceholderRefusal {
  throw new Error("not yet");
}
