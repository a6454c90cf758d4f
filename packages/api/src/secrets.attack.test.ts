import { RumiError, sha256 } from "@rumi/core";
import { expect, test } from "vitest";
import { ask } from "./testing/ask.ts";
import { FakeHouse } from "./testing/index.ts";

const VALUE = 'sk-live-9f"83\\hd/7Q2k';

/** Everything of a house that anyone could read later, as one text. */
function remains(house: FakeHouse): string {
  return JSON.stringify([house.audit.events, house.tokenStore.tokens, house.calls]);
}

/** A text in which the value would stand as it is, or as JSON writes it. */
function holds(text: string, value = VALUE): boolean {
  return text.includes(value) || text.includes(JSON.stringify(value).slice(1, -1));
}

test("T62 H33 a value that is refused stands in no answer, issue or audit entry; each refusal has its own code", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  const long = "sk-long-".repeat(9000);
  const cases: readonly (readonly [body: unknown, code: string])[] = [
    [{ key: "abc", value: VALUE }, "secrets.invalid_key"],
    [{ key: "A\n", value: VALUE }, "secrets.invalid_key"],
    [{ key: "A".repeat(65), value: VALUE }, "secrets.invalid_key"],
    [{ key: 5, value: VALUE }, "secrets.invalid_key"],
    [{ value: VALUE }, "secrets.invalid_key"],
    [{ key: VALUE, value: "OPENAI_API_KEY" }, "secrets.invalid_key"],
    [{ key: "A", value: 73_519_284_660 }, "secrets.invalid_value"],
    [{ key: "A", value: [VALUE] }, "secrets.invalid_value"],
    [{ key: "A", value: { [VALUE]: VALUE } }, "secrets.invalid_value"],
    [{ key: "A", value: null }, "secrets.invalid_value"],
    [{ key: "A" }, "secrets.invalid_value"],
    [{ key: "A", value: "" }, "secrets.too_short"],
    [{ key: "A", value: "abc" }, "secrets.too_short"],
    [{ key: "A", value: long }, "secrets.too_large"],
    [{ key: "A", value: VALUE, [VALUE]: 1 }, "request.invalid"],
    [{ key: "A", value: VALUE, note: VALUE }, "request.invalid"],
  ];
  for (const [body, code] of cases) {
    const answer = await ask(house, "POST", "/api/secrets/set", { token, body: JSON.stringify(body) });
    expect([code, answer.status, answer.json.code]).toEqual([code, 400, code]);
    for (const value of [VALUE, "73519284660", "sk-long-"]) expect(holds(answer.text + remains(house), value)).toBe(false);
  }
  expect(house.rights.values.size).toBe(0);
  for (const body of [`{"key":"A","value":"${VALUE}`, `{"key":"A","value":${VALUE}}`, JSON.stringify([VALUE])]) {
    const answer = await ask(house, "POST", "/api/secrets/set", { token, body });
    expect([answer.json.code, holds(answer.text + remains(house))]).toEqual(["request.invalid_json", false]);
  }
});

test("a value that is set stands in no answer, audit entry or kept answer, with an Idempotency-Key too", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  const body = JSON.stringify({ key: "API_KEY", value: VALUE });
  const headers = { "Idempotency-Key": "k1" };
  const answer = await ask(house, "POST", "/api/secrets/set", { token, body, headers });
  expect(answer.json.data).toEqual({ key: "API_KEY", created: true, warnings: [] });
  const list = await ask(house, "GET", "/api/secrets", { token });
  expect(list.json.data).toEqual({
    secrets: [{ key: "API_KEY", exists: true, deleted: false, masked: "********", last_used_at: null }],
    count: 1,
    next_cursor: null,
    state: "open",
  });
  const rotated = await ask(house, "POST", "/api/secrets/rotate-key", { token });
  expect(holds(answer.text + list.text + rotated.text + remains(house))).toBe(false);
  // The same key with another value is another request of its own: nothing of the first one was kept to compare with.
  const again = await ask(house, "POST", "/api/secrets/set", {
    token,
    headers,
    body: JSON.stringify({ key: "API_KEY", value: "another-one" }),
  });
  expect([again.status, house.rights.values.get("API_KEY")]).toEqual([200, "another-one"]);
});

