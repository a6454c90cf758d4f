/** What stands where a value was taken out (page "Trust", section 9). */
export const REDACTED = "[REDACTED]";

/** True for a value that the marker itself would show: nothing can mask it. */
export function isMarker(value: string): boolean {
  return REDACTED.includes(value);
}
