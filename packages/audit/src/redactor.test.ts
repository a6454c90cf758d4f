import { expect, test } from "vitest";
import { createRedactor, isSecretName, REDACTED } from "./index.ts";

const asIs = (text: string): string => text;

test("what the mask takes out is gone before names are looked at", () => {
  const redact = createRedactor((text) => text.replaceAll("hunter22", REDACTED));
  expect(redact("it was hunter22; password=hunter22 and more")).toBe(`it was ${REDACTED}; password=${REDACTED} and more`);
});

test.each([
  ["token=abc123 rest", `token=${REDACTED} rest`],
  ['{"api_key": "abc 123", "n": 1}', `{"api_key": ${REDACTED}, "n": 1}`],
  ["Authorization: Bearer abc.def, next", `Authorization: ${REDACTED}, next`],
  ["https://h/?access_token=x&b=1", `https://h/?access_token=${REDACTED}&b=1`],
  ["the key: value pairs of store keys", "the key: value pairs of store keys"],
])("of %s the named value goes", (text, shown) => {
  expect(createRedactor(asIs)(text)).toBe(shown);
});

test("names of secrets are told from names that only speak of them", () => {
  const secret = [
    "key",
    "api_key",
    "apiKey",
    "X-Api-Key",
    "token",
    "accessTokens",
    "client_secret",
    "passwords",
    "auth_header",
    "set-cookie",
    "Authorization",
  ];
  const harmless = ["monkey", "author", "token_id", "candidate_key", "allowed_keys", "secret_names", "path", "keyboard", "permission_type"];
  expect(secret.filter((name) => !isSecretName(name))).toEqual([]);
  expect(harmless.filter(isSecretName)).toEqual([]);
});
