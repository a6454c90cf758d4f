/** Longest key of a store. Source: page "Trust", section 1. */
const MAX_KEY_LENGTH = 512;

/** The rule that `key` breaks, as a text for the pack that asked; null when it is a key. `key` is pack-controlled. */
export function checkStoreKey(key: unknown): string | null {
  const rule = checkStorePrefix(key, "key");
  if (rule !== null || typeof key !== "string") return rule;
  if (key === "") return "key must not be empty";
  const bad = key.split("/").some((segment) => segment === "" || segment === "." || segment === "..");
  return bad ? "key must not have an empty, '.' or '..' segment" : null;
}

/** The rule that a prefix of keys breaks; null when keys may begin so. The empty prefix is every key's. */
export function checkStorePrefix(prefix: unknown, word = "prefix"): string | null {
  if (typeof prefix !== "string") return `${word} must be a text`;
  if (prefix.length > MAX_KEY_LENGTH) return `${word} must have at most ${MAX_KEY_LENGTH} characters`;
  return /^[a-zA-Z0-9_.:/-]*$/u.test(prefix) ? null : `${word} may hold letters, digits and _ . : / - only`;
}
