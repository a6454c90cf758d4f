import { expect, test } from "vitest";
import { secretsGet } from "./secrets-get.ts";
import { ask } from "./testing/ask.ts";

const secrets = { read: (key: string) => Promise.resolve(key === "API_KEY" ? "sk-value-1" : null) };
const capability = secretsGet({ secrets });

test("a granted key gives its value", async () => {
  expect(await ask(capability, { key: "API_KEY" }, { grant: { allowed_keys: ["API_KEY"] } })).toEqual({
    ok: true,
    output: { value: "sk-value-1" },
  });
});

test("T52 ungranted, unlisted, absent and malformed keys are refused with the same bytes", async () => {
  const seen = await Promise.all([
    ask(capability, { key: "API_KEY" }, { grant: null }),
    ask(capability, { key: "API_KEY" }, { grant: { allowed_keys: ["OTHER"] } }),
    ask(capability, { key: "API_KEY" }, { grant: { allowed_keys: [] } }),
    ask(capability, { key: "OTHER" }, { grant: { allowed_keys: ["OTHER"] } }),
    ask(capability, { key: "other\n" }, { grant: { allowed_keys: ["*"] } }),
    ask(capability, { key: "__proto__" }, { grant: { allowed_keys: ["*"] } }),
    ask(capability, {}, { grant: { allowed_keys: ["*"] } }),
  ]);
  // The real reason is the audit's; the pack sees the rest.
  const shown = seen.map((outcome) => JSON.stringify({ ...outcome, reason: "" }));
  expect(new Set(shown).size).toBe(1);
  expect(JSON.parse(shown[0] ?? "")).toMatchObject({ ok: false, error: "Access denied or secret not found", error_type: "access_denied" });
});
