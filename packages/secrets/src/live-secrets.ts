import type { SecretKey } from "@rumi/core";
import type { SecretScrubber } from "./ports.ts";
import type { ScrubberOptions } from "./scrubber.ts";

/** What stands where a value was taken out. */
export const REDACTED = "[REDACTED]";

/** Every value that must not be seen now. Shared by every sink; filled by `SecretStore`. */
export class LiveSecrets {
  /** Adds or replaces the value of a key; counts from the next call on. */
  set(_key: SecretKey, _value: string): void {
    throw new Error("not yet");
  }

  /** The key has no value any more. Its old value stays masked as long as this object lives. */
  retire(_key: SecretKey): void {
    throw new Error("not yet");
  }

  /** `text` without live values, in any of their forms. */
  redact(text: string): string {
    return text;
  }

  /** As `redact`, for bytes; the same object when nothing was found. */
  redactBytes(bytes: Uint8Array): Uint8Array {
    return bytes;
  }

  /** True when `text` holds a live value in any form: what a journal must seal. */
  holds(_text: string): boolean {
    return false;
  }

  /** A scrubber of one stream for the values of these keys; keys without a value count for nothing. Null: none has one. */
  scrubber(_keys: Iterable<SecretKey>, _options: ScrubberOptions = {}): SecretScrubber | null {
    throw new Error("not yet");
  }
}
