import { expect, test } from "vitest";
import { createRedactor, isSecretName, REDACTED } from "./index.ts";

test("live values are taken out in each usual encoding, from the moment they exist", () => {
  const values: string[] = [];
  const redact = createRedactor(() => values);
  const value = 'p"w/d+1 \u65e5';
  const bytes = Buffer.from(value);
  const text = [
    value,
    JSON.stringify(value),
    encodeURIComponent(value),
    bytes.toString("hex"),
    bytes.toString("base64"),
    bytes.toString("base64url"),
  ].join(" | ");
  expect(redact(text)).toBe(text);
  values.push(value);
  expect(redact(text)).toBe([REDACTED, `"${REDACTED}"`, REDACTED, REDACTED, REDACTED, REDACTED].join(" | "));
});

test("values too short to mask leave texts alone", () => {
  expect(createRedactor(() => ["", "abc"])("abcabc")).toBe("abcabc");
});

test.each([
  ["token=abc123 rest", `token=${REDACTED} rest`],
  ['{"api_key": "abc 123", "n": 1}', `{"api_key": ${REDACTED}, "n": 1}`],
  ["Authorization: Bearer abc.def, next", `Authorization: ${REDACTED}, next`],
  ["https://h/?access_token=x&b=1", `https://h/?access_token=${REDACTED}&b=1`],
  ["the key: value pairs of store keys", "the key: value pairs of store keys"],
])("of %s the named value goes", (text, shown) => {
  expect(createRedactor(() => [])(text)).toBe(shown);
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