test("whatever the store of secrets throws, quoting the value, neither the answer nor the audit log repeats it", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  const body = JSON.stringify({ key: "API_KEY", value: VALUE });
  for (const error of [
    new TypeError(`cannot seal ${VALUE}`),
    new Error(JSON.stringify({ value: VALUE })),
    new RumiError("secrets.invalid_value", `not acceptable: ${VALUE}`, {
      details: { value: VALUE, [VALUE]: "x" },
      remedy: `rumi secret set ${VALUE}`,
    }),
  ]) {
    house.deps.secrets.set = () => {
      throw error;
    };
    const answer = await ask(house, "POST", "/api/secrets/set", { token, body });
    expect(answer.json.success).toBe(false);
    expect(holds(answer.text)).toBe(false);
    expect(holds(remains(house))).toBe(false);
  }
  expect(house.audit.events.filter((event) => event.action === "api_internal_error").length).toBe(2);
});

test("H62 a live value stands in no answer: not in a run's result, a store's value, a name of a member, a number or a refusal", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  house.live.add(VALUE).add("73519284660");
  house.addPack("my_pack");
  house.rights.addStore("notes", null, { a: { deep: [{ [VALUE]: `Bearer ${VALUE}`, n: 73_519_284_660, ok: 5 }] } });
  house.outcomes.set("hello", { state: "completed", result: { token: VALUE } });
  house.reviewExtras = { warnings: [VALUE], version: VALUE };
  const seen = [
    await ask(house, "GET", "/api/stores/notes/value?key=a", { token }),
    await ask(house, "POST", "/api/flows/hello/run", { token }),
    await ask(house, "GET", "/api/runs", { token }),
    await ask(house, "GET", "/api/packs/my_pack/review", { token }),
  ];
  house.outcomes.set("hello", { state: "failed", code: "sandbox.block_error", reason: `ValueError: ${VALUE}` });
  seen.push(await ask(house, "POST", "/api/flows/hello/run", { token }));
  house.deps.packs.status = () => {
    throw new RumiError("approval.pack_not_found", `no ${VALUE}`, { details: { pack_id: VALUE } });
  };
  seen.push(await ask(house, "GET", "/api/packs/x/status", { token }));
  for (const { text } of seen) {
    expect(text).toContain("[REDACTED]");
    expect([holds(text), text.includes("73519284660")]).toEqual([false, false]);
  }
  expect(seen[0]?.json.data?.["value"]).toEqual({ deep: [{ "[REDACTED]": "Bearer [REDACTED]", n: "[REDACTED]", ok: 5 }] });
});

test("no issue of any route repeats what was sent", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  house.addPack("my_pack");
  const value = "hunter2-hunter2";
  for (const [path, body] of [
    ["/api/packs/my_pack/approve", { expected_digest: value }],
    ["/api/network/grant", { pack_id: value + "/", allowed_domains: value, allowed_ports: [value] }],
    ["/api/capability/grants/grant", { principal_id: `${value}!`, permission_id: value, config: value }],
    ["/api/secrets/grants", { pack_id: "a", mode: value }],
    ["/api/secrets/grants/my_pack", { mode: "use", bindings: [value] }],
    ["/api/tokens", { name: "x", scopes: [value] }],
    ["/api/flows/hello/run", { digest: value, timeout: value }],
  ] as const) {
    const answer = await ask(house, "POST", path, { token, body: JSON.stringify(body) });
    expect([path, answer.status, answer.text.includes(value)]).toEqual([path, 400, false]);
  }
  expect(sha256(VALUE)).toMatch(/^sha256:/u);
});
