import type { JsonValue } from "@rumi/core";

/** What stands where a value was taken out (page "Trust", section 9). */
export const REDACTED = "[REDACTED]";

/** Words that mark a key whose value is not shown (page "Trust", section 9). */
const SECRET_WORDS = new Set(["key", "token", "secret", "password", "credential", "auth", "authorization", "cookie"]);

/** Last or first words that turn such a key into one that names or counts: `token_id`, `allowed_keys`, `candidate_key`. */
const NAMING_LAST = new Set(["id", "ids", "name", "names", "count", "type", "kind", "digest"]);
const NAMING_FIRST = new Set(["allowed", "candidate"]);

/** `token=...`, `"api_key": "..."`, `Authorization: Bearer ...` inside running text. */
const NAMED_VALUE =
  /((?:api|access|private|secret)[_-]?key|token|secret|password|passwd|credentials?|authorization|cookie)(["']?[ \t]{0,4}[:=][ \t]{0,4})("[^"]*"?|'[^']*'?|(?:bearer|basic)[ \t]+[^\s"',;]+|[^\s"',;&}]+)/giu;

/**
 * A function that takes out what `mask` takes out (live secret values, in whatever form: `@rumi/secrets`), and values
 * named as secret in running text.
 */
export function createRedactor(mask: (text: string) => string): (text: string) => string {
  return (text) => mask(text).replace(NAMED_VALUE, (_all, name: string, between: string) => `${name}${between}${REDACTED}`);
}

/** True for a key such as `api_key`, `accessToken` or `set-cookie`, whose value must not be shown. */
export function isSecretName(name: string): boolean {
  const words = name
    .replace(/([a-z0-9])([A-Z])/gu, "$1_$2")
    .toLowerCase()
    .split(/[^a-z0-9]+/u)
    .filter((word) => word !== "");
  if (NAMING_LAST.has(words.at(-1) ?? "") || NAMING_FIRST.has(words[0] ?? "")) return false;
  return words.some((word) => SECRET_WORDS.has(word) || SECRET_WORDS.has(word.replace(/s$/u, "")));
}

/** A copy of `value` in which texts went through `redact` and values under secret names are gone. */
export function redactValue(value: JsonValue, redact: (text: string) => string): JsonValue {
  if (typeof value === "string") return redact(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item: JsonValue) => redactValue(item, redact));
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => {
      const shown = member === null || typeof member === "boolean" || !isSecretName(name);
      return [redact(name), shown ? redactValue(member, redact) : REDACTED];
    }),
  );
}
