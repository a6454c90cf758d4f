import { ManualClock } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { ask } from "./testing/ask.ts";
import { FakeHouse } from "./testing/index.ts";

test("H3 the scheme's case is free; revoked, expired, wrong and absent tokens give the same 401 bytes", async () => {
  const clock = new ManualClock();
  const house = new FakeHouse({ clock });
  await house.token("admin");
  const expiring = await house.tokens.create({ name: "short", scopes: ["read"], expires_at: "2026-01-01T00:00:01.000Z" }, "test");
  const revoked = await house.tokens.create({ name: "gone", scopes: ["read"] }, "test");
  expect((await ask(house, "GET", "/api/packs", { headers: { Authorization: `bearer ${expiring.token}` } })).status).toBe(200);
  expect((await ask(house, "GET", "/api/packs", { headers: { Authorization: `BEARER ${expiring.token}` } })).status).toBe(200);
  await house.tokens.remove(revoked.id, "test");
  clock.advance(1000);
  const answers = [];
  for (const token of [expiring.token, revoked.token, `rumi_${"A".repeat(43)}`, "nonsense", undefined]) {
    const answer = await ask(house, "GET", "/api/packs", token === undefined ? {} : { token });
    answers.push([answer.status, answer.text]);
  }
  expect(new Set(answers.map((item) => JSON.stringify(item))).size).toBe(1);
  expect(answers[0]?.[0]).toBe(401);
});

test("H4 a rotated token passes for its grace, then is 401; without grace it is 401 at once", async () => {
  const clock = new ManualClock();
  const house = new FakeHouse({ clock });
  const first = await house.tokens.create({ name: "one", scopes: ["admin"] }, "test");
  const rotated = await ask(house, "POST", `/api/tokens/${first.id}/rotate`, { token: first.token, body: '{"grace_seconds":10}' });
  const second = String(rotated.json.data?.["token"]);
  expect(second).toMatch(/^rumi_[A-Za-z0-9_-]{43}$/u);
  expect((await ask(house, "GET", "/api/status", { token: first.token })).status).toBe(200);
  expect((await ask(house, "GET", "/api/status", { token: second })).status).toBe(200);
  clock.advance(10_000);
  expect((await ask(house, "GET", "/api/status", { token: first.token })).status).toBe(401);
  const third = await ask(house, "POST", `/api/tokens/${first.id}/rotate`, { token: second, body: '{"grace_seconds":0}' });
  expect(third.status).toBe(200);
  expect((await ask(house, "GET", "/api/status", { token: second })).status).toBe(401);
});

test("H5 the first admin token is made once, only its hash is kept, and no answer or audit entry shows it", async () => {
  const house = new FakeHouse();
  expect(await house.tokens.load()).toBe("absent");
  const first = await house.tokens.createFirstAdmin();
  const value = first?.token ?? "";
  expect(value).toMatch(/^rumi_/u);
  expect(await house.tokens.createFirstAdmin()).toBeNull();
  const listed = await ask(house, "GET", "/api/tokens", { token: value });
  expect(listed.status).toBe(200);
  expect(listed.text + JSON.stringify(house.audit.events) + JSON.stringify(house.tokenStore.tokens)).not.toContain(value);
  expect(listed.text).not.toContain("sha256");
});

test("a tampered token file lets no token hold", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  house.tokenStore.tampered = true;
  expect(await house.tokens.load()).toBe("tampered");
  expect(await house.tokens.createFirstAdmin()).toBeNull();
  expect((await ask(house, "GET", "/api/status", { token })).status).toBe(401);
});

test("the last admin token stays, and an unknown token is 404", async () => {
  const house = new FakeHouse();
  const token = await house.token("admin");
  const [only] = house.tokens.list();
  expect((await ask(house, "DELETE", `/api/tokens/${only?.id}`, { token })).json.code).toBe("token.last_admin");
  expect((await ask(house, "DELETE", "/api/tokens/tok_00000000000000ff", { token })).status).toBe(404);
  const other = await house.tokens.create({ name: "b", scopes: ["admin"] }, "test");
  expect((await ask(house, "DELETE", `/api/tokens/${other.id}`, { token })).status).toBe(200);
});
