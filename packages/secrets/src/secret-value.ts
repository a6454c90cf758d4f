import { SecretKey } from "@rumi/core";
import * as v from "valibot";
import { SecretsError, type SecretsErrorCode } from "./errors.ts";
import { isMarker, REDACTED } from "./redacted.ts";

/** Shorter values cannot be kept out of sight (decision 3.6). */
export const MIN_VALUE_BYTES = 4;
/** Page "Trust", section 9. */
export const MAX_VALUE_BYTES = 64 * 1024;
/** Shorter values are never brokered: guesses would find them. */
export const MIN_BROKERED_BYTES = 8;

/** @throws SecretsError `secrets.invalid_key`; the message does not repeat what was given */
export function parseSecretKey(key: unknown): SecretKey {
  const parsed = v.safeParse(SecretKey, key);
  if (!parsed.success) throw refused("secrets.invalid_key", "a secret's key is 1 to 64 of A-Z, 0-9 and _");
  return parsed.output;
}

/** @throws SecretsError `secrets.invalid_value` `secrets.too_short` `secrets.too_large` */
export function parseSecretValue(value: unknown): string {
  if (typeof value !== "string" || !value.isWellFormed()) throw refused("secrets.invalid_value", "a secret's value is text");
  const bytes = Buffer.byteLength(value);
  if (bytes < MIN_VALUE_BYTES) throw refused("secrets.too_short", `a secret's value has at least ${MIN_VALUE_BYTES} bytes`);
  if (bytes > MAX_VALUE_BYTES) throw refused("secrets.too_large", `a secret's value has at most ${MAX_VALUE_BYTES} bytes`);
  return value;
}

/** What an operator should know about a value that is kept all the same. */
export function valueWarnings(value: string): string[] {
  const warnings: string[] = [];
  if (Buffer.byteLength(value) < MIN_BROKERED_BYTES)
    warnings.push(`the value is shorter than ${MIN_BROKERED_BYTES} bytes: it cannot be masked safely and is never put into requests`);
  if (isMarker(value)) warnings.push(`the value is a piece of ${REDACTED}: it cannot be masked`);
  return warnings;
}

function refused(code: SecretsErrorCode, message: string): SecretsError {
  return new SecretsError(code, message, { remedy: "rumi secret set" });
}
